"""Runs whose process is gone: Prefect still shows them as running, and they occupy the only slot of their deployment.

Two automations detect such a run and mark it as crashed; Prefect refuses that for a run that has ended meanwhile. A
third starts `reconcile` after a run is crashed, however that was detected. So a false alarm has no effect.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import EventTrigger, Posture

from rules.monitoring.liveness import BEATS, PREFECTS_HEARTBEAT, RUN_ENDED, START_WITHIN, silent_for
from tasks.runtime.run import NEEDS_ATTENTION

# A dead process crashes a run and then each of its sub-flows, which must start only one new run.
RESTART_AT_MOST_EVERY = timedelta(seconds=60)
OURS = {"prefect.resource.id": "prefect.tag.credly"}
_RUN = {"prefect.resource.id": "prefect.flow-run.*"}
_STARTING = {f"prefect.flow-run.{name}" for name in ("Pending", "Submitting", "Running")}
# Each state by name, because `prefect.flow-run.*` would match Prefect's own heartbeat as well.
_STATES = _STARTING | {
    f"prefect.flow-run.{name}"
    for name in (
        *("Completed", NEEDS_ATTENTION, "Failed", "Crashed", "TimedOut", "Cancelled", "Cancelling", "RolledBack"),
        *("Scheduled", "Late", "AwaitingRetry", "Retrying", "AwaitingConcurrencySlot", "Resuming", "Paused"),
        *("Suspended", "InfrastructurePending"),
    )
}
# Prefect's server may delay a state's event by a quarter of an hour to keep their order, so the end of a run has an
# event of its own.
_ENDS = {RUN_ENDED, *_STATES}


@dataclass(frozen=True, kw_only=True)
class DeadRuns:
    """The automations against dead runs. `reconcile` is the id of its deployment."""

    reconcile: UUID
    heartbeat: timedelta
    start_within: timedelta = START_WITHIN

    def all(self) -> Iterator[Automation]:
        silent = silent_for(self.heartbeat)
        yield self._marking(
            "a run died",
            after=BEATS,
            expect=BEATS | _ENDS,
            within=silent,
            message=f"No heartbeat for {silent.total_seconds():.0f} seconds: its process is gone.",
        )
        yield self._marking(
            "a run did not start",
            after=_STARTING,
            expect=BEATS | _ENDS | {PREFECTS_HEARTBEAT},
            within=self.start_within,
            message=f"It did not begin its work within {self.start_within.total_seconds():.0f} seconds: its process is "
            "gone.",
        )
        yield self._restart()

    def _marking(self, name: str, *, after: set[str], expect: set[str], within: timedelta, message: str) -> Automation:
        return Automation(
            name=f"Laurel: {name}",
            description="Marks a run whose process is gone as crashed.",
            trigger=EventTrigger(
                posture=Posture.Proactive,
                after=after,
                expect=expect,
                match=_RUN,
                match_related=OURS,
                for_each={"prefect.resource.id"},
                threshold=1,
                within=within,
            ),
            actions=[
                ChangeFlowRunState(
                    state=StateType.CRASHED,
                    name="Crashed",
                    message=f"{message} Nothing is lost; the next run of reconcile continues its work.",
                )
            ],
        )

    def _restart(self) -> Automation:
        return Automation(
            name="Laurel: reconcile after a crash",
            description="Starts reconcile when a run has crashed, so that its work goes on before the next slot.",
            trigger=EventTrigger(
                posture=Posture.Reactive,
                expect={"prefect.flow-run.Crashed"},
                match=_RUN,
                match_related=OURS,
                threshold=1,
                within=RESTART_AT_MOST_EVERY,
            ),
            actions=[RunDeployment(source="selected", deployment_id=self.reconcile)],
        )
