"""How far planning is: up to which moment awards were read, the cursor of each scan, and which settings are new."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, select, update

from models.base import Field, LaurelTable
from models.columns import LONGEST_KEY, UtcDateTime, enum_by_value, insert_into, own_id
from models.planning.pairs import COVERAGE_COLUMNS
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table


class Round(StrEnum):
    """The scans: awards whose moment has come, all awards, all open issuances, the names on issued badges."""

    RECENT = "recent"
    AWARDS = "awards"
    OPEN = "open"
    NAMES = "names"


class PlanningProgress(LaurelTable, table=True):
    """The cursor of a scan: `rows_looked_through` so far, `last_round` rows in the whole scan before."""

    __tablename__ = "planning_progress"
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    round: Round = Field(sa_type=enum_by_value(Round, name="round"), unique=True)
    after_achievement: str = Field(default="", max_length=LONGEST_KEY)
    after_user: str = Field(default="", max_length=LONGEST_KEY)
    after_id: int = Field(default=0, sa_type=own_id())
    rows_looked_through: int = 0
    last_round: int = 0
    moved_at: datetime = Field(sa_type=UtcDateTime)


rounds = table(PlanningProgress)
integrations = table(CredlyIntegration)
connections = table(CredlyConnection)


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """Where a scan continues: after this achievement and user, or after this issuance."""

    after_achievement: str = ""
    after_user: str = ""
    after_id: int = 0
    rows_looked_through: int = 0
    last_round: int = 0
    moved_at: datetime | None = None

    def moved(self, *, rows: int, after: dict[str, Any] | None) -> "Cursor":
        """Return the cursor advanced by so many rows; without `after` the scan has ended and starts over."""
        so_far = self.rows_looked_through + rows
        if after is None:
            return Cursor(last_round=so_far)
        return Cursor(**after, rows_looked_through=so_far, last_round=self.last_round)


def cursor_of(connection: Connection, which: Round) -> Cursor:
    row = connection.execute(select(rounds).where(rounds.c.round == which)).one_or_none()
    if row is None:
        return Cursor()
    return Cursor(**{name: getattr(row, name) for name in Cursor.__dataclass_fields__})


def put_cursor(connection: Connection, which: Round, cursor: Cursor, *, now: datetime) -> None:
    values = {name: getattr(cursor, name) for name in Cursor.__dataclass_fields__} | {"moved_at": now}
    changed = connection.execute(update(rounds).where(rounds.c.round == which).values(**values))
    if not changed.rowcount:
        new = insert_into(connection, rounds).values(round=which, **values)
        connection.execute(new.on_conflict_do_update(index_elements=[rounds.c.round], set_=values))


def changed_integrations(connection: Connection) -> Sequence[Row[Any]]:
    query = select(integrations).where(integrations.c.planned_at.is_(None))
    return connection.execute(query.order_by(integrations.c.achievement_id)).all()


def mark_integration_planned(connection: Connection, before: Row[Any], now: datetime) -> None:
    # Not if the settings have changed since: the next run then scans the achievement again.
    same = [integrations.c[name].is_not_distinct_from(getattr(before, name)) for name in COVERAGE_COLUMNS]
    mine = integrations.c.achievement_id == before.achievement_id
    connection.execute(update(integrations).where(mine, *same).values(planned_at=now))


def newly_connected(connection: Connection, portal_id: str | None) -> list[tuple[str, datetime]]:
    query = select(connections.c.portal_id, connections.c.connected_at).where(connections.c.planned_at.is_(None))
    if portal_id is not None:
        query = query.where(connections.c.portal_id == portal_id)
    return [(row.portal_id, row.connected_at) for row in connection.execute(query)]


def mark_connection_planned(connection: Connection, portal_id: str, connected_at: datetime, now: datetime) -> None:
    same = connections.c.portal_id == portal_id, connections.c.connected_at == connected_at
    connection.execute(update(connections).where(*same).values(planned_at=now))
