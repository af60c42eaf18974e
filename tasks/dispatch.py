"""Dispatching: which organizations have work, how many badges each may issue, and where that is done."""

import asyncio
from typing import Any

from prefect import State, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Failed

from models.ledger import claiming
from models.ledger.claiming import DueOrganization
from tasks.runtime.run import Run, current_run

DEPLOYMENT = "issue-organization/issue-organization"
_LOOK_EVERY_SECONDS = 2


@task(name="dispatch", cache_policy=NO_CACHE, persist_result=False, retries=3, retry_delay_seconds=[1, 5, 20])
async def organizations_with_work(portals: list[str] | None = None) -> list[DueOrganization]:
    """Return the organizations with something due, or blocked by what may have been mended since.

    Args:
        portals: Only these portals' work; all if left out.
    """
    run = current_run.get()
    return await run.database.read(claiming.due_organizations, now=run.now(), portal_ids=portals)


def shares(organizations: list[DueOrganization], *, limit: int) -> list[tuple[DueOrganization, int]]:
    """Return how many badges each organization may issue so that all together stay within `limit`; 0 is no limit.

    An organization for which nothing is left is not in the list.
    """
    if not limit:
        return [(organization, 0) for organization in organizations]
    allotted = []
    for organization in organizations:
        share = min(limit, organization.due)
        limit -= share
        if share:
            allotted.append((organization, share))
    return allotted


async def issue_elsewhere(run: Run, due: DueOrganization, *, limit: int, together: int, tags: list[str]) -> State[Any]:
    """Let whichever worker is free issue an organization's badges, and return the state in which that run ended."""
    parameters = {"portals": list(due.all_portals), "limit": limit, "together": together}
    if due.settles:  # a worker of an earlier version refuses a parameter that it does not have
        parameters["organization"] = due.organization_id
    try:
        other = await arun_deployment(DEPLOYMENT, parameters=parameters, tags=tags, timeout=0)
    except ObjectNotFound:
        return Failed(message=f"There is no deployment {DEPLOYMENT}: apply prefect.yaml or set LAUREL_DISPATCH=here.")
    other = await _end_of(run, other)
    if other.state is None:
        raise AssertionError
    return other.state


async def _end_of(run: Run, other: FlowRun) -> FlowRun:
    """Return the other run once it has ended. One that makes no progress is ended by itself, so waiting is progress."""
    async with get_client() as client:
        while other.state is None or not other.state.is_final():
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            run.made_progress()
            other = await client.read_flow_run(other.id)
    return other
