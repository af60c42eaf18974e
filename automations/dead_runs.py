"""Runs whose process is gone: they still look alive to Prefect, and keep the one slot of their deployment.

Three automations, each with one job. Two find such a run and mark it as crashed; Prefect refuses that for a run that
has ended meanwhile. The third starts `reconcile` once a run *is* crashed, however that was found. So a mistaken alarm
changes nothing and starts nothing.
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
from tasks.tell import NEEDS_A_PERSON

RESTART_AT_MOST_EVERY = timedelta(seconds=60)  # one death crashes a run and its sub-flows, one after the other
OURS = {"prefect.resource.id": "prefect.tag.credly"}
_RUN = {"prefect.resource.id": "prefect.flow-run.*"}
_STARTING = {f"prefect.flow-run.{name}" for name in ("Pending", "Submitting", "Running")}
# Each state by its name: `prefect.flow-run.*` would match Prefect's own heartbeat as well.
_STATES = _STARTING | {
    f"prefect.flow-run.{name}"
    for name in (
        *("Completed", NEEDS_A_PERSON, "Failed", "Crashed", "TimedOut", "Cancelled", "Cancelling", "RolledBack"),
        *("Scheduled", "Late", "AwaitingRetry", "Retrying", "AwaitingConcurrencySlot", "Resuming", "Paused"),
        *("Suspended", "InfrastructurePending"),
    )
}
# Prefect's server evaluates a state only after the one before it, and may put it off for a quarter of an hour: so the
# end of a run is an event of its own.
_ENDS = {RUN_ENDED, *_STATES}


@dataclass(frozen=True, kw_only=True)
class DeadRuns:
    """The automations that find dead runs. Safe to apply at any time: Laurel asks Credly before it sends again.

    `reconcile` is the id of the deployment to start; `heartbeat` how often a run sends one.
    """

    reconcile: UUID
    heartbeat: timedelta
    start_within: timedelta = START_WITHIN

    def all(self) -> Iterator[Automation]:
        """Return each automation; each name is there once."""
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
