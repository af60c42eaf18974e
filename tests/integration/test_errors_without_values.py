"""Errors of the databases: they name table, column and constraint, and no value, wherever they are shown or kept."""

import pickle
import traceback

import pytest
from sqlalchemy import Boolean, Column, Connection, insert, select, text
from sqlalchemy.exc import StatementError

from models.columns import UtcDateTime
from models.database import Database
from models.platform.tables import User, platform_metadata
from models.tables import table

CANARY = "zyxomma of somebody"
COLUMNS = [column for one in platform_metadata.sorted_tables for column in one.c]
users = table(User)


def shown(error: BaseException) -> str:
    """Return all that can be shown and stored of an error."""
    return f"{error} {error!r} {pickle.dumps(error)!r} {''.join(traceback.format_exception(error))}"


def read_of_view(connection: Connection, column: Column[object]) -> None:
    """Read a column of a view of this name that the database cannot compute, or the driver cannot decode."""
    expression = f"('{CANARY}' || clock_timestamp())::{_cast(column)}"
    if connection.dialect.name == "sqlite":
        connection.connection.driver_connection.text_factory = str  # type: ignore[union-attr] # as the driver sets it
        expression = f"CAST(x'ff{CANARY.encode().hex()}' AS TEXT)"
    connection.execute(text(f"CREATE TEMPORARY VIEW {column.table.name} AS SELECT {expression} AS {column.name}"))
    connection.execute(select(column)).all()


def _cast(column: Column[object]) -> str:
    return {UtcDateTime: "timestamptz", Boolean: "boolean"}.get(type(column.type), "integer::text")


@pytest.mark.parametrize("column", COLUMNS, ids=str)
async def test_a_value_that_cannot_be_read_is_not_shown(database: Database, column: Column[object]) -> None:
    with pytest.raises(StatementError, match=rf"SELECT {column}") as raised:
        await database.write(read_of_view, column)

    assert "zyxomma" not in shown(raised.value)
    assert ("SQLSTATE 22" in f"{raised.value}") or (f"UTF-8 column '{column.name}'" in f"{raised.value}")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"id": "ada"}, r"UNIQUE constraint failed: users\.id|unique constraint \"users_pkey\""),
        ({"id": None}, r"NOT NULL constraint failed: users\.id|null value in column \"id\" of relation \"users\""),
        ({"first_name": object()}, r"\(models\.errors\.DriverError\)"),
    ],
)
async def test_a_value_that_is_refused_is_not_shown(database: Database, wrong: dict[str, object], named: str) -> None:
    row = {"id": "bob", "last_name": CANARY, "profile_url": CANARY}
    await database.write(Connection.execute, insert(users).values(id="ada"))

    with pytest.raises(StatementError, match=named) as raised:
        await database.write(Connection.execute, insert(users).values(**row | wrong))

    assert "zyxomma" not in shown(raised.value)


@pytest.mark.parametrize("_migrated", ["postgresql"], indirect=True)
async def test_what_a_function_of_the_platform_raises_is_not_shown(database: Database) -> None:
    raising = f"DO $$ BEGIN RAISE EXCEPTION '{CANARY} %', clock_timestamp() USING DETAIL = '{CANARY}'; END $$"

    with pytest.raises(StatementError, match=r"RaiseException \(SQLSTATE P0001\)") as raised:
        await database.write(lambda connection: connection.exec_driver_sql(raising))

    assert "zyxomma" not in shown(raised.value).replace(raising, "")


@pytest.mark.parametrize("_migrated", ["sqlite"], indirect=True)
async def test_what_a_trigger_of_the_platform_raises_is_not_shown(database: Database) -> None:
    trigger = f"CREATE TRIGGER refuse BEFORE INSERT ON users BEGIN SELECT RAISE(ABORT, '{CANARY}'); END"
    await database.write(lambda connection: connection.exec_driver_sql(trigger))

    with pytest.raises(StatementError, match="SQLITE_CONSTRAINT_TRIGGER") as raised:
        await database.write(Connection.execute, insert(users).values(id="ada"))

    assert "zyxomma" not in shown(raised.value)
