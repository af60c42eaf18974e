"""What is written down of an issuance after Credly's answer, and by whom; each on SQLite and PostgreSQL."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Concatenate

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from credly.wire import Badge
from models.database import Database, Params, Returned
from models.ledger.recording import Attempt, Recorder, Result, RunIds, Sent, record
from models.ledger.tables import AttemptKind, AttemptOutcome, IssuanceAttempt
from rules.ledger import outcome
from rules.ledger.outcome import Outcome
from rules.ledger.reasons import Reason
from tests.support.factories import AWARDED, NOW, TEMPLATE, an_issuance, rows_of, the_row_of
from tests.support.plans import BLOCKED, CANCELLED, DAY, FAILED, HOUR, ISSUED, ISSUING, PENDING, ledger, the_issuance

HELD: dict[str, Any] = {"state": ISSUING, "claim": "run-1", "lease_until": NOW + HOUR}
RUNS = RunIds(flow_run_id="flow-run-1", task_run_id="task-run-1")
SENT = Sent(fingerprint="f" * 64, issued_at=AWARDED, evidence_sent="user", evidence_left_out="company:no_link")
BADGE = Badge(id="badge-1", badge_url="https://credly.example.org/badges/badge-1", issued_at=NOW - DAY)
OWN_CHECK = outcome.not_sendable(Reason.NO_PRIMARY_EMAIL)
LATER = Outcome(state=PENDING, reason=Reason.NOT_REACHABLE, not_before=NOW + DAY)
UNCLEAR = Outcome(state=PENDING, reason=Reason.ANSWER_UNCLEAR, not_before=NOW + HOUR, unclear=True)


async def recorded(
    database: Database,
    issuance: int,
    result: Outcome,
    *,
    run: str = "run-1",
    now: datetime = NOW,
    calls: Sequence[Attempt] = (),
    sent: Sent | None = None,
) -> Outcome | None:
    known = Result(issuance_id=issuance, outcome=result, token=run, now=now, runs=RUNS, calls=calls, sent=sent)
    return await database.write(record, known)


def a_call(issuance: int, **changes: Any) -> Attempt:
    plain: dict[str, Any] = {
        "issuance_id": issuance,
        "kind": AttemptKind.ISSUE,
        "outcome": AttemptOutcome.REFUSED,
        "started_at": NOW,
        "duration": timedelta(milliseconds=1234.5678),
    }
    return Attempt(**plain | changes)


async def test_an_issued_badge_is_written_down_with_what_was_sent(database: Database) -> None:
    issuance = await an_issuance(database, unclear_at=NOW - DAY, replaces_badge_id="badge-0", attempts=1, **HELD)

    assert await recorded(database, issuance, outcome.issued(BADGE), sent=SENT) == outcome.issued(BADGE)

    row = await the_issuance(database)
    assert (row.state, row.reason, row.claim, row.lease_until, row.attempts) == (ISSUED, None, None, None, 2)
    assert (row.credly_badge_id, row.badge_url, row.adopted) == ("badge-1", BADGE.url, False)
    assert (row.issued_at, row.recorded_at, row.updated_at) == (NOW - DAY, NOW, NOW)
    assert (row.unclear_at, row.replaces_badge_id) == (None, None)
    assert (row.request_fingerprint, row.evidence_sent, row.evidence_left_out) == ("f" * 64, "user", "company:no_link")
    assert (row.flow_run_id, row.task_run_id) == ("flow-run-1", "task-run-1")


async def test_a_badge_that_was_found_is_marked_so(database: Database) -> None:
    issuance = await an_issuance(database, **HELD)

    await recorded(database, issuance, outcome.issued(BADGE, adopted=True))

    assert (await the_issuance(database)).adopted is True


@pytest.mark.parametrize(
    ("told", "sent", "kept"),
    [(NOW - DAY, SENT, NOW - DAY), (None, SENT, AWARDED), (None, None, NOW + HOUR)],
)
async def test_the_badge_s_date_is_credly_s_else_the_one_that_was_sent(
    database: Database, told: datetime | None, sent: Sent | None, kept: datetime
) -> None:
    issuance = await an_issuance(database, **HELD)

    await recorded(database, issuance, outcome.issued(Badge(id="b", issued_at=told)), sent=sent, now=NOW + HOUR)

    assert (await the_issuance(database)).issued_at == kept


@pytest.mark.parametrize(("length", "kept"), [(500, True), (501, False)])
async def test_a_badge_is_written_down_even_if_its_page_s_address_is_too_long(
    database: Database, length: int, kept: bool
) -> None:
    issuance = await an_issuance(database, **HELD)
    url = "https://credly.example.org/".ljust(length, "x")

    await recorded(database, issuance, outcome.issued(Badge(id="badge-1", badge_url=url)))

    row = await the_issuance(database)
    assert (row.credly_badge_id, row.badge_url) == ("badge-1", url if kept else None)


@pytest.mark.parametrize(
    ("result", "state", "attempts"),
    [
        (outcome.failed(Reason.REFUSED_BY_CREDLY, credly_message="No."), FAILED, 1),
        (OWN_CHECK, FAILED, 0),
        (outcome.not_sendable(Reason.AWARD_WITHDRAWN), CANCELLED, 0),
        (outcome.blocked(Reason.TOKEN_REFUSED), BLOCKED, 0),
        (LATER, PENDING, 1),
    ],
)
async def test_what_did_not_become_a_badge_says_why(
    database: Database, result: Outcome, state: str, attempts: int
) -> None:
    issuance = await an_issuance(database, credly_message="What Credly said last time.", **HELD)

    assert await recorded(database, issuance, result) == result

    row = await the_issuance(database)
    assert (row.state, row.reason, row.credly_message) == (state, result.reason, result.credly_message)
    assert (row.claim, row.lease_until, row.attempts) == (None, None, attempts)
    assert row.not_before == (result.not_before or AWARDED)
    assert (row.credly_badge_id, row.recorded_at, row.request_fingerprint) == (None, None, None)


@pytest.mark.parametrize(
    ("before", "result", "after"),
    [
        (None, UNCLEAR, NOW),
        (NOW - DAY, UNCLEAR, NOW),
        (NOW - DAY, LATER, NOW - DAY),
        (None, LATER, None),
        (NOW - DAY, OWN_CHECK, NOW - DAY),
    ],
)
async def test_an_unclear_answer_is_remembered_until_a_badge_is_there(
    database: Database, before: datetime | None, result: Outcome, after: datetime | None
) -> None:
    issuance = await an_issuance(database, unclear_at=before, **HELD)

    await recorded(database, issuance, result)

    assert (await the_issuance(database)).unclear_at == after


# Who may write


@pytest.mark.parametrize(
    "row",
    [
        {"state": ISSUING, "claim": "run-2", "lease_until": NOW + HOUR},
        {"state": PENDING},
        {"state": FAILED},
        {"state": ISSUED, "credly_badge_id": "badge-of-run-2"},
    ],
)
async def test_a_run_that_lost_its_claim_changes_nothing_but_its_calls_are_kept(
    database: Database, row: dict[str, Any]
) -> None:
    issuance = await an_issuance(database, **row)
    before = await ledger(database)

    assert await recorded(database, issuance, LATER, calls=[a_call(issuance)], sent=SENT) is None

    assert await ledger(database) == before
    assert (await the_row_of(database, IssuanceAttempt)).issuance_id == issuance


async def test_a_lease_that_ended_still_holds_while_nobody_has_taken_the_row_over(database: Database) -> None:
    issuance = await an_issuance(database, **HELD)

    assert await recorded(database, issuance, outcome.issued(BADGE), now=NOW + DAY) is not None
    assert await recorded(database, issuance, LATER, now=NOW + DAY) is None
    assert (await the_issuance(database)).state is ISSUED


async def test_only_this_issuance_is_written(database: Database) -> None:
    issuance = await an_issuance(database, user="ada", **HELD)
    await an_issuance(database, user="bob", **HELD)

    await recorded(database, issuance, outcome.issued(BADGE))

    assert [row.state for row in await ledger(database)] == [ISSUED, ISSUING]


# One badge, one issuance


@pytest.mark.parametrize(
    "other",
    [
        {"state": ISSUED, "credly_badge_id": "badge-1"},
        {"state": PENDING, "replaces_badge_id": "badge-1"},
    ],
)
async def test_a_badge_that_stands_for_another_issuance_is_not_taken_for_this_one(
    database: Database, other: dict[str, Any]
) -> None:
    """As where two achievements have the same template, or two users the same address."""
    await an_issuance(database, achievement="crane", badge_template_id=TEMPLATE, **other)
    issuance = await an_issuance(database, **HELD)

    written = await recorded(database, issuance, outcome.issued(BADGE, adopted=True), sent=SENT)

    rows = {row.id: row for row in await ledger(database)}
    row = rows[issuance]
    assert written is not None
    assert (written.state, written.reason, written.uses_attempt) == (PENDING, Reason.ANSWER_UNCLEAR, False)
    assert (row.state, row.reason, row.credly_badge_id) == (PENDING, Reason.ANSWER_UNCLEAR, None)
    assert row.unclear_at == NOW
    assert row.request_fingerprint == SENT.fingerprint


@pytest.mark.parametrize("adopted", [True, False])
async def test_of_two_who_write_down_the_same_badge_at_once_one_has_it(database: Database, adopted: bool) -> None:
    ids = [await an_issuance(database, achievement=achievement, **HELD) for achievement in ("forklift", "crane")]

    written = await asyncio.gather(
        recorded(database, ids[0], outcome.issued(BADGE), calls=[a_call(ids[0])]),
        recorded(database, ids[1], outcome.issued(BADGE, adopted=adopted), calls=[a_call(ids[1])]),
    )

    # Who has only found the badge looks for his own again; for who was told that it was made it exists elsewhere.
    found_late = PENDING if adopted else FAILED
    states = [row.state for row in await ledger(database)]
    assert states in ([ISSUED, found_late], [FAILED, ISSUED])
    assert [each.state for each in written if each] == states
    assert len(await rows_of(database, IssuanceAttempt)) == 2


async def test_what_the_database_refuses_for_another_cause_is_no_duplicate(database: Database) -> None:
    issuance = await an_issuance(database, **HELD)
    impossible = replace(outcome.issued(BADGE), reason=Reason.THROTTLED)

    with pytest.raises(IntegrityError):
        await recorded(database, issuance, impossible)

    assert (await the_issuance(database)).state is ISSUING


async def test_a_badge_takes_the_place_of_one_of_the_same_issuance(database: Database) -> None:
    issuance = await an_issuance(database, replaces_badge_id="badge-1", **HELD)

    assert await recorded(database, issuance, outcome.issued(BADGE)) == outcome.issued(BADGE)


# Calls


async def test_each_call_is_kept_as_it_was_made(database: Database) -> None:
    issuance = await an_issuance(database, **HELD)
    refused = a_call(
        issuance,
        status=422,
        code="unprocessable",
        credly_message="Badge template is archived.",
        request_id="request-1",
        request_fingerprint="f" * 64,
        field_names="badge_template_id,recipient_email",
    )
    looked_up = a_call(issuance, kind=AttemptKind.LOOK_UP, outcome=AttemptOutcome.NOT_FOUND, started_at=NOW + HOUR)

    await recorded(database, issuance, OWN_CHECK, calls=[refused, looked_up])

    first, second = await rows_of(database, IssuanceAttempt)
    assert (first.kind, first.outcome, first.status, first.code) == ("issue", "refused", 422, "unprocessable")
    assert (first.credly_message, first.request_id) == ("Badge template is archived.", "request-1")
    assert (first.request_fingerprint, first.field_names) == ("f" * 64, "badge_template_id,recipient_email")
    assert (first.started_at, first.duration_ms) == (NOW, 1235)
    assert (first.flow_run_id, first.task_run_id) == ("flow-run-1", "task-run-1")
    assert (second.kind, second.outcome, second.status, second.field_names) == ("look_up", "not_found", None, "")


# Several at once


def results_of(results: dict[int, Outcome], *, run: str = "run-1") -> list[Result]:
    return [
        Result(issuance_id=issuance, outcome=each, token=run, now=NOW, runs=RUNS, calls=[a_call(issuance)], sent=SENT)
        for issuance, each in results.items()
    ]


async def at_once(database: Database, results: list[Result]) -> tuple[list[Any], int]:
    """Record them as slots do that know them at one moment; return what each was told, and in how many goes."""
    recorder, counting = Recorder(), CountingDatabase(database.url)
    told = await asyncio.gather(*(recorder.record(counting, each) for each in results), return_exceptions=True)
    await counting.dispose()
    return told, counting.writes


class CountingDatabase(Database):
    """Counts its write transactions."""

    writes = 0

    async def write(
        self, work: Callable[Concatenate[Connection, Params], Returned], /, *args: Params.args, **kwargs: Params.kwargs
    ) -> Returned:
        self.writes += 1
        return await super().write(work, *args, **kwargs)


async def several_held(database: Database, count: int) -> list[int]:
    return [await an_issuance(database, user=f"user-{number}", unclear_at=NOW - DAY, **HELD) for number in range(count)]


async def test_what_gathers_while_the_first_is_written_shares_a_transaction(database: Database) -> None:
    ids = await several_held(database, 6)
    results = {
        ids[0]: outcome.issued(BADGE),
        ids[1]: outcome.failed(Reason.REFUSED_BY_CREDLY, credly_message="No."),
        ids[2]: UNCLEAR,
        ids[3]: OWN_CHECK,
        ids[4]: outcome.issued(Badge(id="badge-2"), adopted=True),
        ids[5]: LATER,
    }

    told, writes = await at_once(database, results_of(results))

    assert (told, writes) == (list(results.values()), 2)
    rows = await ledger(database)
    assert [row.state for row in rows] == [ISSUED, FAILED, PENDING, FAILED, ISSUED, PENDING]
    assert [row.attempts for row in rows] == [1, 1, 1, 0, 1, 1]
    assert [row.unclear_at for row in rows] == [None, NOW - DAY, NOW, NOW - DAY, None, NOW - DAY]
    assert [row.credly_badge_id for row in rows] == ["badge-1", None, None, None, "badge-2", None]
    assert [row.adopted for row in rows] == [False, False, False, False, True, False]
    assert {row.claim for row in rows} == {None}
    assert sorted(each.issuance_id for each in await rows_of(database, IssuanceAttempt)) == ids


async def test_among_several_one_whose_claim_is_lost_changes_nothing_but_its_call_is_kept(database: Database) -> None:
    ids = await several_held(database, 2)
    lost = await an_issuance(database, user="lost", **HELD | {"claim": "run-2"})

    told, writes = await at_once(database, results_of(dict.fromkeys([ids[0], lost, ids[1]], LATER)))

    assert (told, writes) == ([LATER, None, LATER], 2)
    assert [row.state for row in await ledger(database)] == [PENDING, PENDING, ISSUING]
    assert len(await rows_of(database, IssuanceAttempt)) == 3


async def test_of_several_two_with_one_badge_do_not_hinder_the_others(database: Database) -> None:
    ids = await several_held(database, 4)
    badges = ["badge-1", "badge-2", "badge-1", "badge-3"]
    results = {issuance: outcome.issued(Badge(id=badge)) for issuance, badge in zip(ids, badges, strict=True)}

    told, _writes = await at_once(database, results_of(results))

    assert [each.state for each in told] == [ISSUED, ISSUED, FAILED, ISSUED]
    assert [row.state for row in await ledger(database)] == [ISSUED, ISSUED, FAILED, ISSUED]
    assert len(await rows_of(database, IssuanceAttempt)) == 4


async def test_of_several_one_that_the_database_refuses_is_the_only_one_to_fail(database: Database) -> None:
    ids = await several_held(database, 3)
    results = dict.fromkeys(ids, LATER) | {ids[1]: replace(outcome.issued(BADGE), reason=Reason.THROTTLED)}

    told, _writes = await at_once(database, results_of(results))

    assert isinstance(told[1], IntegrityError)
    assert [told[0], told[2]] == [LATER, LATER]
    assert [row.state for row in await ledger(database)] == [PENDING, ISSUING, PENDING]
    assert len(await rows_of(database, IssuanceAttempt)) == 2
