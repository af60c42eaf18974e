"""Reads what can be read beside a value that ends a statement with an error, such as a cast in a view.

The first such error repeats a read with each statement in a savepoint. One that fails is divided by key until it is
known which rows fail, and such a row is read column by column.
"""

import re
import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, and_, case
from sqlalchemy.exc import DataError
from sqlalchemy.types import TypeEngine

from models.by_key import portions
from models.columns import PlatformText, UtcDateTime
from models.errors import PlatformNotUsable
from models.platform.tables import platform_metadata
from rules.badge.text import UNREADABLE
from rules.ledger.states import NO_MOMENT

Returned = TypeVar("Returned")
Params = ParamSpec("Params")
Part = TypeVar("Part")
Row = TypeVar("Row")
_OPTION = "laurel_isolating"
NO_KEY = "laurel: the key of no row"


class RelationUnreadable(PlatformNotUsable):
    """A value ends statements with an error, and it could not be found out which row has it."""


class Unreadable(Exception):
    """A value of these relations ended a statement. The driver's message is dropped, as it may quote the value."""

    def __init__(self, relations: Sequence[str]) -> None:
        super().__init__()
        self.relations = relations


@dataclass
class Budget:
    """How many statements may still search for the rows that cannot be read. Without a limit two for each key."""

    left: float = inf


def reading_around(
    work: Callable[Concatenate[Connection, Params], Returned],
) -> Callable[Concatenate[Connection, Params], Returned]:
    """Repeat `work` in isolating mode if a value ends one of its statements.

    Raises:
        RelationUnreadable: it ends a statement that is not divided, or each part of one.
    """

    def read(connection: Connection, /, *args: Params.args, **kwargs: Params.kwargs) -> Returned:
        try:
            return work(connection, *args, **kwargs)
        except Exception as error:
            if not is_about_a_value(error):
                raise
        connection.rollback()
        connection.execution_options(**{_OPTION: True})
        try:
            return work(connection, *args, **kwargs)
        except Exception as error:
            if not is_about_a_value(error):
                raise
            raise RelationUnreadable(_sentence(error)) from None

    return read


def is_about_a_value(error: BaseException) -> bool:
    """Whether a database's error concerns a value in a row, and so may spare the other rows."""
    if isinstance(error, Unreadable):
        return True
    original: Any = getattr(error, "orig", None) or error
    if isinstance(original, sqlite3.Error):
        return isinstance(original, sqlite3.DataError) or bool(re.match(_SQLITE_MESSAGES, str(original)))
    number = original.args[0] if original.args else None
    if isinstance(number, int):
        return number in _MYSQL_NUMBERS
    from psycopg import DataError as PostgresqlDataError
    from psycopg import Error as PostgresqlError

    if isinstance(original, PostgresqlError) and original.sqlstate is not None:
        return original.sqlstate.startswith("22") or original.sqlstate in _OTHER_SQLSTATES
    return isinstance(original, PostgresqlDataError) or isinstance(error, DataError)


# More than one row of a subquery, and what a function in a view raises.
_OTHER_SQLSTATES = ("21000", "P0001")
_MYSQL_NUMBERS = (1242, 1292, 1365, 1366, 1411, 1441, 1525, 1644, 1690, *range(3140, 3159), 4036, 4037, 4038)
_SQLITE_MESSAGES = (
    "integer overflow|malformed JSON|(bad )?JSON path|JSON cannot hold|Could not decode to UTF-8|"
    "string or blob too big|LIKE or GLOB pattern too complex|user-defined function raised exception"
)


def _relations(error: BaseException) -> Sequence[str]:
    if isinstance(error, Unreadable):
        return error.relations
    statement = str(getattr(error, "statement", None) or "")
    return [name for name in platform_metadata.tables if re.search(rf"\b{name}\b", statement)]


def _sentence(error: BaseException) -> str:
    relations = " and ".join(_relations(error)) or "a relation"
    return (
        f"The platform's database ends with an error about a value when it reads {relations}, "
        "in a key or a condition of its view or query, so the rows beside it could not be read. Run `python -m "
        "flows.check`, and let the view give NULL for such a value, or leave the row out. Nothing is lost: the next "
        "run continues."
    )


def is_isolating(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get(_OPTION))


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """Run a statement so that the transaction can go on if a value ends it.

    Raises:
        Unreadable: a value ended it. Not unless the read is isolating: then it is repeated.
    """
    if not is_isolating(connection):
        yield
        return
    try:
        with connection.begin_nested():
            yield
    except Exception as error:
        if is_about_a_value(error):
            raise Unreadable(_relations(error)) from None
        raise


def only_where(part: ColumnElement[bool], condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition so that it is evaluated for the rows of a part alone.

    A database evaluates the terms of an AND in an order of its own, and so the condition for rows outside the part.
    """
    return and_(part, case((part, case((condition, 1), else_=0)), else_=0) == 1)


def read_in_halves(
    connection: Connection,
    keys: Sequence[Part],
    read: Callable[[Sequence[Part]], Iterable[Row]],
    *,
    budget: Budget,
    no_row: Part | None = None,
) -> tuple[list[Row], list[Part], list[Part]]:
    """Return the rows that can be read, the keys that cannot, and those that the budget did not suffice for.

    `read` is given keys that follow one another.

    Raises:
        Unreadable: reading `no_row`, a key that no row has, ends with an error as well. Then another row's key or the
            view's own condition does that, and would for each key.
    """
    if not is_isolating(connection):
        return list(read(keys)), [], []
    rows: list[Row] = []
    unreadable: list[Part] = []
    undecided: list[Part] = []
    waiting = [keys] if keys else []
    while waiting:
        part = waiting.pop()
        if part is not keys and budget.left < 1:
            undecided += part
            continue
        budget.left -= part is not keys  # the first statement is no search
        try:
            with savepoint(connection):
                found = list(read(part))
        except Unreadable:
            if part is keys and no_row is not None:
                with savepoint(connection):
                    list(read([no_row]))
            if len(part) == 1:
                unreadable += part
            else:
                waiting += [part[len(part) // 2 :], part[: len(part) // 2]]
        else:
            rows += found
    return rows, unreadable, undecided


def rows_by_key(connection: Connection, query: Select[Any], keys: Iterable[Any], **given: Any) -> dict[Any, Any]:
    """Return the first row of each key, as `models.by_key.rows_by_key`.

    A value that cannot be read is what `unreadable_value` gives for its column.
    """
    found: dict[Any, Any] = {}
    for part in portions(sorted({key for key in keys if key is not None})):
        try:
            with savepoint(connection):
                rows: Iterable[Any] = connection.execute(query, {"keys": part, **given}).all()
        except Unreadable:
            rows = _by_column(connection, query, part, given)
        for row in rows:
            found.setdefault(row[0], row)
    return found


def _by_column(connection: Connection, query: Select[Any], keys: Sequence[Any], given: dict[str, Any]) -> list[Any]:
    # Column by column: one that cannot be read in any row costs two statements for each, the others one for all.
    first, *others = query.selected_columns
    columns: list[dict[Any, Any]] = []
    for column in others:
        of_column = query.with_only_columns(first, column)

        def read(some: Sequence[Any], of_column: Select[Any] = of_column) -> Sequence[Any]:
            return connection.execute(of_column, {"keys": some, **given}).all()

        rows, unreadable, _ = read_in_halves(connection, keys, read, budget=Budget(), no_row=NO_KEY)
        values = {key: unreadable_value(column.type) for key in unreadable}
        for key, value in rows:
            values.setdefault(key, value)
        columns.append(values)
    make: Any = namedtuple  # mypy wants the names as a literal
    row_type = make("Row", query.selected_columns.keys())
    there = [key for key in keys if any(key in values for values in columns)]
    return [row_type(key, *(values.get(key) for values in columns)) for key in there]


def unreadable_value(of: TypeEngine[Any]) -> Any:
    """Return what stands for a value that cannot be read: a text and a moment that have a reason; else None."""
    if isinstance(of, UtcDateTime):
        return NO_MOMENT
    return UNREADABLE if isinstance(of, PlatformText) else None
