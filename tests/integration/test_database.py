import asyncio
from pathlib import Path

import pytest
from sqlalchemy import event, insert, select, text, update

from models.database import Database
from models.platform.tables import Portal, User
from models.tables import table
from tests.support.factories import a_portal, a_user, rows_of, the_row_of

users = table(User)


@pytest.fixture
async def sqlite(tmp_path: Path) -> Database:
    return Database(f"sqlite+aiosqlite:///{tmp_path}/new/folder/laurel.db")


async def test_what_is_written_stays(database: Database) -> None:
    await a_portal(database, "northwind")

    assert (await the_row_of(database, Portal)).id == "northwind"


async def test_an_error_takes_everything_back(database: Database) -> None:
    async def write_and_fail() -> None:
        async with database.writing() as connection:
            await a_portal(connection, "northwind")
            raise LookupError

    with pytest.raises(LookupError):
        await write_and_fail()

    assert await rows_of(database, Portal) == []


async def test_nothing_is_kept_of_what_is_written_while_reading(database: Database) -> None:
    async with database.reading() as connection:
        await a_portal(connection, "northwind")

    assert await rows_of(database, Portal) == []


@pytest.mark.parametrize("_migrated", ["postgresql"], indirect=True)
async def test_who_freezes_in_the_middle_of_a_transaction_holds_no_lock_for_long(database: Database) -> None:
    for _ in range(2):  # also where a connection is used again
        async with database.writing() as connection:
            assert await connection.scalar(text("SHOW idle_in_transaction_session_timeout")) == "1min"


async def test_reading_and_then_writing_waits_for_another_writer(database: Database) -> None:
    """Without a lock from the beginning, SQLite would refuse one of them at once: the database is locked."""
    await a_user(database, "ada", first_name="")
    both_have_begun, of_another_process = asyncio.Barrier(2), Database(database.url)

    async def add_a_letter(database: Database) -> None:
        await both_have_begun.wait()
        async with database.writing() as connection:
            await connection.execute(select(users.c.first_name))
            await asyncio.sleep(0)
            longer = update(users).values(first_name=users.c.first_name + "x")
            await connection.execute(longer)

    await asyncio.gather(add_a_letter(database), add_a_letter(of_another_process))
    await of_another_process.dispose()

    assert (await the_row_of(database, User)).first_name == "xx"


async def test_many_writers_at_once_all_get_their_turn(database: Database) -> None:
    await asyncio.gather(*(a_portal(database, f"portal-{number}") for number in range(30)))

    assert len(await rows_of(database, Portal)) == 30


async def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    async with database.writing() as connection:
        await a_portal(connection, "northwind")

        assert await asyncio.wait_for(rows_of(database, Portal), timeout=20) == []


async def test_the_connections_in_use_are_counted(database: Database) -> None:
    assert database.connections_checked_out == 0

    async with database.reading(), database.writing():
        assert database.connections_checked_out == 2

    assert database.connections_checked_out == 0


async def test_an_error_of_the_database_does_not_show_what_was_written(database: Database) -> None:
    async with database.writing() as connection:
        with pytest.raises(Exception, match="INSERT INTO users") as raised:
            await connection.execute(insert(users).values(id=None, first_name="Adelheid"))
        await connection.rollback()

    assert "Adelheid" not in f"{raised.value}"


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("foreign_keys", 1), ("synchronous", 2), ("busy_timeout", 60_000)]
)
async def test_sqlite_is_told_how_to_be_safe(sqlite: Database, pragma: str, value: str | int) -> None:
    async with sqlite.reading() as connection:
        assert await connection.scalar(text(f"PRAGMA {pragma}")) == value
    await sqlite.dispose()


async def test_sqlite_takes_the_write_lock_only_to_write(sqlite: Database) -> None:
    statements: list[str] = []
    event.listen(sqlite.engine.sync_engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    async with sqlite.reading():
        pass
    async with sqlite.reading() as connection:
        await connection.execute(text("SELECT 1"))
    async with sqlite.writing():
        pass
    async with sqlite.reading() as connection:
        await connection.execute(text("SELECT 2"))
    await sqlite.dispose()

    assert statements == ["BEGIN", "SELECT 1", "BEGIN IMMEDIATE", "BEGIN", "SELECT 2"]


@pytest.mark.parametrize("url", ["sqlite+aiosqlite://", "sqlite+aiosqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="needs a file"):
        Database(url)


async def test_the_password_is_not_shown() -> None:
    database = Database("postgresql+asyncpg://laurel:s3cret@db.example.org/platform")

    assert repr(database) == "Database('postgresql+asyncpg://laurel:***@db.example.org/platform')"
    await database.dispose()
