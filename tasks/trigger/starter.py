"""Starting a run for the latest call, unless a run that is under way plans after it."""

import asyncio
import logging
from datetime import datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType

from models.planning.progress import Round, cursor_of
from tasks.issuing.cadence import TRIGGERED
from tasks.runtime.run import Run

DEPLOYMENT = "reconcile/reconcile"
_LOOK_AGAIN_SECONDS = 0.5
_GIVE_UP_AFTER = timedelta(minutes=5)  # the schedule has started a run long before
_AFTER_FAILURE_SECONDS = 60.0
_logger = logging.getLogger(__name__)


class Starter:
    """Starts runs of reconcile. Calls that come close together share a run, and no two runs overlap.

    A call is done once a planning has begun after it. A run that is under way plans every few seconds while it issues;
    one that is about to end does not, so it is waited for. One that has ended without planning, as while the platform
    cannot be read, is not repeated: the schedule goes on, and a later call starts a run after a minute.
    """

    def __init__(
        self,
        run: Run,
        client: PrefectClient,
        *,
        deployment: str = DEPLOYMENT,
        after_failure_seconds: float = _AFTER_FAILURE_SECONDS,
    ) -> None:
        self._run, self._client = run, client
        self._deployment, self._after_failure_seconds = deployment, after_failure_seconds
        self._called = asyncio.Event()
        self._latest = run.now()

    def call(self) -> None:
        self._latest = self._run.now()
        self._called.set()

    async def keep_starting(self) -> None:
        """Start runs as they are called for, until this is cancelled."""
        while True:
            await self._called.wait()
            self._called.clear()
            try:
                await self._until_planned()
            except Exception:
                _logger.exception("No run could be started; the schedule starts the next one.")

    async def _until_planned(self) -> None:
        deployment = (await self._client.read_deployment_by_name(self._deployment)).id
        started: FlowRun | None = None
        planned_before: datetime | None = None
        while not await self._is_done():
            if not await self._is_under_way(deployment):
                planned_at = await self._planned_at()
                if started is not None and planned_at == planned_before and not await self._was_cancelled(started):
                    _logger.warning("Run %s has ended without planning; the schedule goes on.", started.name)
                    await asyncio.sleep(self._after_failure_seconds)
                    return
                planned_before = planned_at
                started = await self._client.create_flow_run_from_deployment(deployment, tags=[TRIGGERED])
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _is_done(self) -> bool:
        if self._run.now() - self._latest > _GIVE_UP_AFTER:
            return True
        planned_at = await self._planned_at()
        return planned_at is not None and planned_at >= self._latest

    async def _planned_at(self) -> datetime | None:
        return (await self._run.database.read(cursor_of, Round.RECENT)).moved_at

    async def _was_cancelled(self, run: FlowRun) -> bool:
        # As where another run has begun meanwhile: what was announced since it planned is still to be issued.
        return (await self._client.read_flow_run(run.id)).state_type is StateType.CANCELLED

    async def _is_under_way(self, deployment: UUID) -> bool:
        states = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING]
        found = await self._client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)),
                # Not those that the schedule has planned for the next minutes.
                expected_start_time=FlowRunFilterExpectedStartTime(before_=self._run.now() + timedelta(seconds=1)),
            ),
            limit=1,
        )
        return bool(found)
