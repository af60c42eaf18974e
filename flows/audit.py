"""Compare the ledger with Credly."""

from prefect import State, flow

from rules.forms.inputs import PortalId
from tasks.forms.run_form import finish_form
from tasks.operations.audit import audit_all
from tasks.runtime.run import run_context


@flow(name="audit", persist_result=False)
async def audit(portal: PortalId = "", full: bool = False) -> State[None]:
    """Compare the ledger with the state of each badge at Credly: accepted, rejected, revoked, deleted.

    Changes nothing at Credly. The states are saved in the ledger, where analysts can count accepted badges. The result
    lists badges that were revoked or deleted, badges that Laurel did not issue, and badges of withdrawn awards.

    Args:
        portal: Only this portal's organization. Leave empty for all.
        full: Read every badge now. Otherwise an organization of more than 5 000 badges is read in parts, a part each
            night, where changes are read from Credly's events in the meantime.
    """
    async with run_context() as run:
        return await finish_form(audit_all(run, portal, full=full), key="audit")
