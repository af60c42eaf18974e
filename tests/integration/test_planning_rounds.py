"""What a run looks at where the platform is large: what is new at once, everything else in its turn."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine, event

from models.database import Database
from models.ledger.tables import BadgeIssuance
from models.planning.pairs import issuances_after, setup_of
from models.planning.planner import Sweep, plan, sweep
from models.planning.progress import PlanningProgress, Round
from models.planning.writing import PlanCounts
from models.platform.tables import AchievementAward
from models.setup.tables import CredlyIntegration
from rules.forms.inputs import EarnedAgain
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from tests.support.factories import (
    ENABLED,
    NOW,
    a_connection,
    an_achievement,
    an_award,
    an_integration,
    an_issuance,
    change,
    remove,
    rows_of,
)
from tests.support.interrupted import MortalDatabase, OvertakenDatabase, beside, until_killed
from tests.support.plans import BLOCKED, CANCELLED, DAY, FAILED, HOUR, NOTHING, PENDING, ledger, planned

LONG_AGO = NOW - 20 * DAY  # covered, and not among the recent ones
USERS = 12


@pytest.fixture
def database(database: Database) -> Database:
    """A step of a round has two rows, so that few rows make many steps."""
    database.rows_per_page = 2
    return database


@pytest.fixture
async def large(ready: Database) -> Database:
    """Everything was planned: the ledger has a row for each award."""
    for number in range(USERS):
        await an_award(ready, f"award-{number:02}", user=f"user-{number:02}", awarded_at=LONG_AGO)
    await planned(ready)
    return ready


async def only_planned(database: Database, *, now: datetime, portal_id: str | None = None) -> PlanCounts:
    return await plan(database, now=now, portal_id=portal_id)


async def swept(
    database: Database, *, now: datetime, at_least: int = 4, portal_id: str | None = None, **wanted: Any
) -> PlanCounts:
    return await sweep(database, Sweep(at_least=at_least, **wanted), now=now, portal_id=portal_id)


async def place(database: Database, which: Round) -> Any:
    (found,) = [row for row in await rows_of(database, PlanningProgress) if row.round is which]
    return found


# What is new


async def test_an_award_whose_moment_has_come_since_the_last_run_is_entered_without_a_sweep(large: Database) -> None:
    await an_award(large, user="new", awarded_at=NOW + HOUR)

    assert await only_planned(large, now=NOW + HOUR / 2) == NOTHING
    assert await only_planned(large, now=NOW + HOUR) == PlanCounts(entered=1)
    assert await only_planned(large, now=NOW + 2 * HOUR) == NOTHING


@pytest.mark.parametrize("writes", [0, 1])
async def test_a_plan_that_dies_at_one_of_its_writes_leaves_no_award_behind(large: Database, writes: int) -> None:
    await an_award(large, user="new", awarded_at=NOW + HOUR / 2)

    async with beside(large, MortalDatabase(large.url, writes_left=writes)) as mortal:
        assert await until_killed(only_planned(mortal, now=NOW + HOUR))
    await only_planned(large, now=NOW + 2 * HOUR)

    assert [row.user_id for row in await ledger(large)][USERS:] == ["new"]


async def test_many_awards_of_one_moment_are_read_in_pages(large: Database, statements: list[str]) -> None:
    for number in range(7):
        await an_award(large, user=f"loaded-{number}", awarded_at=NOW + HOUR)
    statements.clear()

    assert await only_planned(large, now=NOW + 2 * HOUR) == PlanCounts(entered=7)
    pages = [each for each in statements if "ORDER BY achievement_awards.awarded_at" in each]
    assert len(pages) == 4


@pytest.mark.parametrize("order", [1, -1])
async def test_a_later_award_replaces_though_another_one_is_still_to_come(ready: Database, order: int) -> None:
    await change(ready, CredlyIntegration, 1, earned_again=EarnedAgain.REPLACE)
    await an_issuance(ready, state=IssuanceState.ISSUED, award_id="first", awarded_at=NOW - 3 * DAY)
    for name, moment in [("again", NOW - DAY), ("to come", NOW + DAY)][::order]:
        await an_award(ready, f"{'ab'[name == 'again']}-{name}", awarded_at=moment)

    assert await swept(ready, now=NOW, at_least=100) == PlanCounts(revived=1)


async def test_of_awards_that_the_database_finds_equal_and_shows_twice_each_user_s_is_entered_once(
    ready: Database,
) -> None:
    users = ["ada", "ADA", "Ada", "bob", "zoe"]
    for number, user in enumerate(users):
        await an_award(ready, f"award-{number}", user=user, awarded_at=LONG_AGO)
    if ready.engine.dialect.name != "sqlite":
        pytest.skip("The tests' PostgreSQL has no collation that ignores case.")
    columns = "id, achievement_id, user_id COLLATE NOCASE AS user_id, awarded_at, company_id, project_id, withdrawn_at"
    shown = f"SELECT {columns} FROM original_awards"
    for statement in (
        "ALTER TABLE achievement_awards RENAME TO original_awards",
        f"CREATE VIEW achievement_awards AS {shown} UNION ALL {shown}",
    ):
        await ready.write(lambda connection, each=statement: connection.exec_driver_sql(each))  # type: ignore[misc]

    counts = await swept(ready, now=NOW, at_least=100)

    assert counts == PlanCounts(entered=5)
    assert sorted((row.user_id, row.award_id) for row in await ledger(ready)) == sorted(
        (user, f"award-{number}") for number, user in enumerate(users)
    )
    assert await swept(ready, now=NOW + HOUR, at_least=100) == NOTHING


async def test_each_transaction_counts_as_progress(large: Database) -> None:
    steps = []
    large.stepped = lambda: steps.append(1)

    await swept(large, now=NOW + HOUR, at_least=100)

    assert len(steps) >= USERS / 2


async def test_a_plan_of_one_portal_does_not_move_the_place_of_all(large: Database) -> None:
    await an_achievement(large, "crane", portal="other")
    await an_integration(large, achievement="crane")
    await an_award(large, user="new", achievement="crane", awarded_at=NOW + HOUR)

    assert await only_planned(large, now=NOW + 2 * HOUR, portal_id="northwind") == NOTHING
    assert await only_planned(large, now=NOW + 3 * HOUR) == PlanCounts(entered=1)


async def test_a_clock_that_was_set_back_loses_nothing(large: Database) -> None:
    await only_planned(large, now=NOW + DAY)
    await an_award(large, user="new", awarded_at=NOW + HOUR)

    await only_planned(large, now=NOW)

    assert await only_planned(large, now=NOW + 2 * HOUR) == PlanCounts(entered=1)


async def test_a_row_written_down_days_late_is_found_by_the_next_run(large: Database) -> None:
    await an_award(large, user="zoe", awarded_at=NOW - 3 * DAY)

    assert await only_planned(large, now=NOW + HOUR) == NOTHING
    assert await swept(large, now=NOW + HOUR) == PlanCounts(entered=1)


# Rounds


async def test_a_row_with_an_old_date_is_found_once_the_round_comes_to_it(large: Database) -> None:
    await an_award(large, "late", user="user-06-late", awarded_at=LONG_AGO)

    found = [(await swept(large, now=NOW + hour * HOUR / 4)).entered for hour in range(1, 5)]

    assert found == [0, 1, 0, 0]


async def test_each_run_looks_at_so_many_and_no_more(large: Database) -> None:
    looked_at = []
    for run in range(1, 5):
        await swept(large, now=NOW + run * HOUR / 4)
        looked_at.append((await place(large, Round.AWARDS)).rows_looked_through)

    assert looked_at == [4, 8, 12, 0]
    assert (await place(large, Round.AWARDS)).last_round == USERS


async def test_where_a_day_would_not_do_a_run_looks_at_more(large: Database) -> None:
    await swept(large, now=NOW + HOUR, at_least=2, full=True)

    await swept(large, now=NOW + 11 * HOUR, at_least=2)

    assert (await place(large, Round.AWARDS)).rows_looked_through == USERS / 2


async def test_a_full_sweep_looks_at_everything_at_once(large: Database) -> None:
    await swept(large, now=NOW + HOUR)
    await an_award(large, "first", user="a-late", awarded_at=LONG_AGO)
    await an_award(large, "last", user="z-late", awarded_at=LONG_AGO)

    assert await swept(large, now=NOW + 2 * HOUR, full=True) == PlanCounts(entered=2)


async def test_what_one_step_has_found_stays_where_the_next_one_fails(large: Database) -> None:
    await an_award(large, "first", user="user-00-late", awarded_at=LONG_AGO)
    await an_award(large, "last", user="user-05-late", awarded_at=LONG_AGO)

    # The round of what is open has six steps and an end; of the other one, the first step enters an award.
    async with beside(large, MortalDatabase(large.url, writes_left=10)) as mortal:
        assert await until_killed(swept(mortal, now=NOW + HOUR, at_least=100))

    assert (await place(large, Round.AWARDS)).rows_looked_through == 4
    assert [row.award_id for row in await ledger(large) if row.award_id == "first"] == ["first"]
    assert await swept(large, now=NOW + HOUR, at_least=100) == PlanCounts(entered=1)


async def test_of_a_user_s_awards_the_first_stands_though_a_later_one_was_found(large: Database) -> None:
    await an_award(large, "later", user="zoe", awarded_at=NOW - HOUR)
    await an_award(large, "first", user="zoe", awarded_at=LONG_AGO)

    await swept(large, now=NOW)

    assert [row.award_id for row in await ledger(large) if row.user_id == "zoe"] == ["first"]


# Settings that change


@pytest.mark.parametrize("how", ["new", "changed"])
async def test_all_awards_of_a_new_or_changed_integration_are_looked_at_at_once(large: Database, how: str) -> None:
    await an_achievement(large, "crane")
    for number in range(7):
        await an_award(large, user=f"crane-{number}", achievement="crane", awarded_at=ENABLED - DAY)
    integration = await an_integration(large, achievement="crane")
    if how == "changed":
        await swept(large, now=NOW, at_least=100)
    await change(large, CredlyIntegration, integration, issue_since=ENABLED - 2 * DAY, planned_at=None)

    assert await swept(large, now=NOW + HOUR, at_least=1) == PlanCounts(entered=7)
    assert all(row.planned_at == NOW + HOUR for row in await rows_of(large, CredlyIntegration) if row.id == integration)


async def test_an_integration_that_changes_while_its_awards_are_looked_at_is_looked_at_again(
    large: Database,
) -> None:
    integration = await an_integration(large, achievement="crane")
    changed = partial(change, large, CredlyIntegration, integration, issue_since=ENABLED - DAY)

    async with beside(large, OvertakenDatabase(large.url, having_read=issuances_after, change=changed)) as overtaken:
        await swept(overtaken, now=NOW)

    assert [row.planned_at for row in await rows_of(large, CredlyIntegration)][-1] is None


async def test_settings_that_change_before_their_awards_are_looked_at_are_looked_at_with_the_new_ones(
    large: Database,
) -> None:
    await an_award(large, user="early", achievement="crane", awarded_at=ENABLED - DAY)
    integration = await an_integration(large, achievement="crane")
    changed = partial(change, large, CredlyIntegration, integration, issue_since=ENABLED - 2 * DAY)

    async with beside(large, OvertakenDatabase(large.url, having_read=setup_of, change=changed)) as overtaken:
        await swept(overtaken, now=NOW, at_least=1)

    assert await swept(large, now=NOW + HOUR, at_least=1) == PlanCounts(entered=1)


async def test_a_portal_that_is_connected_while_a_run_begins_is_unblocked_by_the_next_one(database: Database) -> None:
    await an_integration(database)
    await an_award(database, awarded_at=LONG_AGO)
    await planned(database)

    connected = partial(a_connection, database)
    async with beside(database, OvertakenDatabase(database.url, having_read=setup_of, change=connected)) as overtaken:
        await only_planned(overtaken, now=NOW)

    assert await only_planned(database, now=NOW + HOUR) == PlanCounts(unblocked=1)


async def test_what_waits_for_a_portal_goes_out_at_once_when_it_is_connected(database: Database) -> None:
    await an_integration(database)
    for number in range(5):
        await an_award(database, user=f"user-{number}", awarded_at=LONG_AGO)
    await planned(database)

    await a_connection(database)

    assert await only_planned(database, now=NOW + HOUR) == PlanCounts(unblocked=5)


# What is open


@pytest.mark.parametrize("state", [PENDING, BLOCKED, FAILED])
async def test_a_withdrawn_award_is_noticed_once_the_round_comes_to_it(ready: Database, state: IssuanceState) -> None:
    reason = None if state is PENDING else Reason.TEMPLATE_NOT_ACTIVE
    for number in range(9):
        await an_award(ready, user=f"user-{number}")
        await an_issuance(ready, user=f"user-{number}", state=state, reason=reason)
    await planned(ready)
    (award,) = [row.id for row in await rows_of(ready, AchievementAward) if row.user_id == "user-6"]
    await change(ready, AchievementAward, award, withdrawn_at=NOW)

    found = [(await swept(ready, now=NOW + run * HOUR / 4)).cancelled for run in range(1, 4)]

    assert found == [0, 1, 0]
    assert [row.user_id for row in await ledger(ready) if row.state is CANCELLED] == ["user-6"]


async def test_what_is_issued_or_cancelled_is_not_looked_at_among_the_open_ones(large: Database) -> None:
    await remove(large, BadgeIssuance)
    for state in IssuanceState:
        await an_issuance(large, user=state.value, state=state)

    await swept(large, now=NOW + HOUR, at_least=100)

    assert (await place(large, Round.OPEN)).last_round == 3


# Cost


@pytest.fixture
def statements() -> Iterator[list[str]]:
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield found
    event.remove(Engine, "before_cursor_execute", note)


async def test_with_nothing_new_planning_writes_its_place_and_nothing_else(
    large: Database, statements: list[str]
) -> None:
    await only_planned(large, now=NOW + HOUR)
    statements.clear()

    await only_planned(large, now=NOW + 2 * HOUR)
    await swept(large, now=NOW + 2 * HOUR)

    written = {each.split()[1] for each in statements if each.startswith(("UPDATE", "INSERT"))}
    assert written == {"planning_progress"}
    assert not any(each.startswith("INSERT") for each in statements)
