"""The database: one code for SQLite and PostgreSQL, short transactions, never one open during a call."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

BUSY_TIMEOUT_SECONDS = 60


class Database:
    """An engine and the two ways to use it: `reading()` and `writing()`."""

    def __init__(self, url: str) -> None:
        self.url = url
        # Writers of this process queue here, not in SQLite, where each would hold a connection and poll for its turn.
        self._writer: AbstractAsyncContextManager[object] = (
            asyncio.Lock() if url.startswith("sqlite") else nullcontext()
        )
        self.engine = _sqlite_engine(url) if url.startswith("sqlite") else _postgresql_engine(url)

    def __repr__(self) -> str:
        return f"Database({make_url(self.url).render_as_string(hide_password=True)!r})"

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Open a read transaction; nothing is kept of what is written in it."""
        async with self.engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Open a write transaction that commits at the end, or rolls back on an error.

        On SQLite it takes the write lock at once, so that reading and then writing cannot meet another writer.
        """
        async with self._writer, self.engine.connect() as connection:
            await connection.execution_options(laurel_writing=True)
            async with connection.begin():
                yield connection

    async def dispose(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    @property
    def connections_checked_out(self) -> int:
        """How many connections are in use now."""
        pool: Any = self.engine.pool
        return int(pool.checkedout())


class TableMissing(Exception):
    """The database lacks a table that Laurel reads or writes."""


def missing_table(error: Exception) -> str | None:
    """Return the table that a statement did not find, if that is what the error says."""
    if not isinstance(error, DBAPIError):
        return None
    found = re.search(r'no such table: (\S+)|relation "([^"]+)" does not exist', str(error.orig))
    return (found[1] or found[2]) if found else None


def _postgresql_engine(url: str) -> AsyncEngine:
    engine = create_async_engine(url, pool_pre_ping=True, pool_size=20, max_overflow=0, hide_parameters=True)
    event.listen(engine.sync_engine, "connect", _prepare_postgresql)
    return engine


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    """A process that froze in the middle of a transaction must not hold its locks for long."""
    frozen = f"SET idle_in_transaction_session_timeout = '{BUSY_TIMEOUT_SECONDS}s'"
    connection.run_async(lambda driver: driver.execute(frozen))


def _sqlite_engine(url: str) -> AsyncEngine:
    path = make_url(url).database
    if not path or path == ":memory:":
        raise ValueError("A SQLite database needs a file: one in memory would be another one for each connection.")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(
        url,
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS},
        pool_size=20,  # kept: opening one costs a thread and four statements
        max_overflow=0,
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # this file begins transactions itself, see _begin_sqlite
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_SECONDS * 1000}",
        "journal_mode = WAL",
        "synchronous = FULL",  # a result that is said to be durable survives a power cut
        "foreign_keys = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("laurel_writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
