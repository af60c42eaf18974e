from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import BigInteger, Enum, Integer
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from models.columns import UtcDateTime, enum_by_value, own_id
from models.metadata import laurel_metadata
from models.platform.tables import platform_metadata
from rules.ledger.states import IssuanceState

SQLITE, POSTGRESQL = sqlite.dialect(), postgresql.dialect()  # type: ignore[no-untyped-call]
DIALECTS = pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL], ids=["sqlite", "postgresql"])
NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
NOON_IN_INDIA = datetime(2026, 11, 10, 17, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
NAIVE = NOON.replace(tzinfo=None)


@DIALECTS
def test_a_moment_without_a_time_zone_is_refused(dialect: Dialect) -> None:
    with pytest.raises(ValueError, match="without a time zone"):
        UtcDateTime().process_bind_param(NAIVE, dialect)


@DIALECTS
@pytest.mark.parametrize("moment", [NOON, NOON_IN_INDIA])
def test_a_moment_is_stored_and_comes_back_as_utc(dialect: Dialect, moment: datetime) -> None:
    stored = UtcDateTime().process_bind_param(moment, dialect)
    read = UtcDateTime().process_result_value(stored, dialect)

    assert read == NOON
    assert read is not None
    assert read.tzinfo is UTC


def test_sqlite_stores_text_that_sorts_by_time() -> None:
    assert UtcDateTime().process_bind_param(NOON_IN_INDIA, SQLITE) == NAIVE


def test_a_database_that_answers_in_its_own_zone_is_understood() -> None:
    read = UtcDateTime().process_result_value(NOON_IN_INDIA, POSTGRESQL)

    assert read is not None
    assert read.isoformat() == "2026-11-10T12:00:00+00:00"


@DIALECTS
def test_no_moment_stays_none(dialect: Dialect) -> None:
    assert UtcDateTime().process_bind_param(None, dialect) is None
    assert UtcDateTime().process_result_value(None, dialect) is None


def test_postgresql_keeps_the_time_zone() -> None:
    assert str(UtcDateTime().compile(dialect=POSTGRESQL)) == "TIMESTAMP WITH TIME ZONE"


def test_an_enum_is_stored_by_value_as_text_with_a_check() -> None:
    column = enum_by_value(IssuanceState, name="state")

    assert column.enums == [state.value for state in IssuanceState]
    assert (column.native_enum, column.create_constraint, column.validate_strings) == (False, True, True)


def test_own_keys_have_64_bits() -> None:
    assert isinstance(own_id().dialect_impl(POSTGRESQL), BigInteger)
    assert isinstance(own_id().dialect_impl(SQLITE), Integer)


@pytest.mark.parametrize(
    "column",
    [
        column
        for metadata in (laurel_metadata, platform_metadata)
        for name in sorted(metadata.tables)
        for column in metadata.tables[name].columns
    ],
    ids=str,
)
def test_no_table_stores_moments_or_enums_its_own_way(column) -> None:  # type: ignore[no-untyped-def]
    if column.name.endswith(("_at", "_until", "_before")):
        assert isinstance(column.type, UtcDateTime)
    if isinstance(column.type, Enum):
        assert not column.type.native_enum
        assert column.type.create_constraint
    if column.name in ("achievement_id", "user_id", "portal_id", "award_id", "company_id", "project_id"):
        assert column.type.length == 255
