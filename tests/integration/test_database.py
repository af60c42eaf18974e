import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from models.database import Database
from models.platform.tables import Portal, User
from models.tables import table
from tests.support.databases import holding
from tests.support.factories import a_portal, a_user, rows_of, the_row_of, together

users = table(User)


def add_a_portal(connection: Connection) -> None:
    connection.execute(insert(table(Portal)).values(id="northwind", name="Northwind"))


def _wait(connection: Connection, begun: threading.Event, over: threading.Event) -> None:
    connection.execute(text("SELECT 1"))
    begun.set()
    over.wait(20)


@pytest.fixture
async def sqlite(tmp_path: Path) -> Database:
    return Database(f"sqlite:///{tmp_path}/new/folder/laurel.db")


async def test_what_is_written_stays(database: Database) -> None:
    await a_portal(database, "northwind")

    assert (await the_row_of(database, Portal)).id == "northwind"


async def test_sqlite_is_told_which_index_to_take(database: Database) -> None:
    hinted = select(users.c.id).with_hint(users, "INDEXED BY ix_users", "sqlite")

    statement = str(hinted.compile(database.engine))

    assert ("FROM users INDEXED BY ix_users" in statement) == (database.engine.dialect.name == "sqlite")


async def test_an_error_takes_everything_back(database: Database) -> None:
    async def write_and_fail(connection: Connection) -> None:
        await a_portal(connection, "northwind")
        raise LookupError

    with pytest.raises(LookupError):
        await together(database, write_and_fail)

    assert await rows_of(database, Portal) == []


async def test_nothing_is_kept_of_what_is_written_while_reading(database: Database) -> None:
    if database.engine.dialect.name == "postgresql":
        with pytest.raises(DBAPIError, match="read-only transaction"):
            await database.read(add_a_portal)
    else:
        await database.read(add_a_portal)

    assert await rows_of(database, Portal) == []


@pytest.mark.parametrize("_migrated", ["postgresql"], indirect=True)
async def test_who_freezes_in_the_middle_of_a_transaction_holds_no_lock_for_long(database: Database) -> None:
    shown = text("SHOW idle_in_transaction_session_timeout")
    for _ in range(2):  # also where a connection is used again
        assert await database.write(lambda connection: connection.scalar(shown)) == "1min"


@pytest.mark.parametrize("_migrated", ["postgresql"], indirect=True)
async def test_no_statement_is_prepared(database: Database) -> None:
    """A pooler that shares its connections between transactions would lose it."""
    prepared = text("SELECT count(*) FROM pg_prepared_statements")

    assert not any(await database.read(lambda connection: [connection.scalar(prepared) for _ in range(9)]))


async def test_reading_and_then_writing_waits_for_another_writer(database: Database) -> None:
    """Without a lock from the beginning, SQLite would refuse one of them at once: the database is locked."""
    await a_user(database, "ada", first_name="")
    of_another_process = Database(database.url)

    def add_a_letter(connection: Connection) -> None:
        connection.execute(select(users.c.first_name))
        time.sleep(0.1)  # so that the other one has begun
        connection.execute(update(users).values(first_name=users.c.first_name + "x"))

    await asyncio.gather(database.write(add_a_letter), of_another_process.write(add_a_letter))
    await of_another_process.dispose()

    assert (await the_row_of(database, User)).first_name == "xx"


async def test_many_writers_at_once_all_get_their_turn(database: Database) -> None:
    await asyncio.gather(*(a_portal(database, f"portal-{number}") for number in range(30)))

    assert len(await rows_of(database, Portal)) == 30


async def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    async with holding(database, add_a_portal):
        assert await asyncio.wait_for(rows_of(database, Portal), timeout=20) == []


async def test_the_connections_in_use_are_counted(database: Database) -> None:
    assert database.connections_checked_out == 0

    async with holding(database, add_a_portal):
        assert database.connections_checked_out == 1
        assert await database.read(lambda _: database.connections_checked_out) == 2

    assert database.connections_checked_out == 0


@pytest.mark.parametrize("begin", [Database.read, Database.write])
async def test_who_is_cancelled_leaves_no_connection_in_use(database: Database, begin: Any) -> None:
    opened, begun, over = Database(database.url), threading.Event(), threading.Event()
    asking = asyncio.ensure_future(begin(opened, _wait, begun, over))
    await asyncio.to_thread(begun.wait, 20)

    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    closing = asyncio.ensure_future(opened.dispose())
    await asyncio.sleep(0.1)

    assert (opened.connections_checked_out, closing.done()) == (1, False)  # it waits for what is under way
    over.set()
    await closing
    assert opened.connections_checked_out == 0


async def test_who_is_cancelled_before_his_turn_does_nothing(sqlite: Database) -> None:
    begun, over = threading.Event(), threading.Event()
    before = asyncio.ensure_future(sqlite.write(_wait, begun, over))
    done = list[Connection]()
    waiting = asyncio.ensure_future(sqlite.write(done.append))
    await asyncio.to_thread(begun.wait, 20)

    waiting.cancel()
    await asyncio.sleep(0)
    over.set()
    await before
    await sqlite.dispose()

    assert not done


async def test_an_error_of_the_database_does_not_show_what_was_written(database: Database) -> None:
    nobody = insert(users).values(id=None, first_name="Adelheid")
    with pytest.raises(DBAPIError, match="INSERT INTO users") as raised:
        await database.write(Connection.execute, nobody)

    assert "Adelheid" not in f"{raised.value}"


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("foreign_keys", 1), ("synchronous", 2), ("busy_timeout", 60_000)]
)
async def test_sqlite_is_told_how_to_be_safe(sqlite: Database, pragma: str, value: str | int) -> None:
    assert await sqlite.read(lambda connection: connection.scalar(text(f"PRAGMA {pragma}"))) == value
    await sqlite.dispose()


async def test_sqlite_takes_the_write_lock_only_to_write(sqlite: Database) -> None:
    statements: list[str] = []
    event.listen(sqlite.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    await sqlite.read(lambda connection: connection.scalar(text("SELECT 1")))
    await sqlite.write(lambda _: None)
    await sqlite.read(lambda connection: connection.scalar(text("SELECT 2")))
    await sqlite.dispose()

    assert statements == ["BEGIN", "SELECT 1", "BEGIN IMMEDIATE", "BEGIN", "SELECT 2"]


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="needs a file"):
        Database(url)


async def test_the_password_is_not_shown() -> None:
    database = Database("postgresql+psycopg://laurel:s3cret@db.example.org/platform")

    assert repr(database) == "Database('postgresql+psycopg://laurel:***@db.example.org/platform')"
    await database.dispose()
