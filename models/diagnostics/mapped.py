"""Checks of a mapping: that each query runs, returns the columns that Laurel reads, and values of the right form."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Column, Connection, Table, literal_column, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import Boolean

from models.columns import LONGEST_KEY, PlatformKey, UtcDateTime, mapping_of_dialect
from models.diagnostics.problem import Problem
from models.platform.engine import platform_error
from models.platform.isolation import is_about_a_value
from models.platform.mapping import Mapping
from models.platform.tables import platform_metadata

_SAMPLED_ROWS = 1_000
_KINDS = {int: "a number", Decimal: "a number", float: "a number", bytes: "bytes", str: "text"}


def mapping_problems(connection: Connection) -> Iterator[Problem]:
    """Yield what is wrong with the queries of the mapping; each ends the check."""
    mapping = mapping_of_dialect(connection.dialect)
    if mapping is None:
        return
    for name, query in mapping.queries.items():
        yield from _query_problems(connection, mapping, platform_metadata.tables[name], query)


def _query_problems(connection: Connection, mapping: Mapping, relation: Table, query: str) -> Iterator[Problem]:
    where = relation.name if mapping.is_native else f"{relation.name}.sql"
    try:
        names, rows = _sample(connection, query)
    except DBAPIError as error:
        connection.rollback()  # on PostgreSQL an error ends the transaction; not every database has savepoints
        if is_about_a_value(error):  # the check of the rows names column and rows
            return
        unusable = platform_error(error, connection.engine.url)
        what = str(unusable).partition(". ")[0] + "." if unusable else "The query ends with an error."
        of_files = connection.dialect.name == "duckdb"
        advice = "Correct the file." if of_files else "Run the query in the database's own client."
        yield Problem(where=where, what=what, advice=advice, stops=True)
        return
    for column in relation.c:
        if column.name not in names:
            advice = f"It is {_wanted(column, mapping)}. docs/how-to/mappings.md has all columns."
            yield Problem(where=where, what=f"It returns no column {column.name}.", advice=advice, stops=True)
            continue
        place = names.index(column.name)
        yield from _value_problems(where, column, mapping, [row[place] for row in rows])


def _sample(connection: Connection, query: str) -> tuple[list[str], Sequence[Any]]:
    derived = text(f"(\n{query}\n) AS q".replace(":", "\\:"))
    result: Any = connection.execute(select(literal_column("q.*")).select_from(derived).limit(_SAMPLED_ROWS))
    return list(result.keys()), result.all()


def _value_problems(where: str, column: Column[Any], mapping: Mapping, values: list[Any]) -> Iterator[Problem]:
    name, there = column.name, [value for value in values if value is not None]
    is_moment = isinstance(column.type, UtcDateTime)
    if is_moment and not mapping.zero_is_none and (zeros := sum(map(_is_zero, there))):
        what = f"{name} is zero in {zeros} of {len(values)} rows, which is no moment."
        advice = "Set zero_is_none = true in mapping.toml, or write NULLIF in the query."
        yield Problem(where=where, what=what, advice=advice, stops=True)
    fits = _form(column, mapping)
    odd = next((value for value in there if not fits(value) and not (is_moment and _is_zero(value))), None)
    if odd is not None:
        kind = next((word for each, word in _KINDS.items() if isinstance(odd, each)), type(odd).__name__)
        if isinstance(odd, datetime):
            kind = "a time with its zone" if odd.tzinfo else "a time without a zone"
        what = f"{name} is {kind}, and must be {_wanted(column, mapping)}."
        yield Problem(where=where, what=what, advice="Cast it in the query, or correct mapping.toml.", stops=True)
    relation = column.type.relation if isinstance(column.type, PlatformKey) and name == "id" else None
    if relation and relation not in mapping.integer_keys and there and all(isinstance(each, int) for each in there):
        what = "id is a number, which is compared as text: no index of the platform answers it."
        advice = f'Name it in mapping.toml: integer_keys = ["{relation}", …].'
        yield Problem(where=where, what=what, advice=advice, needs_attention=False)


def _is_zero(value: Any) -> bool:
    return value == 0 or (isinstance(value, str) and value.startswith("0000-00-00"))


def _form(column: Column[Any], mapping: Mapping) -> Callable[[Any], bool]:
    if isinstance(column.type, PlatformKey):
        if column.type.relation in mapping.integer_keys:
            return lambda value: isinstance(value, int) and not isinstance(value, bool)
        return lambda value: not isinstance(value, bytes) and 0 < len(str(value)) <= LONGEST_KEY
    if isinstance(column.type, UtcDateTime):
        if mapping.epoch:
            return lambda value: isinstance(value, int | float | Decimal)
        if mapping.zone is not None:
            return lambda value: (isinstance(value, datetime) and value.tzinfo is None) or isinstance(value, str)
        return lambda value: isinstance(value, datetime | str)
    if isinstance(column.type, Boolean):
        return lambda value: value in (0, 1)
    return lambda value: isinstance(value, str)


def _wanted(column: Column[Any], mapping: Mapping) -> str:
    if isinstance(column.type, PlatformKey):
        is_integer = column.type.relation in mapping.integer_keys
        wanted = "an integer" if is_integer else f"text of 1 to {LONGEST_KEY} characters"
    elif isinstance(column.type, UtcDateTime):
        wanted = "seconds since 1970" if mapping.epoch else f"a time in {mapping.zone}" if mapping.zone else "a time"
    else:
        wanted = "true or false" if isinstance(column.type, Boolean) else "text"
    return f"{wanted}, or NULL" if column.nullable else wanted
