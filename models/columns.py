"""Column types of all tables (moments, enums, keys), and statements that differ between the two databases."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

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
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from rules.ledger.states import NO_MOMENT

LONGEST_KEY = 64


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, aware and in UTC on both databases. A naive value raises ValueError."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        # SQLite has no such type: it stores text that sorts by time.
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A moment without a time zone cannot be stored: use datetime.now(UTC).")
        value = value.astimezone(UTC)  # SQLite compares moments as text, so all need one zone
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        return None if value is None else moment_of(value)


def moment_of(stored: datetime | str) -> datetime:
    """Convert a driver's value to an aware moment in UTC: SQLite's driver returns text."""
    moment = datetime.fromisoformat(stored) if isinstance(stored, str) else stored
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class PlatformMoment(UtcDateTime):
    """A moment on the platform: `NO_MOMENT` where the stored value is none."""

    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        del dialect, coltype
        return lambda stored: None if stored is None else platform_moment(stored)


def platform_moment(stored: object) -> datetime:
    """Convert a driver's value of a platform's column; `NO_MOMENT` if it is no moment that Python has."""
    try:
        return moment_of(stored)  # type: ignore[arg-type]
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
    """A key on the platform: None where the ledger cannot have it (`is_key`)."""

    impl = String
    cache_ok = True

    def process_result_value(self, value: object, dialect: Dialect) -> str | None:
        del dialect
        return value if isinstance(value, str) and is_key(value) else None


def is_key(value: object) -> bool:
    """Whether a stored value can be a key in the ledger: text of 1 to 64 characters."""
    # Encoded, because the driver gives bytes that are not UTF-8 as lone surrogates.
    return isinstance(value, str) and 0 < len(value) <= LONGEST_KEY and (value.isascii() or is_utf8(value))


def is_utf8(value: str) -> bool:
    """Whether the text can be stored: it has no lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_stored(
    connection: Connection, query: Select[*tuple[Any, ...]], given: Mapping[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """Return the driver's own rows, without conversion by column types."""
    # 50 000 of them take a third of the time of SQLAlchemy's `Row`s.
    with connection.execute(query, given) as result:
        return list(result.cursor.fetchall()) if result.cursor else []


FIRST, LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def within_python_range(moment: ColumnElement[datetime]) -> ColumnElement[datetime]:
    """Replace a moment by `NO_MOMENT` if Python does not have it: PostgreSQL's infinity and years outside 1 to 9999."""
    first, last = literal(FIRST, type_=moment.type), literal(NO_MOMENT, type_=moment.type)
    return type_coerce(in_utc(case((or_(moment < first, moment > last), last), else_=moment)), moment.type)


class in_utc(FunctionElement[datetime]):
    """A moment without the time zone of PostgreSQL's connection, in which the driver may be unable to express it."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(in_utc, "sqlite")
def _as_it_is(element: in_utc, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(in_utc, "postgresql")
def _without_zone(element: in_utc, compiler: Any, **options: Any) -> str:
    return f"timezone('UTC', {compiler.process(element.clauses, **options)})"


class is_malformed(FunctionElement[bool]):
    """Whether SQLite stores something else than a moment in a column of moments; on PostgreSQL that cannot be."""

    type = Boolean()
    inherit_cache = True


@compiles(is_malformed, "sqlite")
def _on_sqlite(element: is_malformed, compiler: Any, **options: Any) -> str:
    stored = compiler.process(element.clauses, **options)
    return (
        f"((typeof({stored}) NOT IN ('text', 'null') OR datetime({stored}) IS NULL AND {stored} IS NOT NULL"
        f" OR {stored} NOT GLOB '[0-9][0-9][0-9][0-9]-*') AND {stored} NOT IN ('infinity', '-infinity'))"
    )


@compiles(is_malformed, "postgresql")
def _on_postgresql(element: is_malformed, compiler: Any, **options: Any) -> str:
    del element, compiler, options
    return "false"


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


def insert_into(connection: Connection, table: TableClause) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT of this database's dialect, which has ON CONFLICT."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
