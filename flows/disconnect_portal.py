"""Disconnect a portal from Credly."""

from prefect import State, flow

from rules.forms.inputs import OperatorId, PortalId
from tasks.forms.connections import disconnect
from tasks.forms.run_form import run_form
from tasks.runtime.run import run_context


@flow(name="disconnect-portal", flow_run_name="disconnect {portal}", persist_result=False)
async def disconnect_portal(portal: PortalId, operator: OperatorId = "") -> State[None]:
    """Disconnect a portal from Credly.

    Nothing is issued for its achievements until it is connected again. Their settings, the ledger and the badges at
    Credly do not change.

    Args:
        portal: Choose the portal, or enter its id on the platform.
        operator: Your own id, kept in the history. No e-mail address.
    """
    async with run_context() as run:
        return await run_form(run, operator, disconnect(run, portal), key="disconnect-portal", changes_menus=True)
