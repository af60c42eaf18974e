"""Checks of the platform's rows: values that cannot be used, duplicate keys, users with two primary addresses."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    LargeBinary,
    String,
    Table,
    and_,
    case,
    cast,
    false,
    func,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.types import NullType

from models.columns import FIRST, UtcDateTime, is_integer_key, is_malformed, mapping_of_dialect
from models.diagnostics.problem import Problem
from models.platform.isolation import NO_KEY, Budget, Unreadable, read_in_halves, savepoint
from models.platform.tables import (
    Achievement,
    AchievementAward,
    Company,
    Portal,
    Project,
    User,
    UserEmail,
    platform_metadata,
)
from models.tables import table
from rules.forms.menus import BEFORE_ID
from rules.ledger.states import NO_MOMENT

emails = table(UserEmail)
_SAMPLED_ROWS = 1_000_000  # per table, for the check of duplicate keys
_SEARCHED_ROWS = 100_000  # for values that end a statement with an error
_STATEMENTS = 300  # that search for them, per column
_SHOWN = 5
_MOMENT = "____-__-__ __:__:__"
_NAMED_BY_KEY = (Portal, User, Company, Project, Achievement)


def row_problems(connection: Connection) -> list[Problem]:
    """Return the problems of the platform's values. None ends the check: they concern their rows only."""
    if connection.dialect.name == "sqlite":
        connection.connection.driver_connection.create_function("laurel_is_utf8", 1, _is_utf8)  # type: ignore[union-attr]
    found: list[Problem] = []
    for one in platform_metadata.sorted_tables:
        found += _value_problems(connection, one)
        found += _if_readable(connection, _duplicate_keys, one)
    for model in _NAMED_BY_KEY:
        found += _if_readable(connection, _keys_that_forms_refuse, table(model))
    return [*found, *_if_readable(connection, _duplicate_primary_addresses, emails)]


def _if_readable(
    connection: Connection, find: Callable[[Connection, Table], Iterator[Problem]], one: Table
) -> list[Problem]:
    try:
        with savepoint(connection):
            return list(find(connection, one))
    except Unreadable:
        return []  # `_value_problems` names the column


def _keys_that_forms_refuse(connection: Connection, one: Table) -> Iterator[Problem]:
    key = cast(one.c.id, String)
    read_otherwise = or_(*(key.like(each) for each in (f"%{BEFORE_ID}%", " %", "% ", "%  %")))
    matching = (func.count(case((condition, 1))) for condition in (key.like("%@%"), read_otherwise))
    addresses, changed = tuple(connection.execute(select(*matching).select_from(one)).one())
    advice = "Give other keys in the view, such as md5 of the present ones, alike in all views."
    if addresses:
        yield Problem(
            where=f"{one.name}.id",
            what=f"Keys have an @, as e-mail addresses do, in {addresses} rows. Prefect shows and keeps keys, and "
            "forms refuse these.",
            advice=advice,
        )
    if changed:
        yield Problem(
            where=f"{one.name}.id",
            what=f"Keys have “{BEFORE_ID}”, two blanks in a row, or one at an end, in {changed} rows. Forms read "
            "another key from these.",
            advice=advice,
        )


def _value_problems(connection: Connection, one: Table) -> Iterator[Problem]:
    dialect = connection.dialect
    columns = [(column, *_unusable(column, dialect)) for column in one.c if not is_integer_key(column, dialect)]
    try:
        with savepoint(connection):
            yield from _form_problems(connection, one, columns)
    except Unreadable:
        for each in columns:
            try:
                with savepoint(connection):
                    yield from _form_problems(connection, one, [each])
            except Unreadable:
                yield _unreadable(connection, one, each[0])


def _unreadable(connection: Connection, one: Table, column: Column[Any]) -> Problem:
    """Return the problem of a column that ends statements with an error, with the ids of some of its rows."""
    ids, unreadable, undecided = list[str](), list[str](), list[str]()
    try:
        with savepoint(connection):
            query = select(one.c.id).where(one.c.id.is_not(None)).order_by(one.c.id).limit(_SEARCHED_ROWS)
            ids = [each for each in connection.execute(query).scalars() if each is not None]

        def read(some: Sequence[str]) -> list[Any]:
            return list(connection.execute(select(func.count(column)).where(one.c.id.between(some[0], some[-1]))))

        _, unreadable, undecided = read_in_halves(connection, ids, read, budget=Budget(left=_STATEMENTS), no_row=NO_KEY)
    except Unreadable:
        pass  # keys that cannot be read: then no row can be named
    more = "or more " if undecided or len(ids) == _SEARCHED_ROWS else ""
    found = f" in {len(unreadable)} {more}rows, such as those with the ids {', '.join(unreadable[:_SHOWN])}"
    return Problem(
        where=f"{one.name}.{column.name}",
        what=f"The database ends with an error about a value when it reads it{found if unreadable else ''}.",
        advice="Correct these values, or let the view give NULL for them, as with CASE or NULLIF.",
    )


def _form_problems(
    connection: Connection, one: Table, columns: Sequence[tuple[Column[Any], ColumnElement[bool], str]]
) -> Iterator[Problem]:
    counts: list[ColumnElement[Any]] = []
    for column, unusable, _ in columns:
        wrong = and_(column.is_not(None), unusable)
        counts += [
            func.count(column),
            func.count(case((wrong, 1))),
            func.min(case((wrong, one.c.id))),
        ]  # MySQL has no FILTER
    rows, *values = connection.execute(select(func.count(), *counts).select_from(one)).one()
    for (column, _, must), there, wrong, key in zip(columns, values[::3], values[1::3], values[2::3], strict=True):
        where = f"{one.name}.{column.name}"
        if there < rows and not column.nullable:
            yield Problem(
                where=where,
                what=f"It is NULL in {rows - there} of {rows} rows, and Laurel cannot use such rows.",
                advice="Let the view give a value, or leave these rows out of it on purpose.",
            )
        if wrong:
            example = "" if key is None else f", such as that with the id {key}"
            what = f"It has another form than Laurel can use in {wrong} of {rows} rows{example}."
            yield Problem(where=where, what=what, advice=f"It must be {must}.")


def _unusable(column: Column[Any], dialect: Dialect) -> tuple[ColumnElement[bool], str]:
    """Return the condition that a value cannot be used, and what it must be."""
    # SQLite stores any value in any column: keys that are numbers, times that do not sort by time.
    wrong: ColumnElement[bool] = false()
    mapping = mapping_of_dialect(dialect)
    on_sqlite = dialect.name == "sqlite" and mapping is None  # a mapping's queries are checked by themselves
    if isinstance(column.type, UtcDateTime):
        must = "a year from 1 to 9999"
        if dialect.name == "sqlite" and not (mapping and mapping.epoch):
            text = type_coerce(func.substr(column, 1), String)
            in_form = or_(text.like(_MOMENT), text.like(f"{_MOMENT}.%"))
            wrong = or_(is_malformed(column), ~in_form, text.like("%Z"), text.like("%+%"))
            zone = mapping and mapping.zone
            must = f"text such as 2026-11-02 08:00:00, in {zone or 'UTC: datetime(…) gives it'}"
        early, late = column < FIRST, column > NO_MOMENT
        return or_(wrong, early) if column.nullable else or_(wrong, early, late), must
    if on_sqlite and isinstance(column.type, Boolean):
        return type_coerce(column, NullType()).not_in([0, 1]), "1 or 0"
    if on_sqlite:
        wrong = or_(func.typeof(column) != "text", ~func.laurel_is_utf8(cast(column, LargeBinary)))
    longest = getattr(column.type, "length", None)
    if not longest:
        return wrong, f"text in UTF-8: CAST({column.name} AS text)"
    must = f"text of 1 to {longest} characters: cast it, or take md5 of it, alike in all views"
    return or_(wrong, func.length(column) > longest, column == ""), must


def _is_utf8(stored: bytes) -> bool:
    return "\N{REPLACEMENT CHARACTER}" not in stored.decode("utf-8", "replace")


def _duplicate_keys(connection: Connection, one: Table) -> Iterator[Problem]:
    some = select(one.c.id).limit(_SAMPLED_ROWS).subquery()
    twice = select(some.c.id).group_by(some.c.id).having(func.count() > 1).limit(_SHOWN)
    keys = [key for key in connection.execute(twice).scalars() if key is not None]
    if keys:
        award = one is table(AchievementAward)
        yield Problem(
            where=f"{one.name}.id",
            what=f"Keys come twice, such as {', '.join(keys)}.",
            advice="Let the view give each key once: a join in it may multiply rows. "
            + ("Else company and project of an award are left to chance." if award else "Else one of them is taken."),
        )


def _duplicate_primary_addresses(connection: Connection, one: Table) -> Iterator[Problem]:
    several = select(one.c.user_id).where(one.c.is_primary).group_by(one.c.user_id)
    users = list(connection.execute(several.having(func.count() > 1).limit(_SHOWN)).scalars())
    if users:
        yield Problem(
            where="user_emails",
            what=f"Users with several primary addresses, such as {', '.join(map(str, users))}.",
            advice="Let the view give one primary address for each user; until then one of them is taken.",
        )
