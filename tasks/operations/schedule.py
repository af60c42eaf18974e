"""The schedule on Prefect's server: deployments, their next runs, and online workers."""

import asyncio
from collections.abc import Sequence
from time import monotonic

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort

from rules.monitoring.schedule import ScheduledDeployment

TAG = "scheduled"


async def scheduled_deployments(client: PrefectClient) -> list[ScheduledDeployment]:
    tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=["credly", TAG]))
    found = await client.read_deployments(deployment_filter=tagged)
    return [await _read(client, each) for each in sorted(found, key=lambda one: one.name)]


async def wait_until_planned(client: PrefectClient, *, within_seconds: float) -> list[ScheduledDeployment]:
    """Return the deployments once each has a next run, which the server plans some seconds after a deployment."""
    deadline = monotonic() + within_seconds
    while True:
        found = await scheduled_deployments(client)
        if all(each.next_run_at or not each.switched_on for each in found) or monotonic() > deadline:
            return found
        await asyncio.sleep(0.5)


async def _read(client: PrefectClient, deployment: DeploymentResponse) -> ScheduledDeployment:
    pool = deployment.work_pool_name or ""
    planned = await _latest(client, deployment, [StateType.SCHEDULED], FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC)
    running = await _latest(client, deployment, [StateType.RUNNING], FlowRunSort.START_TIME_DESC)
    completed = await _latest(client, deployment, [StateType.COMPLETED], FlowRunSort.END_TIME_DESC)
    return ScheduledDeployment(
        name=deployment.name,
        pool=pool,
        switched_on=not deployment.paused and any(each.active for each in deployment.schedules),
        next_run_at=planned.next_scheduled_start_time if planned else None,
        started_at=running.start_time if running else None,
        completed_at=completed.end_time if completed else None,
        known_since=deployment.created,
        pool_paused=(await client.read_work_pool(pool)).is_paused if pool else False,
        workers_online=await _workers_online(client, pool) if pool else 0,
    )


async def _latest(
    client: PrefectClient, deployment: DeploymentResponse, types: Sequence[StateType], sort: FlowRunSort
) -> FlowRun | None:
    found = await client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types)))),
        sort=sort,
        limit=1,
    )
    return found[0] if found else None


async def _workers_online(client: PrefectClient, pool: str) -> int:
    workers = await client.read_workers_for_work_pool(pool)
    return sum(each.status == WorkerStatus.ONLINE for each in workers)
