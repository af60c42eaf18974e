"""Which settings of an integration the overview lists."""

from datetime import UTC, datetime
from typing import Any

from models.setup.tables import CredlyIntegration
from rules.forms.inputs import WhenDataChanges
from tasks.forms.overview import unusual_settings


def an_integration(**settings: Any) -> CredlyIntegration:
    enabled_at = datetime(2026, 11, 2, 9, tzinfo=UTC)
    return CredlyIntegration(achievement_id="forklift", badge_template_id="t-1", enabled_at=enabled_at, **settings)


def test_an_integration_with_the_default_settings_has_nothing_unusual() -> None:
    assert list(unusual_settings(an_integration())) == ["issue_since"]


def test_a_setting_with_another_value_than_the_default_is_listed() -> None:
    changed = an_integration(when_data_changes=WhenDataChanges.REPLACE, suppress_notification=True, locale="de")

    assert list(unusual_settings(changed)) == [
        "issue_since",
        "suppress_credly_email",
        "locale",
        "when_data_changes",
    ]
