"""Messages to a person, through any of Prefect's notification blocks, about what is wrong and what is well again."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture, SequenceTrigger

from rules.alarms import RUNS_RESUMED, Alarm
from tasks.tell import NEEDS_A_PERSON

REMIND_AFTER = timedelta(days=1)
WATCH_BEGAN = "laurel.watch.began"
_DONE = {"prefect.flow-run.Completed", f"prefect.flow-run.{NEEDS_A_PERSON}"}
_FAILURES = {"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"}
_ENDS = {*_DONE, *_FAILURES, "prefect.flow-run.Cancelled"}
_SCHEDULED = {"prefect.resource.id": "prefect.tag.scheduled"}
_SENTENCE = "{{ event.payload.sentence }}"
_ADVICE = "{% if event.payload.advice %}\nWhat to do: {{ event.payload.advice }}{% endif %}"
_RUN = "\nThe run: {{ event.payload.run }}"


@dataclass(frozen=True, kw_only=True)
class Alerts:
    """Where messages go, and how long things may last before one is sent."""

    block: UUID
    reconcile: UUID
    no_run_for: timedelta
    remind_after: timedelta = REMIND_AFTER

    def all(self) -> Iterator[Automation]:
        """Return every automation that sends a message; each name is there once."""
        for alarm in Alarm:
            yield self._on(alarm.event, alarm.heading, f"{_SENTENCE}{_ADVICE}{_RUN}", again_after=self.remind_after)
            yield self._on(alarm.over_event, alarm.over_heading, f"{_SENTENCE}{_RUN}")
        yield self._run_failed()
        yield self._run_works_again()
        yield self._nothing_runs()
        yield self._on(RUNS_RESUMED, "Runs end again", f"{_SENTENCE}{_RUN}")

    def _on(self, event: str, title: str, body: str, *, again_after: timedelta = timedelta(0)) -> Automation:
        """A message for each such event; while it is repeated, another one only after a while."""
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
            expect=_DONE,
            match_related=own,
            threshold=1,
            within=timedelta(0),
        )
        trigger = SequenceTrigger(triggers=[failed, completed], within=timedelta(days=30))
        body = "A run of reconcile has completed after one that failed."
        return self._sending("reconcile works again", trigger, body)

    def _nothing_runs(self) -> Automation:
        """Once for each silence: the end of a run starts the watch, and so does setting these automations up."""
        trigger = EventTrigger(
            posture=Posture.Proactive,
            after={*_ENDS, WATCH_BEGAN},
            expect=_ENDS,
            match_related={"prefect.resource.id": f"prefect.deployment.{self.reconcile}"},
            threshold=1,
            within=self.no_run_for,
        )
        minutes = round(self.no_run_for.total_seconds() / 60)
        body = (
            f"No run of reconcile has ended for {minutes} minutes, so no badges are issued.\n"
            "What to do: look whether a worker of the pool “badges” is running, and whether the schedule of reconcile "
            "is active."
        )
        return self._sending("Nothing has run", trigger, body)

    def _sending(self, title: str, trigger: EventTrigger | SequenceTrigger, body: str) -> Automation:
        return Automation(
            name=f"Laurel: {title}",
            description=f"Sends a message: {title}.",
            trigger=trigger,
            actions=[SendNotification(block_document_id=self.block, subject=f"Laurel: {title}", body=body)],
        )
