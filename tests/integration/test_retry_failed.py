"""Failed issuances are made due again, many at once; each on SQLite and PostgreSQL."""

import asyncio
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import update

from models.database import Database
from models.ledger.tables import BadgeIssuance
from models.operations import retry_failed
from models.operations.retry_failed import Matching, Retryable, Selection
from models.tables import table
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState, Origin
from tasks.forms.retry_failed import AT_MOST
from tests.support.databases import holding
from tests.support.factories import AWARDED, NOW, a_connection, an_integration, an_issuance, change, the_row_of
from tests.support.plans import DAY, FAILED, HOUR, PENDING, ledger

issuances = table(BadgeIssuance)
EVERY = Selection()
CHANGED = {"transition", "moves", "state", "reason", "credly_message", "attempts", "not_before", "updated_at"}


async def retried(
    database: Database, selection: Selection = EVERY, *, limit: int = 99, now: datetime = NOW
) -> list[Retryable]:
    _matching, made_due = await database.write(retry_failed.retry, selection, limit=limit, now=now)
    return made_due


async def matching(database: Database, selection: Selection = EVERY) -> Matching:
    return await database.read(retry_failed.count, selection)


async def failed_at(database: Database, *moments: datetime, **changes: Any) -> list[int]:
    return [
        await an_issuance(database, user=f"user-{number}", state=FAILED, updated_at=moment, **changes)
        for number, moment in enumerate(moments, start=1)
    ]


@pytest.mark.parametrize("origin", Origin)
async def test_it_is_due_now_and_everything_else_stays_as_it_was(ready: Database, origin: Origin) -> None:
    kept: dict[str, Any] = {"unclear_at": AWARDED, "replaces_badge_id": "badge-1", "award_id": "award-1"}
    kept |= {"requested_by": "grace", "request_reason": "Ceremony", "request_fingerprint": "f"}
    await an_issuance(ready, state=FAILED, origin=origin, credly_message="No.", attempts=40, **kept)
    before = (await the_row_of(ready, BadgeIssuance))._asdict()

    (row,) = await retried(ready)

    after = (await the_row_of(ready, BadgeIssuance))._asdict()
    assert row == Retryable(id=after["id"], achievement_id="forklift", reason=Reason.REFUSED_BY_CREDLY)
    assert {name for name in after if after[name] != before[name]} == CHANGED
    assert {name: after[name] for name in CHANGED} == {
        "state": PENDING,
        "reason": None,
        "credly_message": None,
        "attempts": 0,
        "not_before": NOW,
        "updated_at": NOW,
        "transition": "retry",
        "moves": before["moves"] + 1,
    }


@pytest.mark.parametrize("state", [state for state in IssuanceState if state is not FAILED])
async def test_what_is_not_failed_is_left_alone(ready: Database, state: IssuanceState) -> None:
    issuance = await an_issuance(ready, state=state)
    before = await ledger(ready)

    assert await retried(ready) == []
    assert await matching(ready) == Matching()
    # As when its state changed between reading and writing.
    assert await ready.write(retry_failed.make_due, [issuance], now=NOW) == 0
    assert await ledger(ready) == before


async def test_what_failed_first_comes_first_and_no_more_than_the_cap(ready: Database) -> None:
    ids = await failed_at(ready, AWARDED + HOUR, AWARDED, AWARDED + 2 * HOUR, AWARDED)

    assert [row.id for row in await retried(ready, limit=3)] == [ids[1], ids[3], ids[0]]
    assert [row.state for row in await ledger(ready)] == [PENDING, PENDING, FAILED, PENDING]
    assert [row.id for row in await retried(ready, limit=3)] == [ids[2]]


@pytest.mark.parametrize(
    ("selection", "users"),
    [
        (EVERY, "user-1 user-2 user-3 other crane"),
        (Selection(achievement_id="crane"), "crane"),
        (Selection(portal_id="second"), "other"),
        (Selection(reason=Reason.USER_MISSING), "crane"),
        (Selection(start=AWARDED), "user-2 user-3 other crane"),
        (Selection(end=AWARDED), "user-1"),
        (Selection(start=AWARDED - DAY, end=AWARDED + DAY), "user-1 user-2 other crane"),
        (Selection(achievement_id="forklift", reason=Reason.USER_MISSING), ""),
    ],
)
async def test_each_part_of_a_selection_narrows_it(ready: Database, selection: Selection, users: str) -> None:
    await an_integration(ready, achievement="crane")
    await a_connection(ready, portal="second")
    await failed_at(ready, AWARDED - DAY, AWARDED, AWARDED + DAY)
    await an_issuance(ready, user="other", portal="second", state=FAILED)
    await an_issuance(ready, user="crane", achievement="crane", state=FAILED, reason=Reason.USER_MISSING)

    assert await matching(ready, selection) == Matching(ready=len(users.split()))
    await retried(ready, selection)
    assert {row.user_id for row in await ledger(ready) if row.state is PENDING} == set(users.split())


async def test_what_was_sent_with_an_earlier_template_is_due_as_well_and_settled_with_that(ready: Database) -> None:
    await an_issuance(ready, badge_template_id="template-0", state=FAILED, unclear_at=NOW, sent_to=1)

    assert len(await retried(ready)) == 1
    (row,) = await ledger(ready)
    assert (row.state, row.badge_template_id, row.sent_to) == (PENDING, "template-0", 1)


async def test_without_an_integration_or_a_connection_it_stays_failed(ready: Database) -> None:
    await an_issuance(ready, achievement="crane", state=FAILED)
    await an_issuance(ready, portal="second", state=FAILED)
    before = await ledger(ready)

    assert await matching(ready) == Matching(without_integration=1, unconnected=1)
    assert await retried(ready) == []
    assert await ledger(ready) == before


@pytest.mark.parametrize(("kept_back", "stop"), [({"paused_at": NOW}, "paused"), ({"held_at": NOW}, "held"), ({}, "")])
async def test_what_it_then_waits_for_is_said(database: Database, kept_back: dict[str, Any], stop: str) -> None:
    await an_integration(database, **kept_back)
    await a_connection(database)
    await an_issuance(database, state=FAILED)

    (shown,) = await database.read(retry_failed.choose, EVERY, limit=9)
    (row,) = await retried(database)

    assert shown == row
    assert row.stop == stop


async def test_two_at_the_same_moment_make_each_one_due_once(ready: Database) -> None:
    ids = await failed_at(ready, *[AWARDED] * 30)

    several = await asyncio.gather(*(retried(ready, limit=10) for _ in range(6)))

    taken = sorted(row.id for rows in several for row in rows)
    assert len(set(taken)) == len(taken)
    assert max(len(rows) for rows in several) <= 10
    assert [row.id for row in await ledger(ready) if row.state is PENDING] == taken
    await retried(ready)
    assert [row.id for row in await ledger(ready) if row.state is PENDING] == ids


async def test_as_many_as_the_form_takes_fit_into_one_statement(ready: Database) -> None:
    (issuance,) = await failed_at(ready, AWARDED)

    assert await ready.write(retry_failed.make_due, range(issuance, issuance + AT_MOST), now=NOW) == 1


async def test_what_another_transaction_changes_now_is_neither_waited_for_nor_changed(ready: Database) -> None:
    ids = await failed_at(ready, AWARDED, AWARDED + HOUR)
    if ready.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one writer at a time")

    first = update(issuances).where(issuances.c.id == ids[0]).values(looked_again_at=NOW)
    async with holding(ready, lambda connection: connection.execute(first)), asyncio.timeout(10):
        assert [row.id for row in await retried(ready, limit=1)] == [ids[1]]
    assert [row.state for row in await ledger(ready) if row.id == ids[0]] == [FAILED]


async def test_what_fails_again_is_the_last_one_then(ready: Database) -> None:
    """So that forms with a cap go through everything, whatever fails again."""
    ids = await failed_at(ready, AWARDED, AWARDED + HOUR)
    await retried(ready, limit=1)
    held: dict[str, Any] = {"state": IssuanceState.ISSUING, "claim": "run-1", "lease_until": NOW}
    again = {"state": FAILED, "reason": Reason.REFUSED_BY_CREDLY, "claim": None, "lease_until": None}
    for changes in (held, again):
        await change(ready, BadgeIssuance, ids[0], **changes)

    assert [row.id for row in await retried(ready, limit=1, now=NOW + HOUR)] == [ids[1]]
