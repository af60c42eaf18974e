"""The view for the platform's own pages, and the list of badges that nobody has claimed."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from models.database import Database
from models.operations import audit
from reports import frames
from rules.forms.period import period_of
from rules.ledger.states import IssuanceState
from tests.support.factories import NOW, an_issuance

ISSUED: dict[str, Any] = {"state": IssuanceState.ISSUED, "badge_url": "https://credly.example/badges/1"}
LATER, EARLIER = NOW + timedelta(hours=1), NOW - timedelta(hours=1)


async def the_badges(database: Database) -> dict[str, tuple[Any, ...]]:
    query = text("SELECT user_id, state, badge_url, claim_state FROM laurel_badges")
    rows = await database.read(lambda connection: connection.execute(query).all())
    return {user: (state, url, claim) for user, state, url, claim in rows}


async def test_the_view_of_badges_has_the_present_state_and_no_erased_user(database: Database) -> None:
    url = ISSUED["badge_url"]
    await an_issuance(database, user="new", **ISSUED)
    await an_issuance(database, user="accepted", credly_state="accepted", audited_at=LATER, **ISSUED)
    await an_issuance(database, user="replaced", credly_state="accepted", audited_at=EARLIER, **ISSUED)
    await an_issuance(database, user="due", state=IssuanceState.PENDING, badge_url=url)
    await an_issuance(database, user="erased", transition="erase", **ISSUED)
    await an_issuance(database, user="moved", former=True, **ISSUED)

    assert await the_badges(database) == {
        "new": ("issued", url, "pending"),
        "accepted": ("issued", url, "accepted"),
        "replaced": ("issued", url, "pending"),
        "due": ("pending", None, None),
    }


async def test_unclaimed_badges_are_listed_by_the_day_they_were_issued(database: Database) -> None:
    await an_issuance(database, user="new", **ISSUED)
    await an_issuance(database, user="old", recorded_at=NOW - timedelta(days=20), **ISSUED)
    await an_issuance(
        database, user="claimed", recorded_at=NOW - timedelta(days=20), credly_state="accepted",
        audited_at=NOW, **ISSUED
    )  # fmt: skip
    day = (NOW - timedelta(days=14)).date()

    assert list((await frames.unclaimed(database, period_of(None, NOW.date())))["user_id"]) == ["old", "new"]
    assert list((await frames.unclaimed(database, period_of(None, day)))["user_id"]) == ["old"]


@pytest.mark.parametrize(("days", "expected"), [(0, 2), (14, 1), (30, 0)])
async def test_unclaimed_badges_are_counted_by_portal(database: Database, days: int, expected: int) -> None:
    await an_issuance(database, user="new", **ISSUED)
    await an_issuance(database, user="old", recorded_at=NOW - timedelta(days=20), **ISSUED)
    before = NOW - timedelta(days=days) + timedelta(seconds=1)

    found = await database.read(audit.unclaimed, portal_ids=["northwind"], before=before)

    assert sum(found.values()) == expected
