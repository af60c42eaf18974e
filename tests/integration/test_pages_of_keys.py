"""Pages in the order of keys: which of their users have an active row is read in that order, from indexes alone."""

import pytest

from models.database import Database
from models.ledger.tables import BadgeIssuance
from models.planning.pairs import active_between
from models.planning.planner import Sweep, sweep
from models.planning.writing import PlanCounts
from rules.ledger.reasons import Reason
from rules.ledger.states import Origin
from tests.support.factories import ACHIEVEMENT, NOW, an_award, an_issuance, change
from tests.support.plans import CANCELLED, DAY, FAILED, HOUR, ISSUED, NOTHING, PENDING, ledger, planned

LONG_AGO = NOW - 20 * DAY


@pytest.fixture
async def issued(ready: Database) -> Database:
    """Nine users with an award and a row, of which a page has two."""
    for number in range(1, 10):
        await an_award(ready, user=f"user-{number}", awarded_at=LONG_AGO)
    await planned(ready)
    ready.rows_per_page = 2
    return ready


async def swept(database: Database) -> PlanCounts:
    return await sweep(database, Sweep(), now=NOW + HOUR)


async def test_between_two_keys_those_are_found_that_have_active_rows_alone(ready: Database) -> None:
    rows = [("a", ISSUED), ("b", PENDING), ("c", CANCELLED), ("d", CANCELLED), ("e", FAILED), ("f", ISSUED)]
    for user, state in rows:
        await an_issuance(ready, user=user, state=state, badge_template_id="earlier", former=True)
    await an_issuance(ready, user="d", state=PENDING)

    async def found(at_most: int) -> set[str]:
        keys = await ready.read(active_between, (ACHIEVEMENT, "a"), (ACHIEVEMENT, "e"), at_most=at_most)
        return {user for _, user in keys}

    assert await found(6) == {"b", "e"}
    assert await found(5) == set()


async def test_a_cancelled_row_among_active_ones_is_taken_up_again(issued: Database) -> None:
    (row,) = [row.id for row in await ledger(issued) if row.user_id == "user-4"]
    await change(issued, BadgeIssuance, row, state=CANCELLED, reason=Reason.AWARD_WITHDRAWN)

    assert await swept(issued) == PlanCounts(revived=1)


async def test_a_cancelled_row_beside_an_active_one_changes_nothing(issued: Database) -> None:
    await an_issuance(issued, user="user-4", state=CANCELLED, badge_template_id="earlier", former=True)

    assert await swept(issued) == NOTHING


async def test_an_award_is_found_among_many_rows_without_awards(issued: Database) -> None:
    for number in range(10, 30):
        await an_issuance(issued, user=f"user-4-{number}", origin=Origin.BY_HAND, state=ISSUED)
    await an_award(issued, user="user-4-15-late", awarded_at=LONG_AGO)

    assert await swept(issued) == PlanCounts(entered=1)
