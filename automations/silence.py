"""Silence: no run of `reconcile` has completed or made progress for too long, for whatever reason."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation
from prefect.events.actions import RunDeployment, SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture

from rules.monitoring.alerts import RECONCILED
from rules.monitoring.liveness import PROGRESS

NOTHING_HAS_RUN = "Laurel: Nothing has run"
WATCH_BEGAN = "laurel.watch.began"
# Not Prefect's states, whose events may be a quarter of an hour late (docs/decisions/0008).
_SIGNS_OF_LIFE = {RECONCILED, PROGRESS}


@dataclass(frozen=True, kw_only=True)
class Silence:
    """The automation that detects silence. It runs in Prefect's server, so it needs neither schedule nor worker.

    A cancelled or failed run does not end the silence; a long run that makes progress does.

    Attributes:
        issuing: the ids of the deployments whose events count.
        check: the id of the deployment to run, which reports the cause. Without a worker its run is shown as *Late*.
        block: a notification block for a message, if any.
    """

    issuing: tuple[UUID, ...]
    check: UUID
    within: timedelta
    block: UUID | None = None

    def all(self) -> Iterator[Automation]:
        yield Automation(
            name=NOTHING_HAS_RUN,
            description="Runs check when no run of reconcile has completed or made progress for too long.",
            trigger=EventTrigger(
                posture=Posture.Proactive,
                after={*_SIGNS_OF_LIFE, WATCH_BEGAN},
                expect=_SIGNS_OF_LIFE,
                match_related={"prefect.resource.id": [f"prefect.deployment.{each}" for each in self.issuing]},
                threshold=1,
                within=self.within,
            ),
            actions=list(self._actions()),
        )

    def _actions(self) -> Iterator[RunDeployment | SendNotification]:
        yield RunDeployment(source="selected", deployment_id=self.check)
        if self.block is not None:
            minutes = round(self.within.total_seconds() / 60)
            body = (
                f"No run of reconcile has completed or made progress for {minutes} minutes, so no badges are issued.\n"
                "What to do: check that a worker of the pool “badges” is running and that the schedule of reconcile is "
                "active. `python -m flows.check` shows the next runs."
            )
            yield SendNotification(block_document_id=self.block, subject=NOTHING_HAS_RUN, body=body)
