"""Alerts to operators through one of Prefect's notification blocks, and messages when a problem is resolved."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture, SequenceTrigger

from rules.monitoring.alerts import NAMES_HELD, RECONCILED, REVOKING_HELD, RUNS_RESUMED, AlertKind

REMIND_AFTER = timedelta(days=1)
_FAILURES = {"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"}
_SCHEDULED = {"prefect.resource.id": "prefect.tag.scheduled"}
_SENTENCE = "{{ event.payload.sentence }}"
_ADVICE = "{% if event.payload.advice %}\nWhat to do: {{ event.payload.advice }}{% endif %}"
_BADGES = "{% if event.payload.badges %}\nRefused, each with its form:\n{{ event.payload.badges }}{% endif %}"
_RUN = "\nThe run: {{ event.payload.run }}"


@dataclass(frozen=True, kw_only=True)
class Alerts:
    """The notification block for alerts, and after how long one may be repeated."""

    block: UUID
    reconcile: UUID
    remind_after: timedelta = REMIND_AFTER

    def all(self) -> Iterator[Automation]:
        for kind in AlertKind:
            yield self._on(
                kind.event, kind.heading, f"{_SENTENCE}{_ADVICE}{_BADGES}{_RUN}", again_after=self.remind_after
            )
            yield self._on(kind.resolved_event, kind.resolved_heading, f"{_SENTENCE}{_RUN}")
        yield self._run_failed()
        yield self._run_works_again()
        yield self._on(RUNS_RESUMED, "Runs end again", f"{_SENTENCE}{_RUN}")
        held = f"{_SENTENCE}{_ADVICE}{_RUN}"
        yield self._on(REVOKING_HELD, "Revoking badges is held", held, again_after=self.remind_after)
        yield self._on(NAMES_HELD, "Replacing badges is held", held, again_after=self.remind_after)

    def _on(self, event: str, title: str, body: str, *, again_after: timedelta = timedelta(0)) -> Automation:
        # `within` suppresses further messages while the same event repeats.
        trigger = EventTrigger(
            posture=Posture.Reactive,
            expect={event},
            for_each={"prefect.resource.id"},
            threshold=1,
            within=again_after,
        )
        return self._sending(title, trigger, body)

    def _run_failed(self) -> Automation:
        trigger = EventTrigger(
            posture=Posture.Reactive,
            expect=_FAILURES,
            match_related=_SCHEDULED,
            for_each={"related:flow:prefect.resource.id"},
            threshold=1,
            within=self.remind_after,
        )
        body = (
            "{{ flow_run.name }} ended as {{ flow_run.state.name }}: {{ flow_run.state.message }}\n"
            "What to do: look at the run. Nothing is lost, and “Retry” is safe. You hear of this flow once a day at "
            "most.\nThe run: {{ flow_run|ui_url }}"
        )
        return self._sending("A scheduled run failed", trigger, body)

    def _run_works_again(self) -> Automation:
        own = {"prefect.resource.id": f"prefect.deployment.{self.reconcile}"}
        failed = EventTrigger(expect=_FAILURES, match_related=own, threshold=1, within=timedelta(0))
        completed = EventTrigger(
            expect={RECONCILED},
            match_related=own,
            threshold=1,
            within=timedelta(0),
        )
        trigger = SequenceTrigger(triggers=[failed, completed], within=timedelta(days=30))
        body = "A run of reconcile has completed after one that failed."
        return self._sending("reconcile works again", trigger, body)

    def _sending(self, title: str, trigger: EventTrigger | SequenceTrigger, body: str) -> Automation:
        return Automation(
            name=f"Laurel: {title}",
            description=f"Sends a message: {title}.",
            trigger=trigger,
            actions=[SendNotification(block_document_id=self.block, subject=f"Laurel: {title}", body=body)],
        )
