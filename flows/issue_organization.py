"""Issue the due badges of one Credly organization, or of several with few each. Started by reconcile."""

import asyncio
from contextlib import nullcontext

from prefect import State, flow, get_run_logger
from prefect.states import Failed

from models.errors import PlatformNotUsable
from models.ledger.claiming import DueOrganization
from rules.forms.inputs import CredlyId
from rules.ledger.reasons import Reason
from rules.wording import counted
from tasks.issuing.dispatch import organizations_with_work
from tasks.issuing.drain import block_everything, block_rest, drain, issue_few
from tasks.issuing.preflight import check_organization
from tasks.issuing.progress import shown_progress
from tasks.issuing.run_report import RunEntry, final_state, run_entry, starter_of_this_run, summary_of_this_run, tag_run
from tasks.runtime.errors import without_foreign_messages
from tasks.runtime.organization import TokenNotUsable, open_organization
from tasks.runtime.run import Run, name_run, run_context


@flow(name="issue-organization", persist_result=False)
async def issue_organization(
    portals: list[str], limit: int = 0, together: int = 0, organization: CredlyId = ""
) -> State[None]:
    """Issue the due badges of the portals of one Credly organization, or of several.

    Started by reconcile. Credly's rate limit is per organization, so each organization is issued for by itself, and an
    error in one does not affect the others.

    Args:
        portals: Ids of the portals that are connected to this organization with the same token; or to several
            organizations with few due badges each. As the ledger has them, whatever their characters.
        limit: Issue at most this many badges; 0 is all.
        together: The number of due badges in all organizations. The more, the more badges share a task run.
        organization: Only this Credly organization (its id). Unclear calls to an organization that a portal was
            connected to before are settled there. Leave empty for all.
    """
    async with run_context() as run:
        found = await organizations_with_work(portals)
        work = [each for each in found if organization in ("", each.organization_id)]
        # With a given one, reconcile has taken the slot.
        shared = not organization and not limit and len(work) > 1
        title = f"issue · {counted(len(portals), 'portal') if shared else ', '.join(portals)}"
        await name_run(f"{title} · {sum(each.due for each in work)} due")
        unread, started_by = "", await starter_of_this_run()

        async def part(due: DueOrganization) -> None:
            nonlocal unread
            try:
                async with (
                    run.organization_slots if shared else nullcontext(),
                    run_entry(run, due, started_by=started_by) as entry,
                ):
                    with without_foreign_messages():
                        await _issue(run, due, entry, limit=limit, together=together, few=shared)
            except PlatformNotUsable as unusable:
                unread = str(unusable)
            finally:
                run.finished.add(due.key)

        ended = await asyncio.gather(*map(part, work), return_exceptions=True)
        errors = [(due, error) for due, error in zip(work, ended, strict=True) if error is not None]
        for due, error in errors:
            if not shared:
                raise error
            get_run_logger().error("Organization %s ended in an error: %s", due.organization_id, error)
        done = await summary_of_this_run(run, portals)
        await tag_run(f"achievement:{achievement}" for _, achievement, _ in done.by_achievement)
        await name_run(f"{title} · {done.title}")
        if errors:
            unread = f"{len(errors)} of {len(work)} organizations ended in an error, see the logs. {unread}".rstrip()
        return Failed(message=f"{done.sentence}. {unread}") if unread else final_state(done)


async def _issue(run: Run, due: DueOrganization, entry: RunEntry, *, limit: int, together: int, few: bool) -> None:
    try:
        async with open_organization(run, due) as opened:
            entry.organization = opened
            if few:
                await check_organization.fn()
                await issue_few(run, opened, together=together)
                return await block_rest(run, opened)
            await check_organization()
            async with shown_progress(run, opened, min(due.due, limit or due.due)):
                await drain(run, opened, limit=limit or None, together=together)
            await block_rest(run, opened)
    except TokenNotUsable as unusable:
        get_run_logger().error("%s", unusable)
        await block_everything(run, due, Reason.TOKEN_MISSING)
        entry.stopped = Reason.TOKEN_MISSING
