"""The rate limit of an organization's calls, shared by all processes through Laurel's database.

Credly counts the calls of an organization, not of a process: with a limiter in each of several workers, they would make
several times the allowed rate.
"""

from time import monotonic

from sqlalchemy import Connection, TextClause, delete, text

from models.base import Field, LaurelTable
from models.columns import own_id
from models.tables import table

# The database's clock, because the clocks of the workers' machines may differ. In PostgreSQL not now(), which is the
# start of the transaction.
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
    """Reserve the next `seconds` of an organization's calls, and return in how many seconds they begin.

    The reservation, and all after it, begin `later` seconds later than necessary.
    """
    values = {"organization": organization, "seconds": seconds, "later": later}
    return max(0.0, float(connection.execute(_statement(_BOOK, connection), values).scalar_one()))


def begin(connection: Connection, organization: str, *, seconds: float, later: float) -> float:
    """Reserve as `book` does, and return when the reservation begins by `monotonic()` of this process."""
    # An absolute time, so that the commit that follows counts as part of the wait.
    wait = book(connection, organization, seconds=seconds, later=later)
    return monotonic() + wait


def pause(connection: Connection, organization: str, *, seconds: float) -> None:
    """Allow no call for so many seconds, or until the end of a longer pause."""
    values = {"organization": organization, "seconds": seconds}
    connection.execute(_statement(_PAUSE, connection), values)


def key_of(base_url: str, organization_id: str) -> str:
    return f"{base_url} {organization_id}"


def forget(connection: Connection, organization: str) -> None:
    """Drop what is reserved of an organization's time, and a pause: for when its pace is another one."""
    pace = table(OrganizationPace)
    connection.execute(delete(pace).where(pace.c.organization == organization))


def _statement(sql: str, connection: Connection) -> TextClause:
    return text(sql.format(clock=_CLOCK[connection.dialect.name]))
