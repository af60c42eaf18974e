"""What docs/events.md says of events and settings is what there is."""

import re

from automations.silence import WATCH_BEGAN
from rules.alarms import BADGE_REFUSED, RECONCILED, REVOKING_HELD, RUNS_RESUMED, Alarm
from rules.monitoring.liveness import HEARTBEAT, PROGRESS, RUN_ENDED
from settings import ROOT

PAGE = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")


def test_every_event_is_documented_and_no_other() -> None:
    events = {name for alarm in Alarm for name in (alarm.event, alarm.over_event)}

    named = set(re.findall(r"^\| `(laurel\.[a-z.]+)` \|", PAGE, re.MULTILINE))

    others = {BADGE_REFUSED, REVOKING_HELD, RUNS_RESUMED, WATCH_BEGAN, HEARTBEAT, PROGRESS, RUN_ENDED, RECONCILED}
    assert named == events | others


def test_every_alarm_is_in_the_table_of_messages() -> None:
    assert [alarm for alarm in Alarm if f"| {alarm.heading} |" not in PAGE] == []
