"""The events and alerts in the documents are those in the code."""

import re

from automations.silence import WATCH_BEGAN
from rules.monitoring.alerts import (
    BADGE_REFUSED,
    BADGES_UNCLAIMED,
    NAMES_HELD,
    RECONCILED,
    REVOKING_HELD,
    RUNS_RESUMED,
    AlertKind,
)
from rules.monitoring.liveness import HEARTBEAT, PROGRESS, RUN_ENDED
from settings import ROOT

EVENTS = (ROOT / "docs" / "reference" / "events.md").read_text(encoding="utf-8")
ALERTS = (ROOT / "docs" / "how-to" / "alerts.md").read_text(encoding="utf-8")


def test_every_event_is_documented_and_no_other() -> None:
    events = {name for kind in AlertKind for name in (kind.event, kind.resolved_event)}

    named = set(re.findall(r"^\| `(laurel\.[a-z.]+)` \|", EVENTS, re.MULTILINE))

    others = {
        BADGE_REFUSED,
        BADGES_UNCLAIMED,
        NAMES_HELD,
        REVOKING_HELD,
        RUNS_RESUMED,
        WATCH_BEGAN,
        HEARTBEAT,
        PROGRESS,
        RUN_ENDED,
        RECONCILED,
    }
    assert named == events | others


def test_every_alarm_is_in_the_table_of_messages() -> None:
    assert [kind for kind in AlertKind if f"| {kind.heading} |" not in ALERTS] == []
