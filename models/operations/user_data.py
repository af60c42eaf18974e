"""Exports everything stored about one user: the issuances, each with its calls and its history."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, select

from models.ledger.history import IssuanceTransition
from models.ledger.tables import BadgeIssuance, IssuanceAttempt
from models.tables import table

issuances, attempts, history = table(BadgeIssuance), table(IssuanceAttempt), table(IssuanceTransition)


def kept_of(connection: Connection, user_id: str) -> list[dict[str, Any]]:
    """Return the user's issuances, the oldest first, with all columns and their `attempts` and `history`."""
    found = _rows(connection, issuances, issuances.c.user_id == user_id)
    for each in found:
        for name, log in (("attempts", attempts), ("history", history)):
            each[name] = _rows(connection, log, log.c.issuance_id == each["id"])
    return found


def _rows(connection: Connection, of: Table, where: ColumnElement[bool]) -> list[dict[str, Any]]:
    rows: Sequence[Any] = connection.execute(select(of).where(where).order_by(of.c.id)).all()
    return [{name: _plain(value) for name, value in row._mapping.items()} for row in rows]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
