"""Revoke the badges of withdrawn awards."""

from typing import Annotated

from prefect import State, flow
from pydantic import Field

from rules.forms.inputs import OperatorId, PortalId
from tasks.forms.run_form import run_form
from tasks.operations.revoke import HOLD_REVOKING_ABOVE, revoke_all
from tasks.runtime.run import run_context


@flow(name="revoke-withdrawn", flow_run_name="revoke withdrawn", persist_result=False)
async def revoke_withdrawn(
    portal: PortalId = "",
    hold_above: Annotated[int, Field(ge=0)] = HOLD_REVOKING_ABOVE,
    operator: OperatorId = "",
) -> State[None]:
    """Revoke the badges of withdrawn awards, for achievements that were enabled with `revoke_when_withdrawn`.

    Revoking cannot be undone. A new award makes a new badge due. Badges of other achievements stay; audit lists them.

    Args:
        portal: Only this portal's badges. Leave empty for all.
        hold_above: If a portal has more badges to revoke than this, none of them is revoked.
        operator: Your own id, kept in the history. No e-mail address.
    """
    async with run_context() as run:
        return await run_form(run, operator, revoke_all(run, portal, hold_above=hold_above), key="revoke-withdrawn")
