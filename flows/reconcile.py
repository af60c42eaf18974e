"""The scheduled run: new awards become Credly badges."""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from typing import Annotated, Any

from prefect import State, flow, tags
from prefect.states import Completed
from pydantic import Field

from models.errors import PlatformNotUsable
from models.ledger.claiming import DueOrganization
from models.planning.writing import PlanCounts
from models.platform.isolation import RelationUnreadable
from reports.inputs import check_portal
from rules.forms.inputs import InvalidInput, PortalId
from rules.ledger.sweep import HOLD_NAMES_ABOVE
from rules.wording import counted
from settings import Dispatch
from tasks.forms.run_form import not_done
from tasks.issuing.cadence import ROWS_BETWEEN, is_whole, nothing_due, with_new_work
from tasks.issuing.dispatch import (
    Group,
    due_organizations,
    issue_all,
    issue_elsewhere,
    organizations_with_work,
    portals_of,
    shares,
)
from tasks.issuing.plan import plan_issuances, plan_meanwhile, plan_new, requeue_corrected, sweep_everything
from tasks.issuing.run_report import finish_run
from tasks.menus.publish import restore_menus
from tasks.operations.dead_runs import mark_dead_runs
from tasks.operations.retention import remove_uneventful
from tasks.runtime.run import Run, name_run, run_context


@flow(name="reconcile", persist_result=False)
async def reconcile(
    portal: PortalId = "",
    limit: Annotated[int, Field(ge=0)] = 0,
    preview: bool = False,
    full: bool = False,
    hold_above: Annotated[int, Field(ge=0)] = HOLD_NAMES_ABOVE,
) -> State[None]:
    """Issue a Credly badge for every award that has none yet.

    Safe to start and to retry at any time: no badge is issued twice.

    Args:
        portal: Work on this portal only. Leave empty for all.
        limit: Issue at most this many badges. 0 is all.
        preview: Show what would be issued and with which evidence. Changes nothing and does not call Credly.
        full: Check every award and every open issuance now. Otherwise a run checks new awards and a part of the others,
            so that each is checked within a day.
        hold_above: If more badges than this would be replaced for corrected names, none of them is.
    """
    async with run_context() as run:
        try:
            await check_portal(run.database, portal)
        except InvalidInput as invalid:
            return await not_done(invalid, key="reconcile")
        if preview:
            from tasks.issuing.preview import preview_run  # a scheduled run needs none

            await name_run("reconcile · preview")
            return Completed(message=await preview_run(portal=portal, limit=limit, hold_above=hold_above))

        await mark_dead_runs(run)
        whole = await is_whole(run, portal=portal, limit=limit, full=full)
        plan, unread = await _plan(portal=portal, full=full, whole=whole, hold_above=hold_above)
        portals, waiting = [portal] if portal else None, list[DueOrganization]()
        if whole:
            organizations = await organizations_with_work(portals)
        else:
            organizations, waiting = await with_new_work(run, await due_organizations(run, portals))
            if not organizations and not plan.wrote:
                return await nothing_due(unread, waiting)
        await name_run(_title(organizations))

        async def planned_meanwhile() -> list[DueOrganization]:
            nonlocal plan
            plan += await plan_meanwhile(run, portal)
            return (await with_new_work(run, await due_organizations(run, portals)))[0]

        together = sum(each.due for each in organizations)
        parts = await issue_all(
            run,
            shares(organizations, limit=limit, at_once=run.settings.organizations_at_once),
            issue=lambda group, share: _issue(run, group, share, limit or together),
            plan_again=None if limit else planned_meanwhile,
        )
        await restore_menus(run)
        await remove_uneventful(run)
        return await finish_run(
            run, plan, parts, portal=portal, whole=whole and not portal and not limit, unread=unread, waiting=waiting
        )


async def _plan(*, portal: str, full: bool, whole: bool, hold_above: int) -> tuple[PlanCounts, str]:
    """Plan as far as the platform can be read. Return also why it cannot: what was planned before still goes out."""
    plan, unread = PlanCounts(), list[str]()
    steps: list[Callable[[], Awaitable[PlanCounts | int]]] = [
        partial(plan_new, portal, rows=ROWS_BETWEEN, hold_above=hold_above)
    ]
    if whole:
        swept = partial(sweep_everything, portal, full=full, hold_above=hold_above)
        steps = [partial(plan_issuances, portal), swept, requeue_corrected]
    for step in steps:
        try:
            done = await step()
        except RelationUnreadable as unreadable:  # of a relation that the next step may not need
            unread.append(str(unreadable))
        except PlatformNotUsable as unusable:
            return plan, str(unusable)
        else:
            plan += done if isinstance(done, PlanCounts) else PlanCounts()
    return plan, " ".join(dict.fromkeys([*plan.unread, *unread]))


async def _issue(run: Run, group: Group, limit: int, together: int) -> State[Any]:
    portals = portals_of(group)
    found_by = [f"portal:{portal}" for portal in portals]
    elsewhere = run.settings.dispatch is Dispatch.WORKERS
    # Organizations that share a flow run take a slot each, in that run.
    async with run.organization_slots if elsewhere or len(group) == 1 else nullcontext():
        if elsewhere:
            return await issue_elsewhere(run, group, limit=limit, together=together, tags=found_by)
        # The tag of the deployments, by which automations/dead_runs.py finds this run.
        with tags("credly", *found_by):
            # Here, because it loads all that issues badges, and most runs have nothing due.
            from flows.issue_organization import issue_organization

            return await issue_organization(
                portals,
                limit=limit,
                together=together,
                organization=group[0].organization_id if len(group) == 1 else "",
                return_state=True,
            )


def _title(organizations: list[DueOrganization]) -> str:
    portals = len({portal for each in organizations for portal in each.all_portals})
    return f"reconcile · {counted(portals, 'portal')} · {sum(each.due for each in organizations)} due"
