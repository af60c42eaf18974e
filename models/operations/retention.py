"""Deletes calls that are older than the retention period. Issuances are never deleted."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Row, delete, select

from models.database import Database
from models.ledger.tables import BadgeIssuance, IssuanceAttempt
from models.tables import table
from rules.ledger.states import IssuanceState

_PORTION = 5_000
attempts, issuances = table(IssuanceAttempt), table(BadgeIssuance)
# The calls of other issuances are still needed, for a look-up and to explain the state.
_FINAL_STATES = (IssuanceState.ISSUED, IssuanceState.CANCELLED)


async def forget_attempts(database: Database, *, before: datetime) -> int:
    """Delete calls before a moment (UTC) of issuances that are issued or cancelled; return how many."""
    forgotten = after = 0
    while True:
        # In portions: each is a short transaction.
        portion = await database.read(_portion, after)
        older = [row for row in portion if row.started_at < before]
        # Ids rise with time, nearly: the first portion without older calls is the last one.
        if not older:
            return forgotten
        after = portion[-1].id
        old = [row.id for row in older if row.state in _FINAL_STATES]
        await database.write(_delete, old)
        forgotten += len(old)


def _portion(connection: Connection, after: int) -> Sequence[Row[int, datetime, IssuanceState]]:
    query = (
        select(attempts.c.id, attempts.c.started_at, issuances.c.state)
        .join(issuances, issuances.c.id == attempts.c.issuance_id)
        .where(attempts.c.id > after)
        .order_by(attempts.c.id)
        .limit(_PORTION)
    )
    return connection.execute(query).all()


def _delete(connection: Connection, ids: Sequence[int]) -> None:
    connection.execute(delete(attempts).where(attempts.c.id.in_(ids)))
