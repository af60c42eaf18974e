"""Rows of the log tables in batches, for analysts. Days are days in UTC."""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, String, Table, and_, func, select, true, type_coerce
from sqlalchemy.types import Enum
from sqlmodel import SQLModel

from models.analytics import views
from models.database import Database
from models.ledger.tables import BadgeIssuance
from models.platform.names import names_of
from models.platform.people import Person, persons
from models.platform.tables import Achievement, Portal
from models.tables import table
from rules.datasets import Dataset, Moment
from rules.forms.period import ALWAYS, Period
from rules.ledger.states import IssuanceState

BATCH = 20_000
ledger = table(BadgeIssuance)
_SOURCES = {
    Dataset.ISSUANCES: views.issuances,
    Dataset.ATTEMPTS: views.attempts,
    Dataset.RUNS: views.runs,
    Dataset.UNCLAIMED: views.badges,
}
_MOMENT = {
    Dataset.ATTEMPTS: views.attempts.c.started_at,
    Dataset.RUNS: views.runs.c.first_call_at,
    Dataset.UNCLAIMED: views.badges.c.recorded_at,
}


@dataclass(frozen=True, kw_only=True)
class RowFilter:
    """Which rows: a period, a portal, which moment has to be in the period, and (of issuances) which states.

    An empty portal, and no state, mean all.
    """

    period: Period = ALWAYS
    portal_id: str = ""
    moment: Moment = Moment.ENTERED
    states: tuple[IssuanceState, ...] = ()


async def batches(
    database: Database, dataset: Dataset, chosen: RowFilter, *, columns: Sequence[str], size: int = BATCH
) -> AsyncGenerator[Mapping[str, Sequence[Any]]]:
    """Yield these columns of a log table in batches, so that millions of rows need little memory.

    The ledger's rows are of one snapshot; names and addresses are the platform's current ones. A name requires the
    column with its key, names and addresses of users require `user_id`.
    """
    names = {
        name: (key, await database.platform.read(names_of, model))
        for name, (key, model) in _NAMES.items()
        if name in columns
    }
    own = [name for name in columns if name not in {*_NAMES, *_OF_PERSON}]
    async with aclosing(database.read_in_parts(_in_parts, _rows(dataset, chosen, own), size=size)) as parts:
        async for part in parts:
            found: dict[str, Sequence[Any]] = dict(zip(own, zip(*part, strict=True), strict=True))
            if not _OF_PERSON.isdisjoint(columns):
                found |= await _of_persons(database, found["user_id"])
            for name, (key, known) in names.items():
                found[name] = [known.get(each) for each in found[key]]
            yield {name: found[name] for name in columns}


def _in_parts(connection: Connection, query: Select[Any], *, size: int) -> Iterator[Sequence[Sequence[Any]]]:
    with connection.execute(query, execution_options={"yield_per": size}) as result:
        yield from result.partitions(size)


async def _of_persons(database: Database, user_ids: Sequence[str]) -> dict[str, Sequence[Any]]:
    known = await database.platform.read(persons, user_ids)
    each = [known.get(user_id, Person()) for user_id in user_ids]
    return {name: [getattr(person, name) for person in each] for name in _OF_PERSON}


def count(connection: Connection, dataset: Dataset, chosen: RowFilter) -> int:
    source = _SOURCES[dataset]
    query = select(func.count()).select_from(source).where(_wanted(dataset, source, chosen))
    return int(connection.scalar(query) or 0)


def within(column: ColumnElement[Any], period: Period) -> ColumnElement[bool]:
    since: ColumnElement[bool] = column >= period.start if period.start else true()
    until: ColumnElement[bool] = column < period.end if period.end else true()
    return and_(since, until)


def of_portal(source: Table, portal_id: str) -> ColumnElement[bool]:
    return source.c.portal_id == portal_id if portal_id else true()


def _plain(column: Column[Any]) -> ColumnElement[Any]:
    # The stored text: converting a million values to enum members takes time and adds nothing.
    return type_coerce(column, String) if isinstance(column.type, Enum) else column


def _wanted(dataset: Dataset, source: Table, chosen: RowFilter) -> ColumnElement[bool]:
    moment = _MOMENT.get(dataset, views.issuances.c[chosen.moment])
    in_state: ColumnElement[bool] = source.c.state.in_(chosen.states) if chosen.states else true()
    unclaimed: ColumnElement[bool] = views.badges.c.claim_state == "pending" if source is views.badges else true()
    return and_(within(moment, chosen.period), of_portal(source, chosen.portal_id), in_state, unclaimed)


def _rows(dataset: Dataset, chosen: RowFilter, columns: Sequence[str]) -> Select[Any]:
    source = _SOURCES[dataset]
    known = {column.name: _plain(column) for column in source.c} | _PERSONAL
    query = select(*(known[name].label(name) for name in columns)).where(_wanted(dataset, source, chosen))
    if dataset is Dataset.RUNS:
        return query.order_by(source.c.first_call_at, source.c.flow_run_id, source.c.portal_id)
    if dataset is Dataset.ATTEMPTS:
        return query.order_by(source.c.attempt_id)
    if not _PERSONAL.keys().isdisjoint(columns):
        query = query.join_from(source, ledger, ledger.c.id == source.c.issuance_id)
    return query.order_by(source.c.issuance_id)


# Columns of the platform: names, by the column with their key, and those of users.
_NAMES: dict[str, tuple[str, type[SQLModel]]] = {
    "portal_name": ("portal_id", Portal),
    "achievement_name": ("achievement_id", Achievement),
}
_OF_PERSON = frozenset({"first_name", "last_name", "email"})
# Columns of the ledger that its views leave out.
_PERSONAL: dict[str, ColumnElement[Any]] = {
    "badge_url": ledger.c.badge_url,
    "requested_by": ledger.c.requested_by,
    "request_reason": ledger.c.request_reason,
}


def portals_in_ledger(connection: Connection) -> set[str]:
    """Return the portals that have issuances, including those that the platform has deleted."""
    return set(connection.execute(select(ledger.c.portal_id).distinct()).scalars())
