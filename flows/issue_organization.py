"""What one Credly organization has due. Started by reconcile, once for each organization."""

from prefect import State, flow, get_run_logger
from prefect.runtime import flow_run

from rules.reasons import Reason
from rules.tally import Tally
from tasks.check import check_organization
from tasks.dispatch import leave_for_the_caller, organizations_with_work
from tasks.drain import block_everything, block_rest, drain
from tasks.progress import shown_progress
from tasks.runtime.organization import TokenNotUsable, open_organization
from tasks.runtime.run import run_context
from tasks.tell import final_state, name_run, tag_run, what_is_open


@flow(name="issue-organization", persist_result=False)
async def issue_organization(portals: list[str], limit: int = 0, together: int = 0) -> State[Tally]:
    """Issue what the portals of one Credly organization have due.

    Started by reconcile. The rate limit belongs to an organization's token, so each organization is a run of its
    own, and one organization's trouble leaves the others alone.

    Args:
        portals: Ids of the portals that are connected to this organization with the same token.
        limit: Issue at most this many badges; 0 is all.
        together: How many badges the run that started this one has due in all. The more, the more share a task run.
    """
    async with run_context() as run:
        work = await organizations_with_work(portals)
        await name_run(f"issue · {', '.join(portals)} · {sum(each.due for each in work)} due")
        total = Tally()
        for due in work:
            try:
                async with open_organization(run, due) as organization:
                    await check_organization()
                    async with shown_progress(run, organization, min(due.due, limit or due.due)):
                        await drain(run, organization, limit=limit or None, together=together)
                    await block_rest(run, organization)
                    total += organization.tally
            except TokenNotUsable as unusable:
                get_run_logger().error("%s", unusable)
                await block_everything(run, due, Reason.TOKEN_MISSING)
                total += Tally(stopped=Reason.TOKEN_MISSING)
        await tag_run(f"achievement:{achievement}" for _, achievement, _ in total.details.cells)
        total += await what_is_open(run, portals)
        if run.begun_by == flow_run.id:  # not within reconcile
            await leave_for_the_caller(run, total)
        return final_state(total)
