"""A row whose value ends each statement that reads it with an error, or whose key the ledger cannot have."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from models.diagnostics.check import find_problems
from models.diagnostics.explain import history_of
from models.ledger.issuance_data import facts_of
from models.ledger.tables import BadgeIssuance
from models.planning import planner
from models.planning.planner import Sweep, plan, sweep
from models.planning.preview import due_at_once
from models.planning.withdrawn import withdrawn_among
from models.planning.writing import PlanCounts
from models.platform import pages
from models.platform.isolation import RelationUnreadable
from models.platform.people import persons
from rules.badge.request import Prepared, prepare_request
from rules.explain.diagnosis import Cause, answer
from rules.ledger.reasons import AwardFault, Reason
from tests.support.factories import NOW, rows_of
from tests.support.failing_platform import CANARY, ENGINES, FailingPlatform, failing_platform


@pytest.fixture(params=ENGINES)
def _opened(
    request: pytest.FixtureRequest, tmp_path: Path, migrated_file: Path
) -> AbstractAsyncContextManager[FailingPlatform]:
    server = "" if request.param == "sqlite" else request.getfixturevalue(request.param)
    return failing_platform(request.param, server, tmp_path, migrated_file)


@pytest.fixture
async def platform(_opened: AbstractAsyncContextManager[FailingPlatform]) -> AsyncIterator[FailingPlatform]:
    """A platform with the users ada and bob."""
    async with _opened as platform:
        platform.person("ada")
        platform.person("bob")
        yield platform


async def planned(platform: FailingPlatform) -> PlanCounts:
    return await plan(platform.database, now=NOW) + await sweep(platform.database, Sweep(), now=NOW)


async def outcomes(platform: FailingPlatform) -> dict[str, Reason | None]:
    """Return by user the reason for which a badge cannot be sent; None: it can be."""
    ids = [row.id for row in await rows_of(platform.database, BadgeIssuance)]
    prepared = {
        each.user_id: prepare_request(each, now=NOW) for each in await facts_of(platform.database, ids, now=NOW)
    }
    return {user: None if isinstance(each, Prepared) else each for user, each in prepared.items()}


@pytest.mark.parametrize(
    ("relation", "key", "column", "reason"),
    [
        ("users", "ada", "first_name", Reason.NAME_UNREADABLE),
        ("users", "ada", "profile_url", None),
        ("user_emails", "ada", "address", Reason.EMAIL_MALFORMED),
        ("companies", "ada", "name", None),
        ("projects", "ada", "url", None),
        ("portals", "northwind", "name", None),
        ("achievements", "forklift", "name", None),
        ("achievement_awards", "award-ada", "awarded_at", Reason.AWARD_DATE_UNUSABLE),
        ("achievement_awards", "award-ada", "withdrawn_at", Reason.AWARD_DATE_UNUSABLE),
        ("achievement_awards", "award-ada", "company_id", None),
    ],
)
async def test_a_value_that_cannot_be_read_concerns_its_row_alone(
    platform: FailingPlatform, relation: str, key: str, column: str, reason: Reason | None
) -> None:
    platform.award("ada")
    platform.award("bob")
    platform.fail(relation, key, column)

    counts = await planned(platform)

    assert counts == PlanCounts(entered=2)
    assert await outcomes(platform) == {"ada": reason, "bob": None}
    (problem,) = [each for each in await find_problems(platform.database) if each.where == f"{relation}.{column}"]
    assert (problem.stops, f"the ids {key}." in problem.what, CANARY in str(problem)) == (False, True, False)
    platform.fail(relation, key, None)
    await planned(platform)
    assert await outcomes(platform) == {"ada": None, "bob": None}


async def test_a_user_s_other_award_counts_beside_one_that_cannot_be_read(platform: FailingPlatform) -> None:
    platform.award("ada")
    platform.award("ada", "again", fails="awarded_at")

    await planned(platform)

    assert await outcomes(platform) == {"ada": None}


async def test_many_values_that_cannot_be_read_cost_a_bounded_number_of_statements(
    platform: FailingPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "SEARCH_AT_MOST", 60)
    for number in range(80):
        platform.award(f"user-{number:02}", fails="awarded_at")
    platform.person("user-40-healthy")
    platform.award("user-40-healthy")
    statements = Counter[str]()
    engine: Any = platform.database.platform._engine
    event.listen(engine, "before_cursor_execute", lambda *given: statements.update([given[2].partition(" ")[0]]))

    first = await planned(platform)

    # 100 for each of four pages, and for each of the two plannings 60 and four for each row that these find.
    assert statements["SELECT"] < 1000
    assert {each.fault for each in first.unusable} == {AwardFault.NOT_READ}
    for _ in range(10):
        if AwardFault.NOT_READ not in {each.fault for each in (await planned(platform)).unusable}:
            break
    assert len(await outcomes(platform)) == 81
    assert [user for user, reason in (await outcomes(platform)).items() if reason is None] == ["user-40-healthy"]


@pytest.mark.parametrize("size", [1, 2, 10_000])
async def test_pages_go_on_behind_a_value_that_cannot_be_read(
    platform: FailingPlatform, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    platform.database.rows_per_page = size
    monkeypatch.setattr(pages, "_STATEMENTS_PER_PAGE", 2)
    for number in range(7):
        platform.award(f"user-{number}", fails="awarded_at" if number in (2, 3) else None)

    await planned(platform)

    assert len(await outcomes(platform)) == 7


async def _refused(platform: FailingPlatform) -> str:
    try:
        counts = await planned(platform)
        await outcomes(platform)
    except RelationUnreadable as unreadable:
        return str(unreadable)
    (sentence,) = counts.unread
    return sentence


@pytest.mark.parametrize(
    ("relation", "column"), [("achievement_awards", "user_id"), ("achievements", "id"), ("users", "id")]
)
async def test_a_key_that_cannot_be_read_is_named_by_its_relation(
    platform: FailingPlatform, relation: str, column: str
) -> None:
    platform.award("ada")
    await planned(platform)
    platform.award("bob")
    platform.fail(relation, {"achievements": "forklift", "users": "ada"}.get(relation, "award-bob"), column)

    sentence = await _refused(platform)

    assert f"when it reads {relation}," in sentence
    assert CANARY not in sentence
    assert [each.stops for each in await find_problems(platform.database) if each.where == f"{relation}.{column}"] == [
        False
    ]


async def test_what_cannot_be_read_is_not_withdrawn(platform: FailingPlatform) -> None:
    for user in ("ada", "bob", "cleo"):
        platform.person(user) if user == "cleo" else None
        platform.award(user)
    await planned(platform)
    platform.execute("UPDATE stored_achievement_awards SET withdrawn_at = awarded_at WHERE user_id <> 'cleo'")
    platform.fail("achievement_awards", "award-ada", "withdrawn_at")

    found = await withdrawn_among(platform.database, portal_ids=["northwind"], now=NOW)

    (bob,) = [row.id for row in await rows_of(platform.database, BadgeIssuance) if row.user_id == "bob"]
    assert found.ids == [bob]


async def test_names_for_an_export_are_read_beside_one_that_cannot_be(platform: FailingPlatform) -> None:
    platform.fail("users", "ada", "last_name")

    found = await platform.database.platform.read(persons, ["ada", "bob"])

    assert {user: (each.first_name, each.last_name) for user, each in found.items()} == {
        "ada": ("Ada", "\ufffd"),
        "bob": ("Ada", "Muster"),
    }


LONG = "k" * 256


@pytest.mark.parametrize("key", [None, "", LONG])
@pytest.mark.parametrize(
    ("column", "fault"),
    [
        ("achievement_id", AwardFault.WITHOUT_ACHIEVEMENT),
        ("user_id", AwardFault.WITHOUT_USER),
        ("id", AwardFault.WITHOUT_ID),
    ],
)
async def test_an_award_whose_key_the_ledger_cannot_have_is_counted_and_named(
    platform: FailingPlatform, column: str, fault: AwardFault, key: str | None
) -> None:
    platform.award("bob")
    platform.award("ada", **{"award" if column == "id" else column: key})

    counts = await planned(platform)

    (found,) = counts.unusable
    assert counts == PlanCounts(entered=1, unusable=frozenset([found]))
    assert found.fault is fault
    shown = {None: "NULL", "": "blank", LONG: "k" * 20 + "…"}[key]
    assert found.award_id == (shown if column == "id" else "award-ada")
    assert found.achievement_id == (shown if column == "achievement_id" else "forklift")
    if column == "user_id":
        assert (await due_at_once(platform.database, "forklift", now=NOW)).unusable == {found}
    if column == "id":
        history = (await history_of(platform.database, user_id="ada", achievement_id="forklift", now=NOW)).history
        assert answer(history, now=NOW).cause is Cause.CANNOT_BE_ENTERED
    right = {"achievement_id": "'forklift'", "user_id": "'ada'", "id": "'award-ada'"}[column]
    platform.execute(
        f"UPDATE stored_achievement_awards SET {column} = {right} WHERE awarded_at IS NOT NULL"
        f" AND ({column} IS NULL OR {column} = '' OR {column} = '{LONG}')"
    )
    assert await planned(platform) == PlanCounts(entered=1)


async def test_an_award_of_an_achievement_that_is_not_enabled_is_not_reported(platform: FailingPlatform) -> None:
    platform.put("achievements", id="welding", portal_id="northwind", name="Welding")
    platform.award(None, "award-1", achievement_id="welding")

    assert await planned(platform) == PlanCounts()


@pytest.mark.parametrize("key", [None, "", LONG])
async def test_an_achievement_without_a_portal_is_named(platform: FailingPlatform, key: str | None) -> None:
    platform.award("ada")
    platform.execute("UPDATE stored_achievements SET portal_id = :portal", {"portal": key})

    (found,) = (await planned(platform)).unusable

    assert (found.fault, found.achievement_id) == (AwardFault.WITHOUT_PORTAL, "forklift")
    history = (await history_of(platform.database, user_id="ada", achievement_id="forklift", now=NOW)).history
    assert answer(history, now=NOW).cause is Cause.CANNOT_BE_ENTERED
    platform.execute("UPDATE stored_achievements SET portal_id = 'northwind'")
    assert await planned(platform) == PlanCounts(entered=1)
