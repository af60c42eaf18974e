"""Issue the due badges of one Credly organization. Started by reconcile, once for each organization."""

from prefect import State, flow, get_run_logger
from prefect.states import Failed

from models.errors import PlatformNotUsable
from models.ledger.claiming import DueOrganization
from rules.forms.inputs import CredlyId, PlatformId
from rules.ledger.reasons import Reason
from tasks.issuing.dispatch import organizations_with_work
from tasks.issuing.drain import block_everything, block_rest, drain
from tasks.issuing.preflight import check_organization
from tasks.issuing.progress import shown_progress
from tasks.issuing.run_report import RunEntry, final_state, run_entry, summary_of_this_run, tag_run
from tasks.runtime.organization import TokenNotUsable, open_organization
from tasks.runtime.run import Run, name_run, run_context


@flow(name="issue-organization", persist_result=False)
async def issue_organization(
    portals: list[PlatformId], limit: int = 0, together: int = 0, organization: CredlyId = ""
) -> State[None]:
    """Issue the due badges of the portals of one Credly organization.

    Started by reconcile. Credly's rate limit is per organization, so each organization has a run of its own, and an
    error in one does not affect the others.

    Args:
        portals: Ids of the portals that are connected to this organization with the same token.
        limit: Issue at most this many badges; 0 is all.
        together: The number of due badges in all organizations. The more, the more badges share a task run.
        organization: Only this Credly organization (its id). Unclear calls to an organization that a portal was
            connected to before are resolved there. Leave empty for all.
    """
    async with run_context() as run:
        found = await organizations_with_work(portals)
        work = [each for each in found if organization in ("", each.organization_id)]
        title = f"issue · {', '.join(portals)}"
        await name_run(f"{title} · {sum(each.due for each in work)} due")
        unread = ""
        for due in work:
            async with run_entry(run, due) as entry:
                try:
                    await _issue(run, due, entry, limit=limit, together=together)
                except PlatformNotUsable as unusable:
                    unread = str(unusable)
        done = await summary_of_this_run(run, portals)
        await tag_run(f"achievement:{achievement}" for _, achievement, _ in done.by_achievement)
        await name_run(f"{title} · {done.title}")
        return Failed(message=f"{done.sentence}. {unread}") if unread else final_state(done)


async def _issue(run: Run, due: DueOrganization, entry: RunEntry, *, limit: int, together: int) -> None:
    try:
        async with open_organization(run, due) as opened:
            entry.organization = opened
            await check_organization()
            async with shown_progress(run, opened, min(due.due, limit or due.due)):
                await drain(run, opened, limit=limit or None, together=together)
            await block_rest(run, opened)
    except TokenNotUsable as unusable:
        get_run_logger().error("%s", unusable)
        await block_everything(run, due, Reason.TOKEN_MISSING)
        entry.stopped = Reason.TOKEN_MISSING
