"""What a change of settings is called, and its words."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from rules.ledger.settings_changes import SettingsAction, SettingsOf, action_of, change_text, changes_of

CONNECTION, INTEGRATION = SettingsOf.CONNECTION, SettingsOf.INTEGRATION
MOMENT = datetime(2026, 11, 2, 9, 15, tzinfo=timezone(timedelta(hours=1)))
IN_UTC = "2026-11-02T08:15:00+00:00"


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ({"locale": "en", "expiry": "never"}, {"locale": "de", "expiry": "never"}, {"locale": ("en", "de")}),
        ({"paused_at": None}, {"paused_at": MOMENT}, {"paused_at": (None, IN_UTC)}),
        ({"paused_at": MOMENT}, {"paused_at": MOMENT.astimezone(UTC)}, {}),
        (None, {"locale": "", "issue_since": None}, {"locale": (None, "")}),
        ({"locale": "en", "issue_since": None}, None, {"locale": ("en", None)}),
        (None, None, {}),
    ],
)
def test_only_what_differs_is_a_change(before: Any, after: Any, changes: Any) -> None:
    assert changes_of(before, after) == changes


@pytest.mark.parametrize(
    ("settings_of", "changes", "existed", "exists", "action"),
    [
        (CONNECTION, {"token_block": (None, "b")}, False, True, "connected"),
        (CONNECTION, {"token_block": ("b", None)}, True, False, "disconnected"),
        (CONNECTION, {"token_block": ("b", "c")}, True, True, "changed"),
        (INTEGRATION, {"paused_at": (None, IN_UTC)}, False, True, "enabled"),
        (INTEGRATION, {"paused_at": (IN_UTC, None)}, True, False, "disabled"),
        (INTEGRATION, {"paused_at": (None, IN_UTC)}, True, True, "paused"),
        (INTEGRATION, {"paused_at": (IN_UTC, None)}, True, True, "resumed"),
        (INTEGRATION, {"held_at": (None, IN_UTC)}, True, True, "held"),
        (INTEGRATION, {"held_at": (IN_UTC, None)}, True, True, "released"),
        (INTEGRATION, {"held_at": (IN_UTC, None), "locale": ("", "de")}, True, True, "changed"),
    ],
)
def test_a_change_has_a_name(settings_of: SettingsOf, changes: Any, existed: bool, exists: bool, action: str) -> None:
    assert action_of(settings_of, changes, existed=existed, exists=exists) == action


@pytest.mark.parametrize(
    ("settings_of", "subject", "action", "changes", "words"),
    [
        (
            INTEGRATION,
            "Forklift",
            SettingsAction.ENABLED,
            {"badge_template_id": (None, "t-1"), "user_evidence": (None, True), "locale": (None, "")},
            "Achievement Forklift was enabled for Credly: badge_template_id t-1; user_evidence on.",
        ),
        (
            INTEGRATION,
            "forklift",
            SettingsAction.CHANGED,
            {"user_evidence": (True, False), "locale": ("", "de")},
            "Achievement forklift was changed in its Credly settings: user_evidence on → off; locale – → de.",
        ),
        (
            INTEGRATION,
            "forklift",
            SettingsAction.DISABLED,
            {"locale": ("de", None)},
            "Achievement forklift was disabled for Credly.",
        ),
        (CONNECTION, "northwind", SettingsAction.CONNECTED, {}, "Portal northwind was connected to Credly."),
    ],
)
def test_a_change_has_words(
    settings_of: SettingsOf, subject: str, action: SettingsAction, changes: Any, words: str
) -> None:
    assert change_text(settings_of, subject, action, changes) == words
