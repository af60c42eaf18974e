"""Compare the ledger with what Credly has."""

from prefect import State, flow

from rules.choices import PlatformId
from tasks.audit import audit_everything
from tasks.people import tell
from tasks.runtime.run import run_context


@flow(name="audit", persist_result=False)
async def audit(portal: PlatformId = "") -> State[None]:
    """Ask Credly what became of the badges: accepted, rejected, revoked, deleted.

    It changes nothing at Credly. What it learns is kept in the ledger, so that analysts see how many badges were
    accepted. It names badges that were revoked or deleted, those that Laurel did not issue, and those whose award was
    withdrawn.

    Args:
        portal: Only this portal's organization (the portal's id). Leave empty for all.
    """
    async with run_context() as run:
        return await tell(audit_everything(run, portal), key="audit")
