"""Revoke the badges of withdrawn awards."""

from typing import Annotated

from prefect import State, flow
from pydantic import Field

from rules.choices import OperatorId, PlatformId
from tasks.people import tell_form
from tasks.revoke import HOLD_ABOVE, revoke_all
from tasks.runtime.run import run_context


@flow(name="revoke-withdrawn", persist_result=False)
async def revoke_withdrawn(
    portal: PlatformId = "",
    hold_above: Annotated[int, Field(ge=0)] = HOLD_ABOVE,
    operator: OperatorId = "",
) -> State[None]:
    """Revoke badges whose awards were withdrawn, of achievements that were enabled with `revoke_when_withdrawn`.

    There is no way back at Credly. A new award makes the badge due again. All other badges of withdrawn awards stay;
    the audit names them.

    Args:
        portal: Only this portal's badges (the portal's id). Leave empty for all.
        hold_above: If more badges of a portal than this are to be revoked, none of them is.
        operator: Your own id, kept in the history. No e-mail address.
    """
    async with run_context() as run:
        return await tell_form(run, operator, revoke_all(run, portal, hold_above=hold_above), key="revoke-withdrawn")
