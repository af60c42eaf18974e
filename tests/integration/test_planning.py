"""What planning makes of awards, integrations and connections; each rule on SQLite and PostgreSQL."""

import asyncio
from datetime import datetime, timedelta

import pytest

from models.database import Database
from models.planning.planner import begin
from models.planning.preview import new_pairs
from models.planning.writing import PlanCounts
from models.setup.tables import CredlyConnection
from rules.ledger.eligibility import decide
from rules.ledger.reasons import Reason
from rules.ledger.states import Origin
from tests.support.factories import (
    ENABLED,
    NOW,
    TEMPLATE,
    a_connection,
    a_portal,
    an_achievement,
    an_award,
    an_integration,
    an_issuance,
    remove,
)
from tests.support.plans import (
    BLOCKED,
    DAY,
    HOUR,
    NOTHING,
    PENDING,
    ledger,
    planned,
    the_issuance,
)

# What is entered


async def test_an_award_becomes_a_pending_issuance(ready: Database) -> None:
    await an_award(ready, "award-1", user="ada", awarded_at=NOW - DAY)

    counts = await planned(ready)

    row = await the_issuance(ready)
    assert counts == PlanCounts(entered=1)
    assert (row.achievement_id, row.user_id, row.badge_template_id) == ("forklift", "ada", TEMPLATE)
    assert (row.portal_id, row.award_id, row.awarded_at) == ("northwind", "award-1", NOW - DAY)
    assert (row.state, row.reason, row.origin, row.attempts) == (PENDING, None, Origin.AWARD, 0)
    assert (row.not_before, row.planned_at, row.updated_at, row.looked_again_at) == (NOW, NOW, NOW, NOW)
    assert (row.adopted, row.evidence_sent, row.evidence_left_out) == (False, "", "")


async def test_planning_again_changes_nothing(ready: Database) -> None:
    for user in ("ada", "bob"):
        await an_award(ready, user=user)
    await planned(ready)
    before = await ledger(ready)

    counts = await planned(ready, now=NOW + HOUR)

    assert counts == NOTHING
    assert await ledger(ready) == before


async def test_an_achievement_without_an_integration_owes_nothing(database: Database) -> None:
    await an_award(database)
    await a_connection(database)

    assert await planned(database) == NOTHING
    assert await ledger(database) == []


@pytest.mark.parametrize(
    ("since", "awarded_at", "owed"),
    [
        (None, ENABLED - timedelta(microseconds=1), 0),
        (None, ENABLED, 1),
        (ENABLED - DAY, ENABLED - DAY - timedelta(microseconds=1), 0),
        (ENABLED - DAY, ENABLED - DAY, 1),
        (ENABLED + DAY, ENABLED, 0),
        (ENABLED + DAY, ENABLED + DAY, 1),
    ],
)
async def test_an_integration_covers_awards_since_it_was_enabled_or_since_the_moment_given(
    database: Database, since: datetime | None, awarded_at: datetime, owed: int
) -> None:
    await an_integration(database, issue_since=since)
    await a_connection(database)
    await an_award(database, awarded_at=awarded_at)

    assert (await planned(database)).entered == owed
    assert len(await ledger(database)) == owed


async def test_a_row_that_arrives_late_with_an_old_date_is_owed_as_well(ready: Database) -> None:
    await an_award(ready, user="ada", awarded_at=NOW)
    await planned(ready)

    await an_award(ready, "late", user="bob", awarded_at=ENABLED)
    counts = await planned(ready, now=NOW + HOUR)

    assert counts.entered == 1
    assert [row.award_id for row in await ledger(ready) if row.user_id == "bob"] == ["late"]


async def test_awarded_twice_the_first_stands(ready: Database) -> None:
    await an_award(ready, "second", awarded_at=NOW - HOUR)
    await an_award(ready, "first", awarded_at=NOW - DAY)

    counts = await planned(ready)

    row = await the_issuance(ready)
    assert counts.entered == 1
    assert (row.award_id, row.awarded_at) == ("first", NOW - DAY)


async def test_of_two_awards_of_the_same_moment_always_the_same_stands(ready: Database) -> None:
    await an_award(ready, "b", awarded_at=NOW - DAY)
    await an_award(ready, "a", awarded_at=NOW - DAY)

    await planned(ready)

    assert (await the_issuance(ready)).award_id == "a"


async def test_only_covered_awards_compete_for_being_first(ready: Database) -> None:
    await an_award(ready, "before-it-was-enabled", awarded_at=ENABLED - DAY)
    await an_award(ready, "withdrawn", awarded_at=NOW - DAY, withdrawn_at=NOW - HOUR)
    await an_award(ready, "covered", awarded_at=NOW - HOUR)

    await planned(ready)

    assert (await the_issuance(ready)).award_id == "covered"


async def test_a_later_award_adds_nothing(ready: Database) -> None:
    await an_award(ready, "first", awarded_at=NOW - DAY)
    await planned(ready)

    await an_award(ready, "again", awarded_at=NOW - HOUR)

    assert await planned(ready) == NOTHING
    assert (await the_issuance(ready)).award_id == "first"


async def test_an_award_in_the_future_waits_for_its_moment(ready: Database) -> None:
    await an_award(ready, awarded_at=NOW + DAY)

    await planned(ready)

    row = await the_issuance(ready)
    assert (row.state, row.reason, row.not_before) == (PENDING, Reason.AWARDED_IN_FUTURE, NOW + DAY)


async def test_an_award_of_this_very_moment_does_not_wait(ready: Database) -> None:
    await an_award(ready, awarded_at=NOW)

    await planned(ready)

    row = await the_issuance(ready)
    assert (row.reason, row.not_before) == (None, NOW)


async def test_a_withdrawn_award_owes_nothing(ready: Database) -> None:
    await an_award(ready, withdrawn_at=NOW - HOUR)

    assert await planned(ready) == NOTHING


async def test_the_rows_of_a_preview_are_those_that_planning_enters(ready: Database) -> None:
    await an_award(ready, "due", user="ada")
    await an_award(ready, "future", user="bob", awarded_at=NOW + DAY)
    planning = await begin(ready, now=NOW)
    decisions = [each async for _, pair in new_pairs(planning) for each in decide(pair, now=NOW)]
    predicted = {each.award.award_id: each.state for each in decisions if each.award}

    await planned(ready)

    assert predicted == {row.award_id: row.state for row in await ledger(ready)}


@pytest.mark.parametrize(("portal", "entered"), [("northwind", ["ada"]), ("other", ["bob"]), ("nowhere", [])])
async def test_one_portal_can_be_planned_alone(ready: Database, portal: str, entered: list[str]) -> None:
    await an_award(ready, user="ada")
    await an_achievement(ready, "crane", portal="other")
    await an_integration(ready, achievement="crane")
    await an_award(ready, user="bob", achievement="crane")

    await planned(ready, portal_id=portal)

    assert [row.user_id for row in await ledger(ready)] == entered


async def test_several_plans_at_once_enter_each_badge_once(ready: Database) -> None:
    for number in range(40):
        await an_award(ready, user=f"user-{number}")

    counts = await asyncio.gather(*(planned(ready) for _ in range(5)))

    assert sum(count.entered for count in counts) == 40
    assert len(await ledger(ready)) == 40


# Portals that are not connected


async def test_awards_of_an_unconnected_portal_are_blocked_and_go_out_once_it_is_connected(database: Database) -> None:
    await an_integration(database)
    await an_award(database)
    await planned(database)
    waiting = await the_issuance(database)

    await a_connection(database)
    counts = await planned(database, now=NOW + HOUR)

    row = await the_issuance(database)
    assert (waiting.state, waiting.reason) == (BLOCKED, Reason.PORTAL_NOT_CONNECTED)
    assert counts == PlanCounts(unblocked=1)
    assert (row.state, row.reason, row.updated_at) == (PENDING, None, NOW + HOUR)


async def test_a_connection_of_another_portal_does_not_help(database: Database) -> None:
    await an_integration(database)
    await an_award(database)
    await a_portal(database, "other")
    await a_connection(database, portal="other")

    await planned(database)
    counts = await planned(database)

    assert counts == NOTHING
    assert (await the_issuance(database)).state is BLOCKED


@pytest.mark.parametrize("reason", [Reason.TOKEN_REFUSED, Reason.TEMPLATE_NOT_ACTIVE])
async def test_what_is_blocked_for_another_reason_is_not_planning_s_to_unblock(ready: Database, reason: Reason) -> None:
    await an_award(ready)
    await an_issuance(ready, state=BLOCKED, reason=reason)

    assert await planned(ready) == NOTHING
    assert (await the_issuance(ready)).reason is reason


async def test_an_award_in_the_future_of_an_unconnected_portal_still_waits_once_it_is_connected(
    database: Database,
) -> None:
    await an_integration(database)
    await an_award(database, awarded_at=NOW + DAY)
    await planned(database)

    await a_connection(database)
    await planned(database)

    row = await the_issuance(database)
    assert (row.state, row.reason, row.not_before) == (PENDING, Reason.AWARDED_IN_FUTURE, NOW + DAY)


async def test_what_waits_is_blocked_when_its_portal_is_not_connected_any_more(ready: Database) -> None:
    await an_award(ready)
    await planned(ready)
    await remove(ready, CredlyConnection)

    counts = await planned(ready, now=NOW + HOUR)

    row = await the_issuance(ready)
    assert counts == NOTHING
    assert (row.state, row.reason, row.updated_at) == (BLOCKED, Reason.PORTAL_NOT_CONNECTED, NOW + HOUR)
