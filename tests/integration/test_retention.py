"""Links and messages of Credly's answers are cleared when they are old, and nothing else is."""

from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import insert, update

from models.base import Model
from models.database import Database
from models.ledger.tables import AttemptOutcome, BadgeIssuance, IssuanceAttempt
from models.operations import retention
from models.operations.retention import forget_answers
from models.setup.calls import CredlyCall
from models.tables import table
from rules.ledger.states import IssuanceState
from tests.support.factories import NOW, an_attempt, an_issuance, do, rows_of
from tests.support.interrupted import OvertakenDatabase, beside

ANSWERED = {"credly_message": "No.", "credly_request_id": "credly-1"}
OLD, NEW = NOW - timedelta(days=31), NOW - timedelta(days=29)
BEFORE = NOW - timedelta(days=30)
TABLES: tuple[type[Model], ...] = (BadgeIssuance, IssuanceAttempt, CredlyCall)


async def some_of(database: Database, **moments: Any) -> None:
    for moment in moments.values():
        issuance = await an_issuance(
            database,
            user=f"of-{moment:%d}",
            state=IssuanceState.ISSUED,
            updated_at=moment,
            recorded_at=moment,
            badge_url="https://credly.example.org/badges/1",
            credly_message="No.",
        )
        await an_attempt(database, issuance=issuance, started_at=moment, status=422, code="http_422", **ANSWERED)
        call = {"organization_id": "o", "operation": "badge", "outcome": AttemptOutcome.REFUSED, "duration_ms": 1}
        await do(database, insert(table(CredlyCall)).values(started_at=moment, requests=1, **call, **ANSWERED))


async def test_old_links_and_messages_are_cleared_and_the_facts_stay(database: Database) -> None:
    database.rows_per_page = 1
    await some_of(database, old=OLD, oldest=OLD - timedelta(days=1), new=NEW)
    before = [await rows_of(database, model) for model in TABLES]

    assert await forget_answers(database, before=BEFORE) == 6
    assert await forget_answers(database, before=BEFORE) == 0

    cleared = {"badge_url": None, "credly_message": None}, dict.fromkeys(ANSWERED), dict.fromkeys(ANSWERED)
    for model, rows, values in zip(TABLES, before, cleared, strict=True):
        *old, new = [row._asdict() for row in rows]
        assert [row._asdict() for row in await rows_of(database, model)] == [*(row | values for row in old), new]


async def test_an_answer_that_comes_meanwhile_is_kept(database: Database) -> None:
    await some_of(database, old=OLD)
    changed = partial(do, database, update(table(BadgeIssuance)).values(updated_at=NEW))

    overtaken = OvertakenDatabase(database.url, having_read=retention._with_answers, change=changed)
    async with beside(database, overtaken) as ours:
        await forget_answers(ours, before=BEFORE)

    assert [row.badge_url for row in await rows_of(database, BadgeIssuance)] == ["https://credly.example.org/badges/1"]
