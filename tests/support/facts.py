"""The facts of one issuance that is ready to be sent, with what a test changes about it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from rules.badge.issuance_data import BadgeOptions, IssuanceFacts

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
AWARDED = datetime(2026, 11, 2, 23, 59, 59, tzinfo=timezone(timedelta(hours=1)))


def facts(**changes: Any) -> IssuanceFacts:
    options = {name: changes.pop(name) for name in list(changes) if name in BadgeOptions.__dataclass_fields__}
    plain = IssuanceFacts(
        issuance_id=1,
        achievement_id="forklift",
        user_id="person-0042",
        portal_id="northwind",
        badge_template_id="template-1",
        award_id="award-1",
        awarded_at=AWARDED,
        first_name="Ada",
        last_name="Muster",
        email="ada@example.org",
        options=BadgeOptions(**options),
    )
    return replace(plain, **changes)
