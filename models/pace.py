"""The pace of an organization's calls, kept where every process that calls it can see it: in Laurel's database.

Credly counts an organization's calls, not a worker's: with a limiter in each process, so many workers would make so
many times the allowed rate. Turns are booked by the database's clock, so that the clocks of machines may differ.
"""

from time import monotonic

from sqlalchemy import Connection, TextClause, text
from sqlmodel import Field

from models.base import LaurelTable
from models.columns import own_id

_CLOCK = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "extract(epoch FROM clock_timestamp())::float8",
}
_BOOK = """
INSERT INTO organization_pace (organization, next_turn) VALUES (:organization, {clock} + :seconds)
ON CONFLICT (organization) DO UPDATE SET next_turn =
  CASE WHEN organization_pace.next_turn > {clock}
  THEN organization_pace.next_turn ELSE {clock} END + :later + :seconds
RETURNING next_turn - :seconds - {clock} AS wait
"""
_PAUSE = """
INSERT INTO organization_pace (organization, next_turn) VALUES (:organization, {clock} + :seconds)
ON CONFLICT (organization) DO UPDATE SET next_turn =
  CASE WHEN organization_pace.next_turn > excluded.next_turn
  THEN organization_pace.next_turn ELSE excluded.next_turn END
"""


class OrganizationPace(LaurelTable, table=True):
    """When the next call to an organization may be made, in seconds since 1970 by the database's clock."""

    __tablename__ = "organization_pace"
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    organization: str = Field(unique=True, max_length=600)
    next_turn: float


def book(connection: Connection, organization: str, *, seconds: float, later: float = 0.0) -> float:
    """Take the next `seconds` of an organization's time for oneself, and return in how many seconds they begin.

    They, and whatever is booked behind them, begin `later` than they might.
    """
    values = {"organization": organization, "seconds": seconds, "later": later}
    return max(0.0, float(connection.execute(_statement(_BOOK, connection), values).scalar_one()))


def begin(connection: Connection, organization: str, *, seconds: float, later: float) -> float:
    """Take the next `seconds` as `book` does, and return when they begin by `monotonic()` of this process.

    What follows, a commit and others' work, is a part of the wait.
    """
    wait = book(connection, organization, seconds=seconds, later=later)
    return monotonic() + wait


def pause(connection: Connection, organization: str, *, seconds: float) -> None:
    """Let nobody take a turn for so many seconds, or longer where a longer pause is under way."""
    values = {"organization": organization, "seconds": seconds}
    connection.execute(_statement(_PAUSE, connection), values)


def _statement(sql: str, connection: Connection) -> TextClause:
    return text(sql.format(clock=_CLOCK[connection.dialect.name]))
