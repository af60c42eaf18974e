"""Runs that Prefect still takes for alive although their process is gone, found by their state.

The automations (automations/dead_runs.py) notice most of them within minutes, from events. An event can be lost, as
when Prefect's server is stopped: then the next run of reconcile finds the run here.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from prefect import get_run_logger
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter
from prefect.runtime import flow_run
from prefect.states import Crashed

from rules.monitoring.liveness import BEATS, PREFECTS_HEARTBEAT, START_WITHIN, silent_for
from settings import settings
from tasks.resources import now

_MESSAGE = "Its process is gone. Nothing is lost; this run of reconcile continues its work."


async def mark_dead_runs() -> None:
    """Mark as crashed what has not begun in time, or has sent no heartbeat for too long; never the running flow."""
    async with get_client() as client:
        for run in await _under_way(client):
            if str(run.id) != flow_run.id and await _is_dead(client, run, now=now()):
                await client.set_flow_run_state(run.id, Crashed(message=_MESSAGE))
                get_run_logger().warning("Run %s was still shown as %s: marked as crashed.", run.name, run.state_name)


async def _under_way(client: PrefectClient) -> Sequence[FlowRun]:
    wanted = FlowRunFilter(
        tags=FlowRunFilterTags(all_=["credly"]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING])),
    )
    return await client.read_flow_runs(flow_run_filter=wanted)


async def _is_dead(client: PrefectClient, run: FlowRun, *, now: datetime) -> bool:
    since = run.state.timestamp if run.state else None
    if since is None or now - since < START_WITHIN:
        return False
    return run.state_type == StateType.PENDING or not await _has_beaten(
        client, run.id, since=now - silent_for(settings().heartbeat)
    )


async def _has_beaten(client: PrefectClient, run_id: UUID, *, since: datetime) -> bool:
    wanted = EventFilter(
        event=EventNameFilter(name=sorted(BEATS | {PREFECTS_HEARTBEAT})),
        occurred=EventOccurredFilter(since=since),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run_id}"]),
    )
    return bool((await client.read_events(wanted, limit=1)).events)
