"""When an award counts as withdrawn: once its `withdrawn_at` has come, on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, text

from models.database import Database
from models.diagnostics.explain import history_of
from models.ledger.issuance_data import facts_of, facts_of_latest_award
from models.ledger.manual import ManualIssue, facts_of_request, pair_of
from models.ledger.tables import BadgeIssuance
from models.operations import audit
from models.planning.preview import count_due_at_once
from models.planning.withdrawn import withdrawn_among
from models.planning.writing import PlanCounts
from models.platform.tables import AchievementAward
from models.setup.tables import CredlyConnection, CredlyIntegration
from rules.forms.inputs import EarnedAgain
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from tasks.operations.revoke import revocable
from tests.support.factories import (
    ACHIEVEMENT,
    AWARDED,
    NOW,
    PORTAL,
    TEMPLATE,
    USER,
    an_achievement,
    an_award,
    an_integration,
    an_issuance,
    change,
    remove,
)
from tests.support.plans import (
    BLOCKED,
    CANCELLED,
    DAY,
    FAILED,
    HOUR,
    ISSUED,
    NOTHING,
    PENDING,
    ledger,
    planned,
    the_issuance,
)

LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
POSTGRESQL_ONLY = "20000-01-01 00:00:00"
TO_COME = ["tomorrow", "9999-12-31 23:59:59", "infinity", POSTGRESQL_ONLY]
COME = ["a second ago", "0001-01-01 00:00:00", "-infinity"]
WISH = ManualIssue(achievement_id=ACHIEVEMENT, user_id=USER, portal_id=PORTAL, badge_template_id=TEMPLATE)


async def put_withdrawn_at(database: Database, value: str, award: str = "award-1") -> None:
    """Write the value as a platform can, also where Python has no such moment."""
    if value == POSTGRESQL_ONLY and database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no such moment.")
    moments = {"tomorrow": "2026-11-11 12:00:00", "a second ago": "2026-11-10 11:59:59"}
    raw = moments.get(value, value)
    if database.engine.dialect.name == "postgresql" and "infinity" not in raw:
        raw = f"{raw}+00"
    statement = f"UPDATE achievement_awards SET withdrawn_at = '{raw}' WHERE id = '{award}'"
    await database.write(Connection.execute, text(statement))


async def issued_without_award(database: Database, *, now: datetime = NOW) -> list[int]:
    return (await withdrawn_among(database, audit.ISSUED_AND_VALID, portal_ids=[PORTAL], now=now)).ids


async def to_be_revoked(database: Database, *, now: datetime = NOW) -> list[int]:
    found = await withdrawn_among(database, audit.REVOKED_WHEN_WITHDRAWN, portal_ids=[PORTAL], now=now)
    badges = await database.read(audit.to_be_revoked, found.ids)
    assert sum(each.badges for each in revocable(found)) == len(badges)
    return [badge.issuance_id for badge in badges]


# Its moment


@pytest.mark.parametrize("value", TO_COME)
async def test_an_award_whose_withdrawal_has_not_come_is_issued_as_usual(ready: Database, value: str) -> None:
    await an_award(ready, "award-1")
    await put_withdrawn_at(ready, value)

    assert await planned(ready) == PlanCounts(entered=1)
    assert await planned(ready) == NOTHING
    row = await the_issuance(ready)
    (facts,) = await facts_of(ready, [row.id], now=NOW)
    wished = await facts_of_request(ready, WISH, now=NOW)
    latest = await facts_of_latest_award(ready, ACHIEVEMENT, now=NOW)
    assert (row.state, row.award_id, facts.award_withdrawn) == (PENDING, "award-1", False)
    assert latest is not None
    assert {wished.award_id, latest.award_id} == {"award-1"}
    assert (wished.award_withdrawn, latest.award_withdrawn) == (False, False)


@pytest.mark.parametrize("value", COME)
async def test_an_award_whose_withdrawal_has_come_is_not_issued(ready: Database, value: str) -> None:
    await an_award(ready, "award-1")
    await an_award(ready, "award-2", user="bob")
    await put_withdrawn_at(ready, value)
    await put_withdrawn_at(ready, value, "award-2")
    waiting = await an_issuance(ready, user="bob", award_id="award-2", awarded_at=AWARDED)

    (facts,) = await facts_of(ready, [waiting], now=NOW)
    standing = (await pair_of(ready, WISH.key, now=NOW)).valid_awards
    at_once = await count_due_at_once(ready, ACHIEVEMENT, now=NOW)
    latest = await facts_of_latest_award(ready, ACHIEVEMENT, now=NOW)
    assert (facts.award_withdrawn, standing, at_once, latest) == (True, [], 0, None)
    assert await planned(ready) == PlanCounts(cancelled=1)
    assert [row.user_id for row in await ledger(ready)] == ["bob"]


@pytest.mark.parametrize("state", [PENDING, BLOCKED, FAILED])
async def test_what_waits_is_cancelled_when_the_moment_comes(ready: Database, state: IssuanceState) -> None:
    await an_award(ready, "award-1", withdrawn_at=NOW + DAY)
    await an_issuance(ready, state=state, award_id="award-1", awarded_at=AWARDED)

    early = await planned(ready)
    late = await planned(ready, now=NOW + DAY)

    assert (early.cancelled, late.cancelled) == (0, 1)
    assert (await the_issuance(ready)).reason is Reason.AWARD_WITHDRAWN


@pytest.mark.parametrize("value", TO_COME)
async def test_an_issued_badge_is_not_revoked_before_the_moment(ready: Database, value: str) -> None:
    await an_award(ready, "award-1")
    await put_withdrawn_at(ready, value)
    await change(ready, CredlyIntegration, 1, revoke_when_withdrawn=True)
    await an_issuance(ready, state=ISSUED, award_id="award-1", awarded_at=AWARDED)

    assert (await issued_without_award(ready), await to_be_revoked(ready)) == ([], [])


@pytest.mark.parametrize("value", [*COME, "tomorrow"])
async def test_an_issued_badge_is_revoked_once_the_moment_has_come(ready: Database, value: str) -> None:
    await an_award(ready, "award-1")
    await put_withdrawn_at(ready, value)
    await change(ready, CredlyIntegration, 1, revoke_when_withdrawn=True)
    issuance = await an_issuance(ready, state=ISSUED, award_id="award-1", awarded_at=AWARDED)

    assert await issued_without_award(ready, now=NOW + DAY) == [issuance]
    assert await to_be_revoked(ready, now=NOW + DAY) == [issuance]


@pytest.mark.parametrize("value", TO_COME)
async def test_a_later_award_that_is_not_withdrawn_yet_replaces_and_revives(ready: Database, value: str) -> None:
    await change(ready, CredlyIntegration, 1, earned_again=EarnedAgain.REPLACE)
    await an_issuance(ready, state=ISSUED, award_id="first", awarded_at=NOW - 2 * DAY)
    await an_issuance(ready, user="bob", state=CANCELLED)
    await an_award(ready, "award-1", awarded_at=NOW - DAY)
    await an_award(ready, "award-2", user="bob")
    await put_withdrawn_at(ready, value)
    await put_withdrawn_at(ready, value, "award-2")

    assert await planned(ready) == PlanCounts(revived=2)
    assert [row.award_id for row in await ledger(ready)] == ["award-1", "award-2"]


@pytest.mark.parametrize(
    ("value", "withdrawn", "shown"),
    [
        ("tomorrow", False, NOW + DAY),
        ("9999-12-31 23:59:59", False, LAST),
        ("infinity", False, None),
        (POSTGRESQL_ONLY, False, None),
        ("a second ago", True, datetime(2026, 11, 10, 11, 59, 59, tzinfo=UTC)),
        ("-infinity", True, None),
    ],
)
async def test_the_story_shows_the_moment_where_there_is_one(
    ready: Database, value: str, withdrawn: bool, shown: datetime | None
) -> None:
    await an_award(ready, "award-1")
    await put_withdrawn_at(ready, value)

    found = await history_of(ready, user_id=USER, achievement_id=ACHIEVEMENT, now=NOW)

    (award,) = found.history.awards
    assert (award.withdrawn, award.withdrawn_at) == (withdrawn, shown)
    assert bool(found.history.pair.valid_awards) is not withdrawn


# A row that is gone


async def gone(database: Database, count: int, *, state: IssuanceState = PENDING, kept: int = 0) -> None:
    """Issuances for awards whose rows are gone, and so many whose rows are there."""
    for number in range(count + kept):
        user = f"user-{number:03}"
        if number >= count:
            await an_award(database, f"kept-{number:03}", user=user)
        await an_issuance(database, user=user, state=state, award_id=f"kept-{number:03}", awarded_at=AWARDED)


async def count_deletion(database: Database) -> None:
    await change(database, CredlyConnection, 1, deletion_withdraws=True)


@pytest.mark.parametrize("state", [PENDING, BLOCKED, FAILED])
async def test_an_award_whose_row_is_gone_is_not_withdrawn(ready: Database, state: IssuanceState) -> None:
    reason = {BLOCKED: Reason.TOKEN_REFUSED, FAILED: Reason.REFUSED_BY_CREDLY}.get(state)
    await an_issuance(ready, state=state, reason=reason, award_id="award-1", awarded_at=AWARDED)

    assert await planned(ready) == NOTHING
    row = await the_issuance(ready)
    assert (row.state, row.awarded_at) == (state, AWARDED)


@pytest.mark.parametrize("state", [PENDING, BLOCKED, FAILED])
async def test_an_award_whose_row_is_gone_is_withdrawn_where_the_connection_is_set_so(
    ready: Database, state: IssuanceState
) -> None:
    await count_deletion(ready)
    await an_issuance(ready, state=state, award_id="award-1", awarded_at=AWARDED)

    assert await planned(ready) == PlanCounts(cancelled=1)
    assert (await the_issuance(ready)).reason is Reason.AWARD_WITHDRAWN


async def test_the_setting_of_another_portal_does_not_count(ready: Database) -> None:
    await count_deletion(ready)
    await an_achievement(ready, "crane", portal="elsewhere")
    await an_integration(ready, achievement="crane")
    await an_issuance(ready, achievement="crane", portal="elsewhere", state=FAILED)

    assert await planned(ready) == NOTHING


@pytest.mark.parametrize("counts", [False, True])
async def test_an_issued_badge_whose_award_is_gone_is_revoked_only_where_the_connection_is_set_so(
    ready: Database, counts: bool
) -> None:
    await change(ready, CredlyConnection, 1, deletion_withdraws=counts)
    await change(ready, CredlyIntegration, 1, revoke_when_withdrawn=True)
    issuance = await an_issuance(ready, state=ISSUED, award_id="award-1", awarded_at=AWARDED)

    expected = [issuance] if counts else []
    assert await issued_without_award(ready) == expected
    assert await to_be_revoked(ready) == expected


@pytest.mark.parametrize(
    ("other", "withdrawn"),
    [
        ({"awarded_at": AWARDED - DAY, "withdrawn_at": NOW - HOUR}, False),
        ({"awarded_at": AWARDED, "withdrawn_at": NOW - HOUR}, True),
    ],
)
async def test_another_withdrawn_award_does_not_stand_for_a_row_that_is_gone(
    ready: Database, other: dict[str, Any], withdrawn: bool
) -> None:
    """But the same moment under another id is the same award, which the platform has written again."""
    await an_award(ready, "another", **other)
    await an_issuance(ready, award_id="award-1", awarded_at=AWARDED)

    assert (await planned(ready)).cancelled == int(withdrawn)


async def test_a_badge_to_be_replaced_is_still_replaced_when_the_row_of_its_award_goes(ready: Database) -> None:
    await an_issuance(ready, award_id="award-1", awarded_at=AWARDED, replaces_badge_id="badge-1")

    assert await planned(ready) == NOTHING
    await count_deletion(ready)
    await planned(ready)
    row = await the_issuance(ready)
    assert (row.state, row.credly_badge_id) == (ISSUED, "badge-1")


@pytest.mark.parametrize(
    ("lost", "kept", "cancelled"),
    [(9, 0, 9), (10, 0, 0), (12, 107, 0), (11, 110, 11)],
)
async def test_a_source_that_lost_much_withdraws_nothing_by_deletion(
    ready: Database, lost: int, kept: int, cancelled: int
) -> None:
    await count_deletion(ready)
    await gone(ready, lost, kept=kept)

    assert (await planned(ready)).cancelled == cancelled


async def test_a_source_that_lost_much_still_withdraws_by_the_moment(ready: Database) -> None:
    await count_deletion(ready)
    await gone(ready, 15)
    await an_award(ready, "award-1", withdrawn_at=NOW - HOUR)
    await an_issuance(ready, award_id="award-1", awarded_at=AWARDED)

    assert await planned(ready) == PlanCounts(cancelled=1)
    assert [row.user_id for row in await ledger(ready) if row.state is CANCELLED] == [USER]


async def test_a_source_that_lost_much_revokes_nothing_and_is_named(ready: Database) -> None:
    await count_deletion(ready)
    await change(ready, CredlyIntegration, 1, revoke_when_withdrawn=True)
    await gone(ready, 15, state=ISSUED, kept=5)

    (loss,) = (await withdrawn_among(ready, audit.ISSUED_AND_VALID, portal_ids=[PORTAL], now=NOW)).lost

    assert (loss.portal_id, loss.missing, loss.awards) == (PORTAL, 15, 20)
    assert (await issued_without_award(ready), await to_be_revoked(ready)) == ([], [])


async def test_badges_that_ended_at_credly_are_not_counted_as_lost(ready: Database) -> None:
    await count_deletion(ready)
    await gone(ready, 15, state=ISSUED, kept=5)
    for row in (await ledger(ready))[:10]:
        await change(ready, BadgeIssuance, row.id, credly_state="revoked")

    found = await withdrawn_among(ready, audit.ISSUED_AND_VALID, portal_ids=[PORTAL], now=NOW)

    assert (len(found.ids), found.lost) == (5, ())


async def test_a_portal_that_is_connected_after_its_awards_were_lost_issues_what_waits(ready: Database) -> None:
    await gone(ready, 15, state=BLOCKED)
    await count_deletion(ready)

    counts = await planned(ready)

    assert (counts.unblocked, counts.cancelled) == (15, 0)


async def test_where_no_connection_is_set_so_nothing_is_counted(ready: Database) -> None:
    await gone(ready, 15)

    found = await withdrawn_among(ready, portal_ids=[PORTAL], now=NOW)

    assert (found.ids, found.lost) == ([], ())


async def test_the_table_emptied_as_a_whole_cancels_nothing(ready: Database) -> None:
    await count_deletion(ready)
    for number in range(12):
        await an_award(ready, user=f"user-{number}")
    await planned(ready)
    await remove(ready, AchievementAward)

    assert await planned(ready) == NOTHING
    assert {row.state for row in await ledger(ready)} == {PENDING}
