"""Column types of all tables (moments, enums, keys), and statements that differ between the two databases."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    DateTime,
    Dialect,
    Enum,
    Integer,
    Select,
    TableClause,
    case,
    literal,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeDecorator, TypeEngine


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


def as_stored(
    connection: Connection, query: Select[*tuple[Any, ...]], given: Mapping[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """Return the driver's own rows, without conversion by column types."""
    # 50 000 of them take a third of the time of SQLAlchemy's `Row`s.
    with connection.execute(query, given) as result:
        return list(result.cursor.fetchall()) if result.cursor else []


FIRST, LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def within_python_range(moment: ColumnElement[datetime]) -> ColumnElement[datetime]:
    """Clamp a moment to Python's range: PostgreSQL also has infinity and years above 9999."""
    first, last = literal(FIRST, type_=UtcDateTime()), literal(LAST, type_=UtcDateTime())
    return case((moment > last, last), (moment < first, first), else_=moment)


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
