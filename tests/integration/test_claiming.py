"""What is due, and who gets it: claims, leases and the token that fences them; each on SQLite and PostgreSQL."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from multiprocessing import get_context
from typing import Any

import pytest
from sqlalchemy import Connection

from models.database import Database
from models.ledger import claiming
from models.ledger.claiming import DueOrganization
from models.ledger.tables import BadgeIssuance
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from tests.support.databases import holding
from tests.support.factories import (
    AWARDED,
    NOW,
    PORTAL,
    TEMPLATE,
    a_connection,
    a_portal,
    an_achievement,
    an_integration,
    an_issuance,
    change,
    together,
)
from tests.support.plans import BLOCKED, CANCELLED, DAY, FAILED, HOUR, ISSUED, ISSUING, PENDING, ledger, the_issuance

LEASE = timedelta(minutes=10)
INSTANT = timedelta(microseconds=1)
ENDED: dict[str, Any] = {"state": ISSUING, "claim": "run-0", "lease_until": NOW}
RUNNING: dict[str, Any] = {"state": ISSUING, "claim": "run-0", "lease_until": NOW + INSTANT}
CLAIMERS, ROWS, AT_ONCE = 8, 60, 7


async def due(
    database: Database, *, portals: Sequence[str] = (PORTAL,), now: datetime = NOW, after_id: int = 0, limit: int = 100
) -> list[int]:
    found = await database.read(
        claiming.due_issuances, claiming.Scope(portals), now=now, after_id=after_id, limit=limit
    )
    return [issuance_id for issuance_id, _ in found]


async def claimed(
    database: Database, ids: Sequence[int], *, run: str = "run-1", now: datetime = NOW, ignore_wait: bool = False
) -> list[int]:
    return await database.write(claiming.claim, ids, token=run, now=now, lease=LEASE, ignore_wait=ignore_wait)


async def released(database: Database, ids: Sequence[int], *, run: str = "run-1", now: datetime = NOW) -> int:
    return await database.write(claiming.release, ids, token=run, now=now)


async def some_issuances(database: Database, count: int) -> list[int]:
    async def make(connection: Connection) -> list[int]:
        return [await an_issuance(connection, user=f"user-{number}") for number in range(count)]

    return await together(database, make)


async def states(database: Database) -> dict[str, IssuanceState]:
    return {row.user_id: row.state for row in await ledger(database)}


# What is due

DUE_OR_NOT: list[tuple[dict[str, Any], bool]] = [
    ({"state": PENDING, "not_before": NOW}, True),
    ({"state": PENDING, "not_before": NOW + INSTANT}, False),
    (ENDED, True),
    (RUNNING, False),
    ({"state": ISSUED}, False),
    ({"state": BLOCKED}, False),
    ({"state": FAILED}, False),
    ({"state": CANCELLED}, False),
]


@pytest.mark.parametrize(("row", "is_due"), DUE_OR_NOT)
async def test_due_is_what_waits_for_nothing_and_what_a_silent_run_has_left(
    ready: Database, row: dict[str, Any], is_due: bool
) -> None:
    issuance = await an_issuance(ready, **row)

    assert await due(ready) == ([issuance] if is_due else [])
    assert await claimed(ready, [issuance]) == ([issuance] if is_due else [])


@pytest.mark.parametrize("stopped", ["paused_at", "held_at"])
@pytest.mark.parametrize("row", [{"state": PENDING}, ENDED])
async def test_what_a_person_has_stopped_is_not_due(database: Database, stopped: str, row: dict[str, Any]) -> None:
    since: dict[str, Any] = {stopped: NOW - DAY}
    await an_integration(database, **since)
    issuance = await an_issuance(database, **row)

    assert await due(database) == []
    assert await claimed(database, [issuance]) == []


async def test_another_achievement_that_is_paused_stops_nothing(ready: Database) -> None:
    await an_integration(ready, achievement="crane", paused_at=NOW)
    issuance = await an_issuance(ready)

    assert await due(ready) == await claimed(ready, [issuance]) == [issuance]


async def test_what_has_lost_its_integration_is_due_so_that_a_run_says_so(database: Database) -> None:
    issuance = await an_issuance(database)

    assert await due(database) == [issuance]


async def test_what_is_due_comes_in_order_in_portions_and_from_these_portals_only(ready: Database) -> None:
    ids = await some_issuances(ready, 5)
    elsewhere = await an_issuance(ready, user="zoe", achievement="crane", portal="other")
    await change(ready, BadgeIssuance, ids[0], not_before=NOW)  # the latest to become due, still the first

    assert await due(ready, limit=2) == ids[:2]
    assert await due(ready, after_id=ids[1], limit=2) == ids[2:4]
    assert await due(ready, after_id=ids[3], limit=2) == ids[4:]
    assert await due(ready, after_id=ids[4], limit=2) == []
    assert await due(ready, portals=["other"]) == [elsewhere]
    assert await due(ready, portals=["other", PORTAL]) == [*ids, elsewhere]
    assert await due(ready, portals=[]) == []


async def test_what_is_due_comes_with_its_achievement(ready: Database) -> None:
    issuance = await an_issuance(ready, achievement="crane")

    found = await ready.read(claiming.due_issuances, claiming.Scope([PORTAL]), now=NOW, limit=1)

    assert found == [(issuance, "crane")]


# Claiming


async def test_a_claim_puts_a_lease_on_a_row_and_changes_nothing_else_of_it(ready: Database) -> None:
    unclear_at = NOW - DAY
    issuance = await an_issuance(ready, reason=Reason.THROTTLED, attempts=3, unclear_at=unclear_at)

    assert await claimed(ready, [issuance]) == [issuance]

    row = await the_issuance(ready)
    assert (row.state, row.reason, row.claim, row.lease_until) == (ISSUING, None, "run-1", NOW + LEASE)
    assert (row.attempts, row.unclear_at, row.not_before, row.updated_at) == (3, unclear_at, AWARDED, NOW)


async def test_only_the_rows_that_are_asked_for_are_claimed_in_order(ready: Database) -> None:
    ids = await some_issuances(ready, 4)

    assert await claimed(ready, [ids[3], ids[1], 999]) == [ids[1], ids[3]]
    assert await claimed(ready, []) == []
    assert await due(ready) == [ids[0], ids[2]]


async def test_what_is_claimed_belongs_to_its_run_until_the_lease_ends(ready: Database) -> None:
    issuance = await an_issuance(ready)
    await claimed(ready, [issuance], run="run-1")

    assert await claimed(ready, [issuance], run="run-2", now=NOW + LEASE - INSTANT) == []
    assert (await the_issuance(ready)).claim == "run-1"
    assert await claimed(ready, [issuance], run="run-2", now=NOW + LEASE) == [issuance]
    assert (await the_issuance(ready)).claim == "run-2"


async def test_a_lease_taken_over_is_an_attempt_that_is_unclear_since_it_ended(ready: Database) -> None:
    issuance = await an_issuance(ready, attempts=2, unclear_at=NOW - DAY, **ENDED)

    await claimed(ready, [issuance], now=NOW + HOUR)

    row = await the_issuance(ready)
    assert (row.attempts, row.unclear_at, row.lease_until) == (3, NOW, NOW + HOUR + LEASE)


@pytest.mark.parametrize(
    ("row", "stopped", "taken"),
    [
        ({"not_before": NOW + DAY}, {}, True),
        ({"not_before": NOW + DAY}, {"held_at": NOW}, True),
        ({}, {"held_at": NOW}, True),
        ({}, {"paused_at": NOW}, False),
        ({"not_before": NOW + DAY}, {"paused_at": NOW}, False),
        (ENDED, {}, True),
        (ENDED, {"held_at": NOW}, False),
        (RUNNING, {}, False),
        ({"state": BLOCKED}, {}, False),
        ({"state": FAILED}, {}, False),
        ({"state": ISSUED}, {}, False),
    ],
)
async def test_by_hand_and_on_a_retry_nothing_waits_for_its_moment_but_what_is_paused_stays(
    database: Database, row: dict[str, Any], stopped: dict[str, Any], taken: bool
) -> None:
    await an_integration(database, **stopped)
    issuance = await an_issuance(database, **row)

    assert bool(await claimed(database, [issuance], ignore_wait=True)) is taken


async def test_many_claimers_at_once_never_get_the_same_row(ready: Database) -> None:
    ids = await some_issuances(ready, ROWS)

    results = await asyncio.gather(*(claimed(ready, ids, run=f"run-{n}") for n in range(CLAIMERS)))

    assert sorted(issuance for result in results for issuance in result) == ids
    holders = {row.id: row.claim for row in await ledger(ready)}
    assert all(holders[issuance] == f"run-{n}" for n, result in enumerate(results) for issuance in result)


async def test_of_many_who_take_over_a_lease_one_gets_it(ready: Database) -> None:
    issuance = await an_issuance(ready, **ENDED)

    results = await asyncio.gather(*(claimed(ready, [issuance], run=f"run-{n}") for n in range(CLAIMERS)))

    assert sorted(results) == [[]] * (CLAIMERS - 1) + [[issuance]]
    assert (await the_issuance(ready)).attempts == 1


async def test_a_claimer_passes_by_what_another_is_taking(ready: Database) -> None:
    if ready.engine.dialect.name == "sqlite":
        pytest.skip("SQLite lets one writer in at a time: the others wait, and come to the same result")
    first, second = await some_issuances(ready, 2)

    async with holding(ready, partial(claiming.claim, issuance_ids=[first], token="run-1", now=NOW, lease=LEASE)):
        taken = await asyncio.wait_for(claimed(ready, [first, second], run="run-2"), timeout=20)

    assert taken == [second]


def _meet(barrier: Any) -> None:
    """Begin only when the other process has begun as well."""
    barrier.wait(timeout=60)


def _claim_all(url: str, run: str) -> list[int]:
    """In a process of its own: claim portion after portion, each of rows that the other process is after as well."""
    return asyncio.run(_claim_portions(url, run))


async def _claim_portions(url: str, run: str) -> list[int]:
    database, taken = Database(url), list[int]()
    while portion := await due(database, limit=AT_ONCE):
        taken += await claimed(database, portion, run=run)
    await database.dispose()
    return taken


async def test_two_processes_never_get_the_same_row(ready: Database) -> None:
    ids = await some_issuances(ready, ROWS)
    url = ready.engine.url.render_as_string(hide_password=False)
    spawning = get_context("spawn")
    barrier = spawning.Barrier(2)

    with ProcessPoolExecutor(2, mp_context=spawning, initializer=_meet, initargs=(barrier,)) as pool:
        loop = asyncio.get_running_loop()
        results = await asyncio.gather(
            *(loop.run_in_executor(pool, _claim_all, url, run) for run in ("run-1", "run-2"))
        )

    assert sorted(results[0] + results[1]) == ids
    holders = {row.id: row.claim for row in await ledger(ready)}
    assert holders == dict.fromkeys(results[0], "run-1") | dict.fromkeys(results[1], "run-2")


# Giving back


async def test_what_is_given_back_is_due_again_at_once(ready: Database) -> None:
    ids = await some_issuances(ready, 3)
    await claimed(ready, ids)

    assert await released(ready, ids[:2], now=NOW + HOUR) == 2

    assert await due(ready) == ids[:2]
    rows = await ledger(ready)
    assert [(row.claim, row.lease_until) for row in rows[:2]] == [(None, None), (None, None)]
    assert [(row.attempts, row.unclear_at) for row in rows[:2]] == [(0, None), (0, None)]
    assert [row.updated_at for row in rows] == [NOW + HOUR, NOW + HOUR, NOW]


async def test_only_its_holder_gives_a_row_back(ready: Database) -> None:
    issuance = await an_issuance(ready)
    await claimed(ready, [issuance], run="run-1")

    assert await released(ready, [issuance], run="run-2") == 0
    assert (await the_issuance(ready)).state is ISSUING
    assert await released(ready, [issuance], run="run-1") == 1
    assert await released(ready, [issuance], run="run-1") == 0


async def test_what_was_taken_over_stays_unclear_when_it_is_given_back(ready: Database) -> None:
    issuance = await an_issuance(ready, **ENDED)
    await claimed(ready, [issuance])

    await released(ready, [issuance])

    row = await the_issuance(ready)
    assert (row.state, row.unclear_at, row.attempts) == (PENDING, NOW, 1)


# Blocking and unblocking


async def block(database: Database, reason: Reason, *, template: str | None = None) -> int:
    return await database.write(
        claiming.block_due, reason, claiming.Scope([PORTAL]), now=NOW + HOUR, badge_template_id=template
    )


async def unblock(database: Database, *reasons: Reason, template: str | None = None) -> int:
    return await database.write(
        claiming.unblock, reasons, claiming.Scope([PORTAL]), now=NOW + HOUR, badge_template_id=template
    )


async def test_all_that_is_pending_of_a_portal_is_blocked_at_once(ready: Database) -> None:
    for state in IssuanceState:
        await an_issuance(ready, user=state, state=state)
    await an_issuance(ready, user="later", not_before=NOW + DAY)
    await an_issuance(ready, user="elsewhere", portal="other")

    assert await block(ready, Reason.TOKEN_REFUSED) == 2

    rows = {row.user_id: row for row in await ledger(ready)}
    changed = {user for user, row in rows.items() if row.updated_at == NOW + HOUR}
    assert changed == {"pending", "later"}
    assert {(rows[user].state, rows[user].reason) for user in changed} == {(BLOCKED, Reason.TOKEN_REFUSED)}


async def test_what_is_pending_of_one_template_can_be_blocked_alone(ready: Database) -> None:
    await an_issuance(ready, user="ada")
    await an_issuance(ready, user="bob", badge_template_id="template-2")

    assert await block(ready, Reason.TEMPLATE_NOT_ACTIVE, template="template-2") == 1
    assert await states(ready) == {"ada": PENDING, "bob": BLOCKED}


async def test_what_is_blocked_for_these_reasons_is_due_again(ready: Database) -> None:
    await an_issuance(ready, user="token", state=BLOCKED, reason=Reason.TOKEN_REFUSED)
    await an_issuance(ready, user="missing", state=BLOCKED, reason=Reason.TOKEN_MISSING)
    await an_issuance(ready, user="template", state=BLOCKED, reason=Reason.TEMPLATE_NOT_ACTIVE)
    await an_issuance(ready, user="elsewhere", state=BLOCKED, reason=Reason.TOKEN_REFUSED, portal="other")
    await an_issuance(ready, user="failed", state=FAILED)

    assert await unblock(ready, Reason.TOKEN_REFUSED, Reason.TOKEN_MISSING) == 2

    due_again = [row for row in await ledger(ready) if row.state is PENDING]
    assert {row.user_id for row in due_again} == {"token", "missing"}
    assert {(row.reason, row.updated_at) for row in due_again} == {(None, NOW + HOUR)}
    assert await due(ready) == [row.id for row in due_again]


async def test_what_is_blocked_by_one_template_can_be_unblocked_alone(ready: Database) -> None:
    blocked: dict[str, Any] = {"state": BLOCKED, "reason": Reason.TEMPLATE_NOT_ACTIVE}
    await an_issuance(ready, user="ada", **blocked)
    await an_issuance(ready, user="bob", badge_template_id="template-2", **blocked)

    assert await unblock(ready, Reason.TEMPLATE_NOT_ACTIVE, template=TEMPLATE) == 1
    assert await states(ready) == {"ada": PENDING, "bob": BLOCKED}


async def test_what_was_blocked_while_it_waited_still_waits_for_its_moment(ready: Database) -> None:
    issuance = await an_issuance(ready, not_before=NOW + DAY)
    await block(ready, Reason.TOKEN_REFUSED)
    await unblock(ready, Reason.TOKEN_REFUSED)

    assert await due(ready) == []
    assert await due(ready, now=NOW + DAY) == [issuance]


# Organizations and templates with work


async def organizations(database: Database, *, portals: Sequence[str] | None = None) -> list[DueOrganization]:
    return await database.read(claiming.due_organizations, now=NOW, portal_ids=portals)


async def templates(database: Database, *portals: str) -> list[str]:
    return await database.read(claiming.templates_with_work, claiming.Scope(portals), now=NOW)


async def another_portal(database: Database, portal: str, **connection: Any) -> None:
    await a_portal(database, portal)
    await a_connection(database, portal=portal, **connection)


async def test_an_organization_comes_with_what_a_run_needs_to_reach_it(ready: Database) -> None:
    await some_issuances(ready, 2)
    await an_issuance(ready, user="zoe", state=BLOCKED, reason=Reason.TOKEN_REFUSED)

    assert await organizations(ready) == [
        DueOrganization(
            organization_id="organization-1",
            base_url="https://credly.example.org/v1",
            token_block="credly-northwind",
            calls_per_second=3.0,
            portal_ids=(PORTAL,),
            due=2,
            blocked=1,
        )
    ]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        *((row, [(1, 0)] if is_due else []) for row, is_due in DUE_OR_NOT if row["state"] is not BLOCKED),
        ({"state": BLOCKED, "reason": Reason.PORTAL_NOT_CONNECTED}, []),
        ({"state": BLOCKED, "reason": Reason.TOKEN_REFUSED}, [(0, 1)]),
        ({"state": BLOCKED, "reason": Reason.TEMPLATE_NOT_FOUND}, [(0, 1)]),
    ],
)
async def test_an_organization_has_work_with_what_is_due_or_may_have_been_mended(
    ready: Database, row: dict[str, Any], found: list[tuple[int, int]]
) -> None:
    await an_issuance(ready, **row)

    assert [(organization.due, organization.blocked) for organization in await organizations(ready)] == found
    assert await templates(ready, PORTAL) == ([TEMPLATE] if found else [])


@pytest.mark.parametrize("sister", ["a-sister", "z-sister"])
async def test_portals_that_share_an_organization_and_its_token_are_taken_together_at_the_slower_pace(
    ready: Database, sister: str
) -> None:
    await another_portal(ready, sister, calls_per_second=0.5)
    await an_issuance(ready, user="ada")
    await an_issuance(ready, user="bob", portal=sister)
    await an_issuance(ready, user="eve", portal=sister, state=BLOCKED, reason=Reason.TOKEN_REFUSED)

    (found,) = await organizations(ready)

    assert (found.portal_ids, found.calls_per_second) == (tuple(sorted([sister, PORTAL])), 0.5)
    assert (found.due, found.blocked) == (2, 1)


@pytest.mark.parametrize(
    "difference",
    [
        {"organization_id": "organization-2"},
        {"token_block": "credly-southwind"},
        {"base_url": "https://sandbox.credly.example.org/v1"},
    ],
)
async def test_portals_with_another_organization_token_or_address_stay_apart(
    ready: Database, difference: dict[str, Any]
) -> None:
    await another_portal(ready, "southwind", **difference)
    await an_issuance(ready, user="ada")
    await an_issuance(ready, user="bob", portal="southwind")

    assert [found.portal_ids for found in await organizations(ready)] == [(PORTAL,), ("southwind",)]


async def test_organizations_can_be_asked_for_by_portal(ready: Database) -> None:
    await another_portal(ready, "southwind", organization_id="organization-2")
    await an_issuance(ready, user="ada")
    await an_issuance(ready, user="bob", portal="southwind")

    assert [found.organization_id for found in await organizations(ready, portals=["southwind"])] == ["organization-2"]
    assert len(await organizations(ready, portals=None)) == 2
    assert await organizations(ready, portals=[]) == []


async def test_what_is_due_of_an_unconnected_portal_is_no_organization_s(database: Database) -> None:
    await an_achievement(database)
    await an_issuance(database)

    assert await organizations(database) == []


async def test_templates_are_named_once_in_order_and_of_these_portals_only(ready: Database) -> None:
    for user, template in (("ada", "template-2"), ("bob", TEMPLATE), ("eve", TEMPLATE)):
        await an_issuance(ready, user=user, badge_template_id=template)
    await an_issuance(ready, user="zoe", badge_template_id="template-3", portal="other")

    assert await templates(ready, PORTAL) == [TEMPLATE, "template-2"]
    assert await templates(ready, PORTAL, "other") == [TEMPLATE, "template-2", "template-3"]
    assert await templates(ready) == []
