"""Silence: for too long no run of `reconcile` has completed or been at work, for whatever reason."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation
from prefect.events.actions import RunDeployment, SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture

from rules.alarms import RECONCILED
from rules.monitoring.liveness import PROGRESS

WATCH_BEGAN = "laurel.watch.began"
# Not Prefect's states: its server may evaluate those a quarter of an hour late (docs/decisions/0008).
_AT_WORK = {RECONCILED, PROGRESS}


@dataclass(frozen=True, kw_only=True)
class Silence:
    """The automation that notices silence: Prefect's server keeps it, so it needs no schedule and no worker.

    A cancelled slot does not count, nor does a failed run. A long run that makes progress does, for as long as it
    goes on.

    Attributes:
        issuing: the ids of the deployments whose events count.
        check: the id of the deployment that is run: it reports what is wrong. Without a worker its run is shown as
            *Late*, which is visible where an operator looks.
        block: a notification block that gets a message as well, if there is one.
    """

    issuing: tuple[UUID, ...]
    check: UUID
    within: timedelta
    block: UUID | None = None

    def all(self) -> Iterator[Automation]:
        """Return the automation."""
        yield Automation(
            name="Laurel: Nothing has run",
            description="Runs check when no run of reconcile has completed or been at work for too long.",
            trigger=EventTrigger(
                posture=Posture.Proactive,
                after={*_AT_WORK, WATCH_BEGAN},
                expect=_AT_WORK,
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
                f"No run of reconcile has completed or been at work for {minutes} minutes, so no badges are issued.\n"
                "What to do: look whether a worker of the pool “badges” is running, and whether the schedule of "
                "reconcile is active. `python -m flows.check` says what is planned."
            )
            yield SendNotification(block_document_id=self.block, subject="Laurel: Nothing has run", body=body)
