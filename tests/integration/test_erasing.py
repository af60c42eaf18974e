"""Erasing a user: nothing in the ledger names that user any more, the counts stay, and no badge follows."""

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, text

from models.database import Database
from models.ledger.history import IssuanceTransition
from models.ledger.manual import ManualIssue, enter
from models.ledger.tables import AttemptOutcome, BadgeIssuance, IssuanceAttempt
from models.metadata import laurel_metadata
from models.operations.audit import counts, not_seen
from models.operations.erasure import ErasedUser, UserRecords, erase, erased_badges, erased_digests, of_user
from models.operations.user_data import kept_of
from models.planning.deletions import losses_of
from models.planning.pairs import rows_of as rows_in_ledger
from models.planning.planner import Sweep, begin, plan, sweep
from models.planning.preview import count_due_at_once, new_pairs
from models.planning.progress import Cursor, Round, cursor_of, put_cursor
from models.planning.writing import PlatformRows, apply_decisions
from models.platform.awards import awards_of
from models.setup.calls import CredlyCall
from models.tables import table
from rules.forms.inputs import InvalidInput
from rules.ledger.erasure import UserErased, anonymous
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from rules.ledger.transitions import Transition
from tests.support.factories import (
    AWARDED,
    NOW,
    TEMPLATE,
    an_attempt,
    an_award,
    an_integration,
    an_issuance,
    change,
    do,
    rows_of,
    the_row_of,
)

USER = "learner-4711"
NAMES = (USER, "badge-of-4711", "successor-of-4711", "award-of-4711", "trace-of-4711")
LATER = NOW + timedelta(days=9)


async def the_user(database: Database) -> dict[str, int]:
    """Issuances of one user in every state but issuing, with all that can name the user."""
    naming: dict[str, Any] = {
        "award_id": "award-of-4711",
        "credly_message": "trace-of-4711",
        "request_fingerprint": "trace-of-4711",
        "name_digest": "trace-of-4711",
        "badge_url": "https://credly.example.org/badge-of-4711",
        "company_id": "trace-of-4711",
        "project_id": "trace-of-4711",
        "requested_by": "trace-of-4711",
        "request_reason": "trace-of-4711",
        "awarded_at": AWARDED,
        "flow_run_id": "run-of-then",
    }
    made = {}
    for state in (IssuanceState.PENDING, IssuanceState.BLOCKED, IssuanceState.FAILED, IssuanceState.CANCELLED):
        made[state.value] = await an_issuance(database, user=USER, achievement=f"of-{state}", state=state, **naming)
    made["issued"] = await an_issuance(
        database, user=USER, state=IssuanceState.ISSUED, **naming | {"credly_badge_id": "badge-of-4711"}
    )
    made["replacing"] = await an_issuance(
        database, user=USER, achievement="replacing", replaces_badge_id="successor-of-4711", **naming
    )
    trace = {"credly_message": "trace-of-4711", "request_id": "trace-of-4711", "credly_request_id": "trace-of-4711"}
    await an_attempt(database, issuance=made["issued"], request_fingerprint="trace-of-4711", **trace)
    return made


async def look(database: Database, user: str = USER) -> UserRecords:
    return await database.read(of_user, user)


async def erased(database: Database, user: str = USER, **at_credly: str) -> None:
    await database.write(
        erase,
        user,
        found=await look(database, user),
        at_credly={key.replace("_", "-"): state for key, state in at_credly.items()},
        reason="A letter of 2 November",
        requested_by="user: office",
        now=LATER,
    )


async def everything(database: Database) -> str:
    """Every value of every column of every table of Laurel, as text."""

    def read(connection: Connection) -> str:
        return "\n".join(
            str(value)
            for each in laurel_metadata.sorted_tables
            for row in connection.execute(select(each))
            for value in row
        )

    return await database.read(read)


def file_of(database: Database) -> bytes:
    return Path(str(database.engine.url.database)).read_bytes()


async def test_nothing_in_the_ledger_names_the_user_any_more(database: Database) -> None:
    await the_user(database)
    await database.write(put_cursor, Round.AWARDS, Cursor(after_achievement="forklift", after_user=USER), now=NOW)
    await an_issuance(database, user="bob", credly_message="trace-of-bob")
    call: dict[str, Any] = {"organization_id": "o", "operation": "badge", "outcome": AttemptOutcome.NOT_FOUND}
    call |= {"started_at": NOW, "duration_ms": 1, "requests": 1, "credly_message": "no badge badge-of-4711"}
    await do(database, table(CredlyCall).insert().values(**call))
    before = await everything(database)
    assert [name for name in NAMES if name not in before] == []

    await erased(database)

    after = await everything(database)
    assert [name for name in NAMES if name in after] == []
    assert "trace-of-bob" in after
    assert (await database.read(cursor_of, Round.AWARDS)).after_achievement == "forklift"


async def test_on_sqlite_it_is_not_in_the_files_free_space_either(database: Database) -> None:
    if database.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL removes what was overwritten with its next VACUUM")
    await the_user(database)
    await erased(database)

    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    content = file_of(database)
    assert [name for name in NAMES if name.encode() in content] == []


async def test_what_remains_is_anonymous_and_what_was_issued_stays_so(database: Database) -> None:
    made = await the_user(database)

    await erased(database)

    rows = {row.id: row for row in await rows_of(database, BadgeIssuance)}
    assert {name: (rows[key].state, rows[key].reason) for name, key in made.items()} == {
        "pending": (IssuanceState.CANCELLED, Reason.USER_ERASED),
        "blocked": (IssuanceState.CANCELLED, Reason.USER_ERASED),
        "failed": (IssuanceState.CANCELLED, Reason.USER_ERASED),
        "cancelled": (IssuanceState.CANCELLED, Reason.INTEGRATION_REMOVED),
        "issued": (IssuanceState.ISSUED, None),
        "replacing": (IssuanceState.ISSUED, None),  # its badge stands
    }
    assert {row.user_id for row in rows.values()} == {anonymous(key) for key in rows}
    issued = rows[made["issued"]]
    assert (issued.credly_badge_id, issued.recorded_at, issued.updated_at) == (anonymous(issued.id), NOW, AWARDED)
    assert (issued.flow_run_id, issued.awarded_at) == ("run-of-then", AWARDED)
    assert rows[made["cancelled"]].updated_at == AWARDED


async def test_the_history_has_the_erasure(database: Database) -> None:
    key = await an_issuance(database, user=USER, state=IssuanceState.FAILED)

    await erased(database)

    last = (await rows_of(database, IssuanceTransition))[-1]
    assert (last.issuance_id, last.transition, last.from_state, last.to_state) == (key, "erase", "failed", "cancelled")
    assert (last.at, last.reason) == (LATER, Reason.USER_ERASED)


async def test_who_was_erased_is_kept_as_a_digest_once(database: Database) -> None:
    await the_user(database)
    await erased(database)
    await erased(database)

    row = await the_row_of(database, ErasedUser)
    assert (len(row.digest), row.erased_at, row.reason) == (64, LATER, "A letter of 2 November")
    found = await look(database)
    assert (found.issuances, found.erased_at) == ((), LATER)


@pytest.mark.parametrize(
    ("state", "values"),
    [
        (IssuanceState.ISSUING, {}),
        (IssuanceState.PENDING, {"unclear_at": NOW}),
        (IssuanceState.FAILED, {"sent_to": 1}),
        (IssuanceState.CANCELLED, {"sent_to": 1}),
    ],
)
async def test_an_outstanding_call_is_seen(database: Database, state: IssuanceState, values: dict[str, Any]) -> None:
    await an_issuance(database, user=USER, state=state, **values)

    assert (await look(database)).outstanding


async def test_what_is_settled_is_not_outstanding(database: Database) -> None:
    await an_issuance(database, user=USER, state=IssuanceState.FAILED, unclear_at=NOW)

    assert not (await look(database)).outstanding


async def test_what_has_changed_meanwhile_is_not_erased(database: Database) -> None:
    key = await an_issuance(database, user=USER)
    found = await look(database)
    await change(database, BadgeIssuance, key, state=IssuanceState.ISSUING, claim="run-1", lease_until=LATER)

    with pytest.raises(InvalidInput, match="changed meanwhile"):
        await database.write(erase, USER, found=found, at_credly={}, reason="", requested_by="", now=LATER)

    row = await the_row_of(database, BadgeIssuance)
    assert (row.user_id, row.state) == (USER, IssuanceState.ISSUING)
    assert await rows_of(database, ErasedUser) == []


async def test_no_award_of_an_erased_user_is_entered(ready: Database) -> None:
    await an_award(ready, user=USER)
    await sweep(ready, Sweep(full=True), now=NOW)
    await erased(ready)
    await an_integration(ready, achievement="another")
    await an_award(ready, user=USER, achievement="another")
    await an_award(ready, user="bob", achievement="another")

    counts = await plan(ready, now=NOW) + await sweep(ready, Sweep(full=True), now=LATER)

    assert counts.entered == 1
    assert {row.user_id for row in await rows_of(ready, BadgeIssuance)} == {"bob", anonymous(1)}
    assert await count_due_at_once(ready, "forklift", now=NOW) == 0
    assert [key async for key, _ in new_pairs(await begin(ready, now=NOW))] == []


async def test_a_run_that_planned_before_the_erasure_enters_nothing_after_it(ready: Database) -> None:
    await an_award(ready, user=USER)
    key = ("forklift", USER)
    of_platform = PlatformRows(
        awards=await ready.platform.read(awards_of, [key], now=NOW), portals={"forklift": "northwind"}
    )
    await erased(ready)

    counts = await ready.write(apply_decisions, [key], of_platform, deleted=(), moved={}, now=NOW)

    assert (counts.entered, await rows_of(ready, BadgeIssuance)) == (0, [])


async def test_an_erasure_waits_for_who_has_seen_no_erasure_and_is_about_to_enter(database: Database) -> None:
    if database.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    with database.engine.connect() as planner, planner.begin():
        rows_in_ledger(planner, [("forklift", USER)], lock=True)
        assert erased_digests(planner) == frozenset()
        erasure = asyncio.create_task(erased(database))
        await until_it_waits_for_a_lock(erasure, database)
        await an_issuance(planner, user=USER)

    with pytest.raises(InvalidInput, match="changed meanwhile"):
        await erasure


async def until_it_waits_for_a_lock(erasure: asyncio.Task[None], database: Database) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    while True:
        assert not erasure.done()
        if await database.read(lambda connection: connection.scalar(waiting)):
            return
        await asyncio.sleep(0.01)


async def test_nothing_is_issued_to_an_erased_user_by_hand(ready: Database) -> None:
    await an_award(ready, user=USER)
    await erased(ready)
    request = ManualIssue(achievement_id="forklift", user_id=USER, portal_id="northwind", badge_template_id=TEMPLATE)

    with pytest.raises(UserErased) as refused:
        await enter(ready, request, now=NOW)

    assert USER not in str(refused.value)
    assert await rows_of(ready, BadgeIssuance) == []


async def test_the_audit_asks_for_no_erased_badge_and_counts_it(database: Database) -> None:
    await an_issuance(
        database, user=USER, state=IssuanceState.ISSUED, credly_badge_id="badge-of-4711", credly_state="accepted"
    )
    since: dict[str, Any] = {"portal_ids": ["northwind"], "since": LATER, "recorded_before": LATER, "limit": 9}
    assert len(await database.read(not_seen, **since)) == 1

    await erased(database)

    assert await database.read(not_seen, **since) == []
    assert await database.read(counts, portal_ids=["northwind"]) == {"accepted": 1}
    assert await database.read(erased_badges, ["badge-of-4711", "strangers"]) == {"badge-of-4711"}


async def test_a_badge_that_was_deleted_at_credly_leaves_no_digest(database: Database) -> None:
    await an_issuance(database, user=USER, state=IssuanceState.ISSUED, credly_badge_id="badge-of-4711")

    await erased(database, badge_of_4711="deleted")

    assert await database.read(erased_badges, ["badge-of-4711"]) == set()
    assert (await the_row_of(database, BadgeIssuance)).credly_state == "deleted"


async def test_an_erased_issuance_is_not_an_award_that_is_missing(ready: Database) -> None:
    await an_issuance(ready, user=USER, state=IssuanceState.ISSUED, award_id="award-of-4711", awarded_at=AWARDED)
    assert (await losses_of(ready, portal_ids=None, now=NOW))["northwind"].missing == 1

    await erased(ready)

    assert await losses_of(ready, portal_ids=None, now=NOW) == {}


async def test_everything_that_is_kept_of_a_user_is_given_out(database: Database) -> None:
    made = await the_user(database)
    await an_issuance(database, user="bob")

    kept = await database.read(kept_of, USER)

    assert Counter(each["state"] for each in kept) == Counter(
        {"pending": 2, "blocked": 1, "failed": 1, "cancelled": 1, "issued": 1}
    )
    assert {each["user_id"] for each in kept} == {USER}
    (issued,) = [each for each in kept if each["id"] == made["issued"]]
    assert issued.keys() == {*table(BadgeIssuance).c.keys(), "attempts", "history"}
    assert [each["request_fingerprint"] for each in issued["attempts"]] == ["trace-of-4711"]
    assert issued["attempts"][0].keys() == set(table(IssuanceAttempt).c.keys())
    assert [each["to_state"] for each in issued["history"]] == ["issued"]
    assert issued["history"][0]["transition"] == Transition.UNKNOWN
