"""Forgetting calls that are older than they are kept. The ledger is never touched."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Row, delete, select

from models.database import Database
from models.ledger.tables import BadgeIssuance, IssuanceAttempt
from models.tables import table
from rules.states import IssuanceState

_PORTION = 5_000
attempts, issuances = table(IssuanceAttempt), table(BadgeIssuance)
_DONE_WITH = (IssuanceState.ISSUED, IssuanceState.CANCELLED)


async def forget_attempts(database: Database, *, before: datetime) -> int:
    """Delete calls that began before a moment (UTC), for issuances that are issued or cancelled; return how many.

    In portions, each a short transaction, in the order of ids, which is nearly that of time: it ends at the first
    portion in which nothing is older.
    """
    forgotten = after = 0
    while True:
        portion = await database.read(_portion, after)
        older = [row for row in portion if row.started_at < before]
        if not older:
            return forgotten
        after = portion[-1].id
        old = [row.id for row in older if row.state in _DONE_WITH]
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
