"""Column types of all tables (moments, enums, keys), and statements that differ between the two databases."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import floor
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
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
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeDecorator, TypeEngine

if TYPE_CHECKING:
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

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | int | None:
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

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        mapping = mapping_of_dialect(dialect)
        return None if value is None else moment_of(value) if mapping is None else mapped_moment(value, mapping)


_WITHOUT_ZONES = ("sqlite", "mysql", "mariadb")


class PlatformKey(TypeDecorator[str]):
    """A key of the platform: text, which the platform may store as an integer. `relation` is the one that it is of."""

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

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | int | None:
        if value is None or not self.is_integer(dialect):
            return value
        # `007` is not the key 7.
        return int(value) if _is_integer(value) else _NO_KEY

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else str(value) if self.is_integer(dialect) else value


def _is_integer(value: str) -> bool:
    return value.isascii() and value.lstrip("-").isdigit() and str(int(value)) == value and abs(int(value)) < 2**63


def moment_of(stored: datetime | str) -> datetime:
    """Convert a driver's value to an aware moment in UTC: SQLite's driver returns text."""
    moment = datetime.fromisoformat(stored) if isinstance(stored, str) else stored
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def mapped_moment(stored: Any, mapping: "PlatformMapping") -> datetime:
    """Convert the value of a platform's driver to an aware moment in UTC."""
    if mapping.epoch:
        return _EPOCH + timedelta(seconds=float(stored))
    moment = datetime.fromisoformat(stored) if isinstance(stored, str) else stored
    return moment_of(moment.replace(tzinfo=mapping.zone) if moment.tzinfo is None and mapping.zone else moment)


def as_stored(
    connection: Connection, query: Select[*tuple[Any, ...]], given: Mapping[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """Return the driver's own rows, without conversion by column types, except where a mapping needs one."""
    # 50 000 of them take a third of the time of SQLAlchemy's `Row`s.
    with connection.execute(query, given) as result:
        rows = list(result.cursor.fetchall()) if result.cursor else []
    if mapping_of_dialect(connection.dialect) is None:
        return rows
    if not rows:
        return rows
    by_column: Iterable[Any] = zip(*rows, strict=True)
    kinds = [column.type for column in query.selected_columns]
    columns = (_converted(kind, connection.dialect, values) for kind, values in zip(kinds, by_column, strict=True))
    return list(zip(*columns, strict=True))


def _converted(kind: TypeEngine[Any], dialect: Dialect, values: Iterable[Any]) -> Iterable[Any]:
    if isinstance(kind, UtcDateTime) or (isinstance(kind, PlatformKey) and kind.is_integer(dialect)):
        return [kind.process_result_value(value, dialect) for value in values]
    return values


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
