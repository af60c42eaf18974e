"""Rows of the log tables in batches, for analysts. Days are days in UTC."""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, String, Table, and_, func, select, true, type_coerce
from sqlalchemy.types import Enum

from models.analytics import history_views, views
from models.analytics.filters import RowFilter, within
from models.analytics.questions import QUESTIONS
from models.analytics.run_today import run_today
from models.base import Model
from models.database import Database
from models.ledger.tables import BadgeIssuance
from models.platform.names import names_of
from models.platform.people import Person, persons
from models.platform.tables import Achievement, Portal
from models.tables import table
from rules.datasets import Dataset

BATCH = 20_000
_AT_ONCE = 500  # names and addresses are read as well
ledger = table(BadgeIssuance)


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
    async with aclosing(_parts(database, dataset, chosen, own, size=size)) as parts:
        async for part in parts:
            found = dict(part)
            if not _OF_PERSON.isdisjoint(columns):
                found |= await _of_persons(database, found["user_id"])
            for name, (key, known) in names.items():
                found[name] = [known.get(each) for each in found[key]]
            yield {name: found[name] for name in columns}


async def _parts(
    database: Database, dataset: Dataset, chosen: RowFilter, columns: Sequence[str], *, size: int
) -> AsyncGenerator[Mapping[str, Sequence[Any]]]:
    if dataset is Dataset.RUN_TODAY:
        async with aclosing(run_today(database, chosen, columns=columns, size=min(size, _AT_ONCE))) as compared:
            async for columns_of in compared:
                yield columns_of
        return
    async with aclosing(database.read_in_parts(_in_parts, dataset, chosen, columns, size=size)) as parts:
        async for part in parts:
            yield dict(zip(columns, zip(*part, strict=True), strict=True))


def _in_parts(
    connection: Connection, dataset: Dataset, chosen: RowFilter, columns: Sequence[str], *, size: int
) -> Iterator[Sequence[Sequence[Any]]]:
    query = _rows(connection, dataset, chosen, columns)
    with connection.execute(query, execution_options={"yield_per": size}) as result:
        yield from result.partitions(size)


async def _of_persons(database: Database, user_ids: Sequence[str]) -> dict[str, Sequence[Any]]:
    known = await database.platform.read(persons, user_ids)
    each = [known.get(user_id, Person()) for user_id in user_ids]
    return {name: [getattr(person, name) for person in each] for name in _OF_PERSON}


def count(connection: Connection, dataset: Dataset, chosen: RowFilter) -> int:
    if dataset is Dataset.RUN_TODAY:
        return 0  # of one run: never more than a sheet has, or refused when it is written
    if dataset in QUESTIONS:
        query = select(func.count()).select_from(QUESTIONS[dataset](connection, chosen).subquery())
    else:
        source = _SOURCES[dataset]
        query = select(func.count()).select_from(source).where(_wanted(dataset, source, chosen))
    return int(connection.scalar(query) or 0)


def _plain(column: ColumnElement[Any]) -> ColumnElement[Any]:
    # The stored text: converting a million values to enum members takes time and adds nothing.
    return type_coerce(column, String) if isinstance(column.type, Enum) else column


_SOURCES = {
    Dataset.ISSUANCES: views.issuances,
    Dataset.ATTEMPTS: views.attempts,
    Dataset.RUNS: views.runs,
    Dataset.HISTORY: history_views.history,
    Dataset.STATES: history_views.states,
    Dataset.SETTINGS_HISTORY: history_views.settings_history,
    Dataset.SETTINGS: history_views.settings,
    Dataset.SENT_SETTINGS: history_views.sent_settings,
}
# By data set, the moment that has to be in the period, then what the rows are ordered by.
_MOMENT = {
    Dataset.ATTEMPTS: "started_at",
    Dataset.RUNS: "first_call_at",
    Dataset.HISTORY: "at",
    Dataset.STATES: "began_at",
    Dataset.SETTINGS_HISTORY: "at",
    Dataset.SETTINGS: "began_at",
    Dataset.SENT_SETTINGS: "sent_at",
}
_ORDER = {
    Dataset.RUNS: ("first_call_at", "flow_run_id", "portal_id"),
    Dataset.SETTINGS: ("settings_history_id", "setting"),
    Dataset.SENT_SETTINGS: ("history_id", "settings_of", "setting"),
    Dataset.UNCLAIMED: ("recorded_at", "issuance_id"),
    Dataset.SLOWEST: ("place",),
    Dataset.SETTINGS_EFFECTS: ("settings_history_id", "history_id"),
    Dataset.BETWEEN_RUNS: ("at", "history_id"),
}


def _wanted(dataset: Dataset, source: Table, chosen: RowFilter) -> ColumnElement[bool]:
    moment = source.c[_MOMENT.get(dataset, chosen.moment.value)]
    in_state: ColumnElement[bool] = source.c.state.in_(chosen.states) if chosen.states else true()
    return and_(within(moment, chosen.period), chosen.of(source), in_state)


def _rows(connection: Connection, dataset: Dataset, chosen: RowFilter, columns: Sequence[str]) -> Select[Any]:
    if dataset in QUESTIONS:
        answer = QUESTIONS[dataset](connection, chosen).subquery()
        order = (answer.c[name] for name in _ORDER[dataset])
        return select(*(_plain(answer.c[name]) for name in columns)).order_by(*order)
    source = _SOURCES[dataset]
    known = {column.name: _plain(column) for column in source.c} | _PERSONAL
    query = select(*(known[name].label(name) for name in columns)).where(_wanted(dataset, source, chosen))
    if not _PERSONAL.keys().isdisjoint(columns):
        query = query.join_from(source, ledger, ledger.c.id == source.c.issuance_id)
    keys = [source.c[name] for name in _ORDER.get(dataset, ())]
    return query.order_by(*(keys or source.primary_key.columns))


# Columns of the platform: names, by the column with their key, and those of users.
_NAMES: dict[str, tuple[str, type[Model]]] = {
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
