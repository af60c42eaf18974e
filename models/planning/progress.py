"""How far planning has come: up to which moment awards were looked at, and the cursor of each round."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Field

from models.base import LaurelTable
from models.columns import UtcDateTime, enum_by_value, own_id
from models.tables import table


class Round(StrEnum):
    """What is gone through: awards whose moment has come, every award, every issuance that is open."""

    RECENT = "recent"
    AWARDS = "awards"
    OPEN = "open"


class PlanningProgress(LaurelTable, table=True):
    """The cursor of a round: `rows_looked_through` so far, `last_round` in the whole round before, `moved_at` when."""

    __tablename__ = "planning_progress"
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    round: Round = Field(sa_type=enum_by_value(Round, name="round"), unique=True)
    after_achievement: str = Field(default="", max_length=64)
    after_user: str = Field(default="", max_length=64)
    after_id: int = Field(default=0, sa_type=own_id())
    rows_looked_through: int = 0
    last_round: int = 0
    moved_at: datetime = Field(sa_type=UtcDateTime)


rounds = table(PlanningProgress)


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """Where a round goes on: after this achievement and user, or after this issuance."""

    after_achievement: str = ""
    after_user: str = ""
    after_id: int = 0
    rows_looked_through: int = 0
    last_round: int = 0
    moved_at: datetime | None = None

    def moved(self, *, rows: int, after: dict[str, Any] | None) -> "Cursor":
        """Return the cursor after so many rows more; without `after` the round has ended and starts over."""
        so_far = self.rows_looked_through + rows
        if after is None:
            return Cursor(last_round=so_far)
        return Cursor(**after, rows_looked_through=so_far, last_round=self.last_round)


def cursor_of(connection: Connection, which: Round) -> Cursor:
    """Return how far a round has come."""
    row = connection.execute(select(rounds).where(rounds.c.round == which)).one_or_none()
    if row is None:
        return Cursor()
    return Cursor(**{name: getattr(row, name) for name in Cursor.__dataclass_fields__})


def put_cursor(connection: Connection, which: Round, cursor: Cursor, *, now: datetime) -> None:
    """Keep how far a round has come at this moment."""
    values = {name: getattr(cursor, name) for name in Cursor.__dataclass_fields__} | {"moved_at": now}
    changed = connection.execute(update(rounds).where(rounds.c.round == which).values(**values))
    if not changed.rowcount:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        made = dialect.insert(rounds).values(round=which, **values)
        connection.execute(made.on_conflict_do_update(index_elements=[rounds.c.round], set_=values))
