"""What analysts read: the log tables in batches, and counts that the database makes. Days are days in UTC."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, String, Table, and_, func, select, true, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Enum

from models import views
from models.database import Database
from models.ledger import BadgeIssuance
from models.platform.tables import Achievement, Portal, User, UserEmail
from models.tables import table
from rules.datasets import Dataset, Moment
from rules.period import ALWAYS, Period
from rules.states import IssuanceState

BATCH = 20_000
portals, achievements, users, addresses = table(Portal), table(Achievement), table(User), table(UserEmail)
ledger = table(BadgeIssuance)
_MOMENT = {Dataset.ATTEMPTS: views.attempts.c.started_at, Dataset.RUNS: views.runs.c.first_call_at}


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which rows are asked for: a period, a portal, which moment is to be in the period, and of issuances which states.

    An empty portal, and no state, stand for all.
    """

    period: Period = ALWAYS
    portal_id: str = ""
    moment: Moment = Moment.ENTERED
    states: tuple[IssuanceState, ...] = ()


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[AsyncConnection]:
    """Open a transaction in which every query sees the same moment, on both databases."""
    async with database.reading() as connection:
        if connection.dialect.name == "postgresql":
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        yield connection


async def batches(
    connection: AsyncConnection, dataset: Dataset, chosen: Chosen, *, columns: Sequence[str], size: int = BATCH
) -> AsyncIterator[Sequence[Sequence[Any]]]:
    """Yield these columns of a log table, some rows at a time, so that millions need little memory."""
    result = await connection.stream(_rows(dataset, chosen, columns), execution_options={"yield_per": size})
    async for part in result.partitions(size):
        yield part


async def count(connection: AsyncConnection, dataset: Dataset, chosen: Chosen) -> int:
    """Count the rows that `batches` yields."""
    source = _source(dataset)
    query = select(func.count()).select_from(source).where(_wanted(dataset, source, chosen))
    return int(await connection.scalar(query) or 0)


def within(column: ColumnElement[Any], period: Period) -> ColumnElement[bool]:
    """Return the condition that a moment is in the period."""
    since: ColumnElement[bool] = column >= period.start if period.start else true()
    until: ColumnElement[bool] = column < period.end if period.end else true()
    return and_(since, until)


def of_portal(source: Table, portal_id: str) -> ColumnElement[bool]:
    """Return the condition that a row is of the portal, or true for all portals."""
    return source.c.portal_id == portal_id if portal_id else true()


def _plain(column: Column[Any]) -> ColumnElement[Any]:
    """Read an enum as the text that is stored: a million members cost time and say no more."""
    return type_coerce(column, String) if isinstance(column.type, Enum) else column


def _source(dataset: Dataset) -> Table:
    return {Dataset.ISSUANCES: views.issuances, Dataset.ATTEMPTS: views.attempts, Dataset.RUNS: views.runs}[dataset]


def _wanted(dataset: Dataset, source: Table, chosen: Chosen) -> ColumnElement[bool]:
    moment = _MOMENT.get(dataset, views.issuances.c[chosen.moment])
    in_state: ColumnElement[bool] = source.c.state.in_(chosen.states) if chosen.states else true()
    return and_(within(moment, chosen.period), of_portal(source, chosen.portal_id), in_state)


def _rows(dataset: Dataset, chosen: Chosen, columns: Sequence[str]) -> Select[Any]:
    source = _source(dataset)
    known = {column.name: _plain(column) for column in source.c} | _NAMES | _PERSONAL
    query = (
        select(*(known[name].label(name) for name in columns))
        .join_from(source, portals, portals.c.id == source.c.portal_id, isouter=True)
        .where(_wanted(dataset, source, chosen))
    )
    if dataset is Dataset.RUNS:
        return query.order_by(source.c.first_call_at, source.c.flow_run_id, source.c.portal_id)
    query = query.join(achievements, achievements.c.id == source.c.achievement_id, isouter=True)
    if dataset is Dataset.ATTEMPTS:
        return query.order_by(source.c.attempt_id)
    if not _PERSONAL.keys().isdisjoint(columns):
        query = query.join(ledger, ledger.c.id == source.c.issuance_id)
        query = query.join(users, users.c.id == source.c.user_id, isouter=True)
    return query.order_by(source.c.issuance_id)


_NAMES: dict[str, ColumnElement[Any]] = {"portal_name": portals.c.name, "achievement_name": achievements.c.name}
_PERSONAL: dict[str, ColumnElement[Any]] = {
    "first_name": users.c.first_name,
    "last_name": users.c.last_name,
    "email": select(func.min(addresses.c.address))
    .where(addresses.c.user_id == views.issuances.c.user_id, addresses.c.is_primary)
    .correlate(views.issuances)
    .scalar_subquery(),
    "badge_url": ledger.c.badge_url,
    "requested_by": ledger.c.requested_by,
    "request_reason": ledger.c.request_reason,
}


async def portals_in_ledger(connection: AsyncConnection) -> set[str]:
    """Return the portals that have issuances, also those that the platform has no more."""
    return set((await connection.execute(select(ledger.c.portal_id).distinct())).scalars())
