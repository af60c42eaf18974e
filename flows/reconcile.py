"""The scheduled run: newly awarded achievements become Credly badges."""

import asyncio
from typing import Any

from prefect import State, flow, tags

from flows.issue_organization import issue_organization
from models.ledger.claiming import DueOrganization
from rules.told import counted
from settings import Dispatch
from tasks.dispatch import issue_elsewhere, organizations_with_work, shares
from tasks.operations.dead_runs import mark_dead_runs
from tasks.plan import look_again_at_failed, plan_issuances, sweep_everything
from tasks.preview import preview_run
from tasks.runtime.run import Run, run_context
from tasks.tell import finish_run, name_run, say


@flow(name="reconcile", persist_result=False)
async def reconcile(portal: str = "", limit: int = 0, preview: bool = False, full: bool = False) -> State[None]:
    """Issue the Credly badge of every achievement that was awarded and has none yet.

    Safe to start at any time and to retry: what has its badge is not issued again.

    Args:
        portal: Work on this portal only (its id). Leave empty for all.
        limit: Issue at most this many badges. 0 is all.
        preview: Show what would be issued and with which evidence. Writes nothing and does not call Credly.
        full: Go through every award and everything that is open now, for what was written down late. Otherwise a run
            looks at what is new and at a part of the rest, so that everything has its turn within a day.
    """
    async with run_context() as run:
        if preview:
            await name_run("reconcile · preview")
            return say(await preview_run(portal=portal, limit=limit))

        await mark_dead_runs(run)
        plan = await plan_issuances(portal=portal)
        plan += await sweep_everything(portal=portal, full=full)
        await look_again_at_failed()
        organizations = await organizations_with_work([portal] if portal else None)
        await name_run(_title(organizations))
        room = asyncio.Semaphore(run.settings.organizations_at_once)
        together = sum(each.due for each in organizations)
        allotted = shares(organizations, limit=limit)
        states = await asyncio.gather(*(_issue(run, each, share, limit or together, room) for each, share in allotted))
        parts = [(each, state) for (each, _), state in zip(allotted, states, strict=True)]
        return await finish_run(run, plan, parts, portal=portal, limit=limit)


async def _issue(
    run: Run, organization: DueOrganization, limit: int, together: int, room: asyncio.Semaphore
) -> State[Any]:
    portals = list(organization.all_portals)
    found_by = [f"portal:{portal}" for portal in portals]
    async with room:
        if run.settings.dispatch is Dispatch.WORKERS:
            return await issue_elsewhere(run, organization, limit=limit, together=together, tags=found_by)
        with tags("credly", *found_by):  # as a deployment's runs have: automations/dead_runs.py looks for it
            return await issue_organization(
                portals,
                limit=limit,
                together=together,
                organization=organization.organization_id,
                return_state=True,
            )


def _title(organizations: list[DueOrganization]) -> str:
    portals = len({portal for each in organizations for portal in each.all_portals})
    return f"reconcile · {counted(portals, 'portal')} · {sum(each.due for each in organizations)} due"
