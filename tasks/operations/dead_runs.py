"""Runs that Prefect still shows as running although their process is gone.

The automations (automations/dead_runs.py) detect most of them within minutes, from events. An event can be lost, as
during a restart of Prefect's server. The next run of reconcile then finds the run here, by its state.
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
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.runtime import flow_run
from prefect.states import Crashed

from rules.monitoring.liveness import BEATS, PREFECTS_HEARTBEAT, START_WITHIN, silent_for
from tasks.runtime.errors import only_warned
from tasks.runtime.run import Run

_MESSAGE = "Its process is gone. Nothing is lost; this run of reconcile continues its work."


async def mark_dead_runs(run: Run) -> None:
    """Mark runs as crashed that did not start in time or stopped sending heartbeats; never the current run.

    A run does not fail for it.
    """
    with only_warned("Dead runs were not looked for"):
        async with get_client() as client:
            for each in await _under_way(client):
                if str(each.id) != flow_run.id and await _is_dead(run, client, each):
                    await _mark(client, each)


async def _mark(client: PrefectClient, dead: FlowRun) -> None:
    logger = get_run_logger()
    try:
        await client.set_flow_run_state(dead.id, Crashed(message=_MESSAGE))
    except ObjectNotFound:  # deleted meanwhile
        return
    except PrefectHTTPStatusError as error:
        # Prefect answers 500 each time where the deployment, and so the limit whose slot the run holds, was deleted.
        logger.warning(
            "Run %s is dead, and Prefect's server does not mark it as crashed (HTTP %s). Delete it on its page.",
            dead.name,
            error.response.status_code,
        )
    else:
        logger.warning("Run %s was still shown as %s: marked as crashed.", dead.name, dead.state_name)


async def _under_way(client: PrefectClient) -> Sequence[FlowRun]:
    runs = FlowRunFilter(
        tags=FlowRunFilterTags(all_=["credly"]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING])),
    )
    return await client.read_flow_runs(flow_run_filter=runs)


async def _is_dead(run: Run, client: PrefectClient, suspect: FlowRun) -> bool:
    since, now = suspect.state.timestamp if suspect.state else None, run.now()
    if since is None or now - since < START_WITHIN:
        return False
    return suspect.state_type == StateType.PENDING or not await _has_beaten(
        client, suspect.id, since=now - silent_for(run.settings.heartbeat)
    )


async def _has_beaten(client: PrefectClient, run_id: UUID, *, since: datetime) -> bool:
    heartbeats = EventFilter(
        event=EventNameFilter(name=sorted(BEATS | {PREFECTS_HEARTBEAT})),
        occurred=EventOccurredFilter(since=since),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run_id}"]),
    )
    return bool((await client.read_events(heartbeats, limit=1)).events)
