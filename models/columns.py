"""Column types of all tables (moments, enums, keys), and statements that differ between the two databases."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from math import floor
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    DateTime,
    Dialect,
    Enum,
    Integer,
    Select,
    String,
    TableClause,
    case,
    literal,
    or_,
    type_coerce,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from rules.ledger.states import NO_MOMENT

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

    from models.platform.mapping import Mapping as PlatformMapping

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_KEY = -(2**63)  # what no integer key is; before all others in their order
LONGEST_KEY = 255


def mapping_of_dialect(dialect: Dialect) -> "PlatformMapping | None":
    """Return the mapping that the platform's engine reads by; None: columns are as Laurel's own tables have them."""
    return getattr(dialect, "laurel_mapping", None)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, aware and in UTC on both databases. A naive value raises ValueError."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        mapping = mapping_of_dialect(dialect)
        if mapping is not None and mapping.epoch:
            return dialect.type_descriptor(BigInteger())
        # SQLite has no such type: it stores text that sorts by time.
        return dialect.type_descriptor(DateTime(timezone=mapping is None or mapping.zone is None))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A moment without a time zone cannot be stored: use datetime.now(UTC).")
        mapping = mapping_of_dialect(dialect)
        if mapping is not None and mapping.epoch:
            return floor(value.timestamp())
        if mapping is not None and mapping.zone is not None:
            try:
                return value.astimezone(mapping.zone).replace(tzinfo=None)
            except OverflowError:  # at an end of Python's range
                return value.replace(tzinfo=None)
        value = value.astimezone(UTC)  # SQLite compares moments as text, so all need one zone
        return value.replace(tzinfo=None) if dialect.name in _WITHOUT_ZONES else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        return None if value is None else moment_of(value)


_WITHOUT_ZONES = ("sqlite", "mysql", "mariadb")


def moment_of(stored: datetime | str) -> datetime:
    """Convert a driver's value to an aware moment in UTC: SQLite's driver returns text."""
    moment = datetime.fromisoformat(stored) if isinstance(stored, str) else stored
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class PlatformMoment(UtcDateTime):
    """A moment on the platform: `NO_MOMENT` where the stored value is none."""

    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        del coltype
        mapping = mapping_of_dialect(dialect)
        return lambda stored: None if stored is None else platform_moment(stored, mapping)


def platform_moment(stored: object, mapping: "PlatformMapping | None" = None) -> datetime:
    """Convert a driver's value of a platform's column; `NO_MOMENT` if it is no moment that Python has."""
    value: Any = stored
    try:
        if mapping is not None and mapping.epoch:
            return _EPOCH + timedelta(seconds=float(value))
        if mapping is not None and mapping.zone is not None:
            value = datetime.fromisoformat(value) if isinstance(value, str) else value
            value = value.replace(tzinfo=value.tzinfo or mapping.zone)
        return moment_of(value)
    except (ValueError, OverflowError, TypeError, AttributeError):
        return NO_MOMENT


class PlatformText(TypeDecorator[str]):
    """Text on the platform. SQLite may store bytes and numbers; what is not UTF-8 is replaced by `UNREADABLE`."""

    impl = String
    cache_ok = True

    def process_result_value(self, value: object, dialect: Dialect) -> str | None:
        del dialect
        if isinstance(value, str) and not value.isascii():
            value = value.encode("utf-8", "surrogateescape")  # the bytes that the driver could not decode
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        return None if value is None else str(value)


class PlatformKey(TypeDecorator[str]):
    """A key of this relation: text, which a mapping may store as integers. None where the ledger cannot have it."""

    impl = String
    cache_ok = True

    def __init__(self, relation: str) -> None:
        super().__init__(LONGEST_KEY)
        self.relation = relation

    def is_integer(self, dialect: Dialect) -> bool:
        mapping = mapping_of_dialect(dialect)
        return mapping is not None and self.relation in mapping.integer_keys

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(BigInteger() if self.is_integer(dialect) else String(LONGEST_KEY))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        if value is None or not self.is_integer(dialect):
            return value
        # `007` is not the key 7.
        return int(value) if _is_integer(value) else _NO_KEY

    def process_result_value(self, value: object, dialect: Dialect) -> str | None:
        if isinstance(value, int) and self.is_integer(dialect):
            return str(value)
        return value if isinstance(value, str) and is_key(value) else None


def is_integer_key(column: ColumnElement[Any], dialect: Dialect) -> bool:
    return isinstance(column.type, PlatformKey) and column.type.is_integer(dialect)


def _is_integer(value: str) -> bool:
    return bool(re.fullmatch("0|-?[1-9][0-9]{0,18}", value)) and abs(int(value)) < 2**63


def is_key(value: object) -> bool:
    """Whether a stored value can be a key in the ledger: text of 1 to 255 characters."""
    # Encoded, because the driver gives bytes that are not UTF-8 as lone surrogates.
    return isinstance(value, str) and 0 < len(value) <= LONGEST_KEY and (value.isascii() or is_utf8(value))


def is_utf8(value: str) -> bool:
    """Whether the text can be stored: it has no lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


# For SQLite, which stores any bytes as text: one row with others must not end a statement.
any_text = partial(str, encoding="utf-8", errors="surrogateescape")


def as_stored(
    connection: Connection,
    query: Select[*tuple[Any, ...]],
    given: Mapping[str, Any] | None = None,
    *,
    moments: bool = True,
) -> list[tuple[Any, ...]]:
    """Return the driver's own rows, without conversion by column types, except where a mapping needs one.

    Without `moments` those stay as they are stored, for `platform_moment` with the mapping.
    """
    # 50 000 of them take a third of the time of SQLAlchemy's `Row`s.
    with connection.execute(query, given) as result:
        try:
            rows = list(result.cursor.fetchall()) if result.cursor else []
        except _driver_errors(connection) as error:
            # As where SQLAlchemy reads the rows.
            names = " ".join(str(each.name) for each in query.get_final_froms() if isinstance(each, TableClause))
            raise DBAPIError.instance(names, None, error, type(error), hide_parameters=True) from None
    if mapping_of_dialect(connection.dialect) is None or not rows:
        return rows
    kinds = (column.type for column in query.selected_columns)
    converters = [_converter(kind, connection.dialect, moments=moments) for kind in kinds]
    if not any(converters):
        return rows
    by_column: Iterable[Any] = zip(*rows, strict=True)
    columns = (map(convert, each) if convert else each for convert, each in zip(converters, by_column, strict=True))
    return list(zip(*columns, strict=True))


def _driver_errors(connection: Connection) -> type[Exception]:
    driver: Any = connection.dialect.dbapi
    return driver.Error  # type: ignore[no-any-return]


def _converter(kind: TypeEngine[Any], dialect: Dialect, *, moments: bool) -> Callable[[Any], Any] | None:
    needed = kind.is_integer(dialect) if isinstance(kind, PlatformKey) else isinstance(kind, PlatformMoment) and moments
    return kind.result_processor(dialect, None) if needed else None


FIRST, LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def within_python_range(moment: ColumnElement[datetime]) -> ColumnElement[datetime]:
    """Replace a moment by `NO_MOMENT` if Python does not have it: PostgreSQL's infinity and years outside 1 to 9999."""
    first, last = literal(FIRST, type_=moment.type), literal(NO_MOMENT, type_=moment.type)
    return type_coerce(in_utc(case((or_(moment < first, moment > last), last), else_=moment)), moment.type)


class in_utc(FunctionElement[datetime]):
    """A moment without the time zone of PostgreSQL's connection, in which the driver may be unable to express it."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(in_utc)
def _as_it_is(element: in_utc, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(in_utc, "postgresql")
def _without_zone(element: in_utc, compiler: Any, **options: Any) -> str:
    shown = compiler.process(element.clauses, **options)
    mapping = mapping_of_dialect(compiler.dialect)
    return shown if mapping is not None and (mapping.epoch or mapping.zone) else f"timezone('UTC', {shown})"


class is_malformed(FunctionElement[bool]):
    """Whether SQLite stores something else than a moment in a column of moments; elsewhere that cannot be."""

    type = Boolean()
    inherit_cache = True


@compiles(is_malformed, "sqlite")
def _on_sqlite(element: is_malformed, compiler: Any, **options: Any) -> str:
    stored = compiler.process(element.clauses, **options)
    mapping = mapping_of_dialect(compiler.dialect)
    if mapping is not None and mapping.epoch:
        return f"typeof({stored}) NOT IN ('integer', 'real', 'null')"
    return (
        f"((typeof({stored}) NOT IN ('text', 'null') OR datetime({stored}) IS NULL AND {stored} IS NOT NULL"
        f" OR {stored} NOT GLOB '[0-9][0-9][0-9][0-9]-*') AND {stored} NOT IN ('infinity', '-infinity'))"
    )


@compiles(is_malformed)
def _nowhere_else(element: is_malformed, compiler: Any, **options: Any) -> str:
    del element, compiler, options
    return "(1 = 0)"


def enum_by_value(members: type[StrEnum], *, name: str) -> Enum:
    """Store an enum by its value, as text with a CHECK constraint."""
    return Enum(
        members,
        name=name,
        values_callable=lambda enum: [member.value for member in enum],
        native_enum=False,  # SQLite has none
        create_constraint=True,
        validate_strings=True,
        length=40,
    )


def own_id() -> TypeEngine[int]:
    """The type of Laurel's own keys: 64 bits, assigned by the database."""
    # SQLite assigns only keys declared INTEGER; those have 64 bits too.
    return BigInteger().with_variant(Integer(), "sqlite")


def insert_into(connection: Connection, table: TableClause) -> "postgresql.Insert | sqlite.Insert":
    """Return an INSERT of this database's dialect, which has ON CONFLICT."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # with all its drivers' modules: not where the ledger is on SQLite

        return postgresql.insert(table)
    return sqlite.insert(table)
