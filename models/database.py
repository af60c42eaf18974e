"""The database: one code for SQLite and PostgreSQL, short transactions, never one open during a call."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from rules.choices import Mistake
from settings import NotConfigured, settings

BUSY_TIMEOUT_SECONDS = 60
Answer = TypeVar("Answer")
Part = TypeVar("Part")
Given = ParamSpec("Given")
_READERS = 4  # threads: what is read at the same moment waits for the same disk


class Database:
    """The ledger's database, used through `read` and `write` alone: one short transaction each.

    Both take a plain function of a SQLAlchemy `Connection`, with what else it is given, and return its answer.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        # Writers of this process queue here, not in SQLite, where each would hold a connection and poll for its turn.
        self._writer: AbstractAsyncContextManager[object] = (
            asyncio.Lock() if url.startswith("sqlite") else nullcontext()
        )
        self.engine = _sqlite_engine(url) if url.startswith("sqlite") else _postgresql_engine(url)
        self._threads = _Threads(url) if url.startswith("sqlite") else None
        self.platform = Platform(self)

    def __repr__(self) -> str:
        return f"Database({make_url(self.url).render_as_string(hide_password=True)!r})"

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Open a read transaction; nothing is kept of what is written in it."""
        async with AsyncExitStack() as stack:
            yield await self._connected(stack)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Open a write transaction that commits at the end, or rolls back on an error.

        On SQLite it takes the write lock at once, so that reading and then writing cannot meet another writer.
        """
        async with self._writer, AsyncExitStack() as stack:
            connection = await self._connected(stack)
            await connection.execution_options(laurel_writing=True)
            async with connection.begin():
                yield connection

    async def read(
        self, work: Callable[Concatenate[Connection, Given], Answer], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Answer:
        """Do some work in a transaction that sees one moment and of which nothing is kept, and return its answer."""
        bound = partial(_call, work, args, kwargs)
        if self._threads is not None:
            return await self._threads.read(bound)
        async with self._one_moment() as connection:
            return await connection.run_sync(bound)

    async def read_in_parts(
        self,
        work: Callable[Concatenate[Connection, Given], Iterator[Part]],
        /,
        *args: Given.args,
        **kwargs: Given.kwargs,
    ) -> AsyncGenerator[Part]:
        """Yield what some work yields, a part at a time, all of one moment: what is too large to be returned whole."""
        bound = partial(_call, work, args, kwargs)
        if self._threads is not None:
            async with aclosing(self._threads.read_in_parts(bound)) as parts:
                async for part in parts:
                    yield part
            return
        async with self._one_moment() as connection:
            remaining = await connection.run_sync(bound)
            while (next_part := await connection.run_sync(_next, remaining)) is not None:
                yield next_part

    async def write(
        self, work: Callable[Concatenate[Connection, Given], Answer], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Answer:
        """Do some work in a transaction, and return its answer once it is committed; an error rolls back.

        On SQLite the write lock is taken at once, so that reading and then writing cannot meet another writer, and the
        whole is done in a thread: there, waiting for each statement by itself, with much else going on in between,
        takes ten times as long as the statements do, and all other writers wait.
        """
        bound = partial(_call, work, args, kwargs)
        if self._threads is None:
            async with self.writing() as connection:
                return await connection.run_sync(bound)
        async with self._writer:
            return await self._threads.write(bound)

    @asynccontextmanager
    async def _one_moment(self) -> AsyncIterator[AsyncConnection]:
        async with AsyncExitStack() as stack:
            connection = await self._connected(stack)
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield connection

    async def _connected(self, stack: AsyncExitStack) -> AsyncConnection:
        try:
            return await stack.enter_async_context(self.engine.connect())
        except OSError as error:
            url = self.engine.url
            raise NotUsable(
                f"The database at {url.host or 'this machine'} (port {url.port or 'as usual'}) could not be reached "
                f"({error.strerror or 'no answer'}). Is it running, and are host and port in "
                "LAUREL_DATABASE_URL right?"
            ) from None

    async def dispose(self) -> None:
        """Close every connection."""
        await self.engine.dispose()
        if self._threads is not None:
            await self._threads.close()

    @property
    def connections_checked_out(self) -> int:
        """How many connections are in use now."""
        pool: Any = self.engine.pool
        return int(pool.checkedout())


class Platform:
    """The learning platform's database, which Laurel only reads; at present the one that the ledger is in.

    No statement names tables of both: what is read here is put together with the ledger in Python.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(
        self, work: Callable[Concatenate[Connection, Given], Answer], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Answer:
        """Do some work in a transaction that sees one moment, and return its answer."""
        return await self._database.read(work, *args, **kwargs)


def _call(work: Callable[..., Answer], args: tuple[Any, ...], kwargs: dict[str, Any], connection: Connection) -> Answer:
    return work(connection, *args, **kwargs)


def _next(_connection: Connection, remaining: Iterator[Part]) -> Part | None:
    return next(remaining, None)


class _Threads:
    """A SQLite database as threads use it: one that writes, and some that read."""

    def __init__(self, url: str) -> None:
        self._writing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="laurel-writing")
        self._reading = ThreadPoolExecutor(max_workers=_READERS, thread_name_prefix="laurel-reading")
        self._engine = _prepared_sqlite(create_engine(make_url(url).set(drivername="sqlite"), **_SQLITE_OPTIONS))

    async def read(self, work: Callable[[Connection], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._reading, self._look, work)

    async def read_in_parts(self, work: Callable[[Connection], Iterator[Part]]) -> AsyncGenerator[Part]:
        loop = asyncio.get_running_loop()
        parts = self._look_in_parts(work)
        # A thread of its own closes it after the step that is under way, also where nobody waits for that any more.
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="laurel-reading") as own:
            try:
                while (part := await loop.run_in_executor(own, next, parts, None)) is not None:
                    yield part
            finally:
                await loop.run_in_executor(own, parts.close)

    async def write(self, work: Callable[[Connection], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._writing, self._transact, work)

    def _look(self, work: Callable[[Connection], Answer]) -> Answer:
        with self._engine.connect() as connection:
            return work(connection)

    def _look_in_parts(self, work: Callable[[Connection], Iterator[Part]]) -> Generator[Part]:
        with self._engine.connect() as connection:
            yield from work(connection)

    def _transact(self, work: Callable[[Connection], Answer]) -> Answer:
        with self._engine.connect().execution_options(laurel_writing=True) as connection, connection.begin():
            return work(connection)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._writing, self._engine.dispose)
        self._writing.shutdown()
        self._reading.shutdown()


class NotUsable(Mistake):
    """The database cannot be reached, does not let Laurel in, or lacks a table; the message says what to do."""


class TableMissing(NotUsable):
    """The database lacks a table that Laurel reads or writes."""


@asynccontextmanager
async def open_at(url: str) -> AsyncIterator[Database]:
    """Open a database and close it at the end; what stands in the way is said in a sentence, without a password.

    Raises:
        NotUsable: the address is none, the database does not let Laurel in, or a statement did not find its table.
    """
    try:
        database = Database(url)
    except (ArgumentError, ValueError, OSError):
        raise NotUsable(
            "LAUREL_DATABASE_URL is not an address that can be used: postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or "
            "sqlite:///FILE in a folder that can be written. In a user's name or a password, @ : / ? # and % are "
            "written as %40 %3A %2F %3F %23 and %25."
        ) from None
    try:
        yield database
    except DBAPIError as error:
        unusable = _in_words(error)
        if unusable is None:
            raise
        raise unusable from None
    finally:
        await database.dispose()


@asynccontextmanager
async def open_configured() -> AsyncIterator[Database]:
    """Open the database that LAUREL_DATABASE_URL names.

    Raises:
        NotUsable: as `open_at`, or a setting is not as it must be.
    """
    try:
        url = settings().database_url
    except NotConfigured as wrong:
        raise NotUsable(str(wrong)) from None
    async with open_at(url) as database:
        yield database


def _in_words(error: DBAPIError) -> NotUsable | None:
    found = re.search(r'no such table: (\S+)|relation "([^"]+)" does not exist', str(error.orig))
    if found:
        return TableMissing(
            f"The database has no table or view {found[1] or found[2]}. Laurel's own tables come by `alembic upgrade "
            "head`; the platform's are described in docs/adopting.md. `python -m flows.check` says what else is "
            "missing."
        )
    denied = re.search(r"permission denied for [\w ]+", str(error.orig))
    if denied:
        return NotUsable(f"Laurel's role lacks a right: {denied[0]}. `python -m flows.check` says what to grant.")
    refused = _SAID_WHEN_REFUSED.get(str(getattr(error.orig, "sqlstate", None)))
    if refused:
        return NotUsable(f"The database did not let Laurel in: {refused}")
    if re.search("unable to open database file|file is not a database|readonly database", str(error.orig)):
        return NotUsable(f"The file in LAUREL_DATABASE_URL cannot be used as a SQLite database: {error.orig}.")
    return None


_SAID_WHEN_REFUSED = {
    "28P01": "the password is wrong, or there is no such role. Look at LAUREL_DATABASE_URL.",
    "28000": "there is no such role, it may not log in, or pg_hba.conf does not let it. Look at LAUREL_DATABASE_URL.",
    "3D000": "there is no database of this name. Look at LAUREL_DATABASE_URL.",
    "53300": "it has no connection left. Raise max_connections, or let fewer processes use it.",
    "57P03": "it is starting up or shutting down. Try again.",
}


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
    engine = create_async_engine(url, **_SQLITE_OPTIONS)
    _prepared_sqlite(engine.sync_engine)
    return engine


def _prepared_sqlite(engine: Engine) -> Engine:
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


_SQLITE_OPTIONS: dict[str, Any] = {
    "connect_args": {"timeout": BUSY_TIMEOUT_SECONDS},
    "pool_size": 20,  # kept: opening one costs a thread and much else
    "max_overflow": 0,
    "hide_parameters": True,
}


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
