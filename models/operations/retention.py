"""Deletes calls, and links and messages of Credly's, that are older than they are kept. Issuances are never deleted."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, delete, or_, select, update

from models.database import Database
from models.ledger.tables import BadgeIssuance, IssuanceAttempt
from models.setup.calls import CredlyCall
from models.tables import table
from rules.ledger.states import IssuanceState

attempts, issuances, calls = table(IssuanceAttempt), table(BadgeIssuance), table(CredlyCall)
# What Credly's answers hold beyond the facts that decide, by table, with the column of its age.
_ANSWERS = (
    (issuances, "updated_at", ("badge_url", "credly_message")),
    (attempts, "started_at", ("credly_message", "credly_request_id")),
    (calls, "started_at", ("credly_message", "credly_request_id")),
)
# The calls of other issuances are still needed, for a look-up and to explain the state.
FINAL_STATES = (IssuanceState.ISSUED, IssuanceState.CANCELLED)


async def forget_attempts(database: Database, *, before: datetime) -> int:
    """Delete calls before a moment (UTC) of issuances that are issued or cancelled; return how many."""
    forgotten = after = 0
    while True:
        # In portions: each is a short transaction.
        portion = await database.read(_portion, after, database.rows_per_page)
        older = [row for row in portion if row.started_at < before]
        # Ids rise with time, nearly: the first portion without older calls is the last one.
        if not older:
            return forgotten
        after = portion[-1].id
        old = [row.id for row in older if row.state in FINAL_STATES]
        await database.write(_delete, old)
        forgotten += len(old)


def _portion(connection: Connection, after: int, size: int) -> Sequence[Row[int, datetime, IssuanceState]]:
    query = (
        select(attempts.c.id, attempts.c.started_at, issuances.c.state)
        .join(issuances, issuances.c.id == attempts.c.issuance_id)
        .where(attempts.c.id > after)
        .order_by(attempts.c.id)
        .limit(size)
    )
    return connection.execute(query).all()


def _delete(connection: Connection, ids: Sequence[int]) -> None:
    connection.execute(delete(attempts).where(attempts.c.id.in_(ids)))


async def forget_answers(database: Database, *, before: datetime) -> int:
    """Clear links, messages and request ids of Credly's answers from before a moment (UTC); return from how many rows.

    No decision uses them. Ids, states, moments, statuses and codes stay.
    """
    cleared = 0
    for source, moment, columns in _ANSWERS:
        held = and_(source.c[moment] < before, or_(*(source.c[name].is_not(None) for name in columns)))
        after = 0
        while ids := await database.read(_with_answers, source, held, after, database.rows_per_page):
            # With the condition again: a row may have a new answer by now.
            statement = update(source).where(source.c.id.in_(ids), held).values(dict.fromkeys(columns))
            cleared += (await database.write(Connection.execute, statement)).rowcount
            after = ids[-1]
    return cleared


def _with_answers(
    connection: Connection, source: Table, held: ColumnElement[bool], after: int, size: int
) -> Sequence[int]:
    query = select(source.c.id).where(source.c.id > after, held).order_by(source.c.id).limit(size)
    return connection.execute(query).scalars().all()
