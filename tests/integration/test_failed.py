"""Failed issuances are due again once a person has corrected what they failed for; each on SQLite and PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection

from models.database import Database
from models.ledger.issuance_data import facts_of
from models.ledger.tables import BadgeIssuance
from models.operations import failed
from models.platform.tables import AchievementAward, User, UserEmail
from models.setup.tables import CredlyIntegration
from rules.badge.request import Prepared, prepare_request
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from settings import settings
from tasks.issuing.plan import FAILED_LOOKED_AT, requeue_corrected
from tasks.runtime.run import run_context
from tests.support.factories import (
    AWARDED,
    NOW,
    TEMPLATE,
    an_award,
    an_email,
    an_issuance,
    change,
    remove,
    rows_of,
    together,
)
from tests.support.plans import DAY, FAILED, HOUR, PENDING, ledger, the_issuance


@pytest.fixture
async def configured(ready: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """What a run opens is this database."""
    monkeypatch.setenv("LAUREL_DATABASE_URL", ready.engine.url.render_as_string(hide_password=False))
    settings.cache_clear()
    yield ready
    settings.cache_clear()


async def looked_again() -> int:
    """What a run does with what has failed."""
    async with run_context():
        return await requeue_corrected.fn()


async def fingerprint_of(database: Database, issuance: int) -> str:
    (facts,) = await facts_of(database, [issuance], now=NOW)
    prepared = prepare_request(facts, now=NOW)
    assert isinstance(prepared, Prepared)
    return prepared.request.fingerprint


async def a_refused_badge(database: Database) -> int:
    """As after Credly's answer: what was refused is what would be sent now."""
    await an_award(database, "award-1")
    issuance = await an_issuance(database, state=FAILED, award_id="award-1", credly_message="No.", attempts=4)
    await change(database, BadgeIssuance, issuance, request_fingerprint=await fingerprint_of(database, issuance))
    return issuance


async def test_what_would_be_sent_unchanged_stays_failed(configured: Database) -> None:
    await a_refused_badge(configured)

    assert await looked_again() == 0

    row = await the_issuance(configured)
    assert (row.state, row.reason, row.credly_message) == (FAILED, Reason.REFUSED_BY_CREDLY, "No.")
    assert (row.attempts, row.not_before) == (4, AWARDED)
    assert row.looked_again_at > AWARDED


@pytest.mark.parametrize(
    ("model", "key", "correction"),
    [
        (User, "ada", {"last_name": "Lovelace"}),
        (AchievementAward, "award-1", {"awarded_at": AWARDED - DAY}),
        (CredlyIntegration, 1, {"portal_evidence": True}),
        (CredlyIntegration, 1, {"locale": "de"}),
    ],
)
async def test_corrected_data_makes_a_failed_issuance_due_again(
    configured: Database, model: Any, key: str | int, correction: dict[str, Any]
) -> None:
    await a_refused_badge(configured)
    await change(configured, model, key, **correction)

    assert await looked_again() == 1

    row = await the_issuance(configured)
    assert (row.state, row.reason, row.credly_message, row.attempts) == (PENDING, None, None, 0)
    assert row.not_before == row.updated_at == row.looked_again_at > AWARDED
    assert await looked_again() == 0


async def test_a_name_that_was_removed_and_put_back_makes_it_due_again(configured: Database) -> None:
    issuance = await a_refused_badge(configured)
    await change(configured, BadgeIssuance, issuance, reason=Reason.NAME_MISSING)

    assert await looked_again() == 1


async def test_an_address_that_was_missing_is_sent_once_it_is_there(configured: Database) -> None:
    await an_award(configured, "award-1")
    await remove(configured, UserEmail)
    await an_issuance(configured, state=FAILED, reason=Reason.NO_PRIMARY_EMAIL, award_id="award-1")
    assert await looked_again() == 0

    await an_email(configured, address="ada@example.org")
    assert await looked_again() == 1
    assert (await the_issuance(configured)).state is PENDING


async def test_data_that_got_worse_does_not_help(configured: Database) -> None:
    await a_refused_badge(configured)
    await remove(configured, UserEmail)

    assert await looked_again() == 0
    assert (await the_issuance(configured)).reason is Reason.REFUSED_BY_CREDLY


async def test_an_answer_that_was_unclear_stays_so(configured: Database) -> None:
    """The badge may exist, so Credly is asked before the corrected one is sent."""
    issuance = await a_refused_badge(configured)
    await change(configured, BadgeIssuance, issuance, unclear_at=NOW, reason=Reason.ATTEMPTS_USED_UP)
    await change(configured, User, "ada", last_name="Lovelace")

    assert await looked_again() == 1
    assert (await the_issuance(configured)).unclear_at == NOW


async def test_without_anything_failed_nothing_is_written(configured: Database) -> None:
    await an_issuance(configured)
    before = await ledger(configured)

    assert await looked_again() == 0
    assert await ledger(configured) == before


async def test_a_run_looks_at_so_many_and_the_next_one_goes_on_with_the_rest(configured: Database) -> None:
    async def fail(connection: Connection) -> None:
        for number in range(FAILED_LOOKED_AT):
            await an_issuance(connection, user=f"user-{number}", state=FAILED, reason=Reason.USER_MISSING)

    await together(configured, fail)
    await an_award(configured, "award-1")
    last: dict[str, Any] = {"looked_again_at": AWARDED + HOUR, "award_id": "award-1"}
    await an_issuance(configured, state=FAILED, reason=Reason.NAME_MISSING, **last)

    assert FAILED_LOOKED_AT == 500
    assert await looked_again() == 0
    assert [row.user_id for row in await ledger(configured) if row.looked_again_at == AWARDED + HOUR] == ["ada"]
    assert await looked_again() == 1


# What the statements themselves hold to


async def looked_at(database: Database, *ids: int, changed: tuple[int, ...] = (), now: datetime = NOW) -> int:
    return await database.write(failed.requeue_corrected_rows, looked_at=ids, changed=changed, now=now)


async def test_those_not_looked_at_for_the_longest_come_first(database: Database) -> None:
    ids = [
        await an_issuance(database, user=f"user-{days}", state=FAILED, looked_again_at=NOW - days * DAY)
        for days in (1, 3, 2)
    ]

    first = await database.read(failed.longest_not_looked_at, limit=2)
    every = await database.read(failed.longest_not_looked_at, limit=9)

    assert first == [ids[1], ids[2]]
    assert every == [ids[1], ids[2], ids[0]]


@pytest.mark.parametrize("state", [state for state in IssuanceState if state is not FAILED])
async def test_what_is_not_failed_any_more_is_left_alone(database: Database, state: IssuanceState) -> None:
    """As when it was issued by hand between reading and writing."""
    issuance = await an_issuance(database, state=state)
    before = await ledger(database)

    assert await database.read(failed.longest_not_looked_at, limit=9) == []
    assert await looked_at(database, issuance, changed=(issuance,)) == 0
    assert await ledger(database) == before


async def test_only_what_changed_is_due_again_and_only_what_was_looked_at_is_noted(database: Database) -> None:
    ids = [await an_issuance(database, user=user, state=FAILED) for user in ("ada", "bob", "eve")]

    assert await looked_at(database, *ids[:2], changed=(ids[1],)) == 1

    rows = await rows_of(database, BadgeIssuance)
    assert [row.state for row in rows] == [FAILED, PENDING, FAILED]
    assert [row.looked_again_at for row in rows] == [NOW, NOW, AWARDED]
    assert {row.badge_template_id for row in rows} == {TEMPLATE}
