"""Disconnect a portal from Credly."""

from prefect import State, flow

from rules.choices import OperatorId, PlatformId
from tasks.connecting import disconnect
from tasks.people import tell_form
from tasks.runtime.run import run_context


@flow(name="disconnect-portal", flow_run_name="disconnect {portal}", persist_result=False)
async def disconnect_portal(portal: PlatformId, operator: OperatorId = "") -> State[None]:
    """Disconnect a portal from Credly.

    Nothing more is issued for its achievements until it is connected again. Their settings, the ledger and the badges
    at Credly stay as they are.

    Args:
        portal: The portal's id on the platform.
        operator: Your own id, kept in the history. No e-mail address.
    """
    async with run_context() as run:
        return await tell_form(run, operator, disconnect(run, portal), key="disconnect-portal")
