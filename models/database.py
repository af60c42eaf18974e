"""The database: one code for SQLite and PostgreSQL, short transactions, never one open during a call."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from psycopg import RawCursor, RawServerCursor
from sqlalchemy import URL, Connection, Engine, ExceptionContext, FromClause, create_engine, event
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from rules.choices import Mistake
from settings import NotConfigured, settings

BUSY_TIMEOUT_SECONDS = 60
Answer = TypeVar("Answer")
Part = TypeVar("Part")
Given = ParamSpec("Given")
_CONNECTIONS = 20  # of a process
_READERS = 4  # threads, on SQLite: what is read at the same moment waits for the same disk


class Database:
    """The ledger's database, used through `read` and `write` alone: one short transaction each.

    Both take a plain function of a SQLAlchemy `Connection`, with what else it is given, and return its answer. It is
    called in a thread: waiting for each statement by itself, with much else going on in between, takes ten times as
    long as the statements do. Who is cancelled while it runs does not stop it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        on_sqlite = url.startswith("sqlite")
        self.engine = _sqlite_engine(url) if on_sqlite else _postgresql_engine(url)
        one_moment = {} if on_sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._for_reading = self.engine.execution_options(**one_moment)
        self._for_writing = self.engine.execution_options(laurel_writing=True)
        self.flow_run: Callable[[], str | None] = _nobody  # the id of the run that writes, for the history
        self._reading = ThreadPoolExecutor(_READERS if on_sqlite else _CONNECTIONS, "laurel-reading")
        # Writers of this process queue here, not in SQLite, where each would hold a connection and poll for its turn.
        self._writing = ThreadPoolExecutor(1, "laurel-writing") if on_sqlite else self._reading
        self.platform = Platform(self)
        self.stepped: Callable[[], None] = _nothing  # called after each transaction, and each part of a long one

    def __repr__(self) -> str:
        return f"Database({make_url(self.url).render_as_string(hide_password=True)!r})"

    async def read(
        self, work: Callable[Concatenate[Connection, Given], Answer], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Answer:
        """Do some work in a transaction that sees one moment and of which nothing is kept, and return its answer."""

        def look() -> Answer:
            with self._connected(self._for_reading) as connection:
                return work(connection, *args, **kwargs)

        return await self._in_thread(self._reading, look)

    async def read_in_parts(
        self,
        work: Callable[Concatenate[Connection, Given], Iterator[Part]],
        /,
        *args: Given.args,
        **kwargs: Given.kwargs,
    ) -> AsyncGenerator[Part]:
        """Yield what some work yields, a part at a time, all of one moment: what is too large to be returned whole."""

        def look() -> Generator[Part]:
            with self._connected(self._for_reading) as connection:
                yield from work(connection, *args, **kwargs)

        loop, parts = asyncio.get_running_loop(), look()
        # A thread of its own closes it after the step that is under way, also where nobody waits for that any more.
        with ThreadPoolExecutor(1, "laurel-reading") as own:
            try:
                while (part := await loop.run_in_executor(own, next, parts, None)) is not None:
                    self.stepped()
                    yield part
            finally:
                await loop.run_in_executor(own, parts.close)

    async def write(
        self, work: Callable[Concatenate[Connection, Given], Answer], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Answer:
        """Do some work in a transaction, and return its answer once it is committed; an error rolls back.

        On SQLite the write lock is taken at once, so that reading and then writing cannot meet another writer.
        """

        def transact() -> Answer:
            with self._connected(self._for_writing) as connection:
                connection.execution_options(laurel_flow_run=flow_run_id)
                with connection.begin():
                    return work(connection, *args, **kwargs)

        flow_run_id = self.flow_run()
        return await self._in_thread(self._writing, transact)

    async def _in_thread(self, threads: ThreadPoolExecutor, work: Callable[[], Answer]) -> Answer:
        answer = await asyncio.get_running_loop().run_in_executor(threads, work)
        self.stepped()
        return answer

    def _connected(self, engine: Engine) -> Connection:
        try:
            return engine.connect()
        except DBAPIError as error:
            if unusable := _in_words(error, engine.url):
                raise unusable from None
            raise

    async def dispose(self) -> None:
        """Close every connection, once what is under way has ended."""
        for threads in (self._reading, self._writing):
            await asyncio.to_thread(threads.shutdown)
        self.engine.dispose()

    @property
    def connections_checked_out(self) -> int:
        """How many connections are in use now."""
        pool: Any = self.engine.pool
        return int(pool.checkedout())


def _nobody() -> None:
    """No flow run: a command, or a test."""


def _nothing() -> None:
    """Nobody watches whether anything is done."""


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
        unusable = _in_words(error, database.engine.url)
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


def _in_words(error: DBAPIError, url: URL) -> NotUsable | None:
    told = str(error.orig)
    if found := re.search(r'no such table: (\S+)|relation "([^"]+)" does not exist', told):
        return TableMissing(
            f"The database has no table or view {found[1] or found[2]}. Laurel's own tables come by `alembic upgrade "
            "head`; the platform's are described in docs/adopting.md. `python -m flows.check` says what else is "
            "missing."
        )
    if denied := re.search(r"permission denied for [\w ]*\w", told):
        return NotUsable(f"Laurel's role lacks a right: {denied[0]}. `python -m flows.check` says what to grant.")
    if refused := next((said for pattern, said in _SAID_WHEN_REFUSED.items() if re.search(pattern, told)), None):
        return NotUsable(f"The database did not let Laurel in: {refused}")
    if re.search("unable to open database file|file is not a database|readonly database", told):
        return NotUsable(f"The file in LAUREL_DATABASE_URL cannot be used as a SQLite database: {told}.")
    if re.match("connection (failed|is bad|timeout)|failed to resolve|invalid connection option", told):
        return NotUsable(
            f"The database at {url.host or 'this machine'} (port {url.port or 'as usual'}) could not be reached "
            f"({told.rpartition('failed: ')[2]}). Is it running, and are host and port in "
            "LAUREL_DATABASE_URL right?"
        )
    return None


# Looked for in the text: the driver gives no SQLSTATE of what happens while it connects.
_SAID_WHEN_REFUSED = {
    "password authentication failed|no password supplied": (
        "the password is wrong, or there is no such role. Look at LAUREL_DATABASE_URL."
    ),
    "FATAL: +role |no pg_hba.conf entry|(Peer|Ident) authentication failed": (
        "there is no such role, it may not log in, or pg_hba.conf does not let it. Look at LAUREL_DATABASE_URL."
    ),
    "FATAL: +database .* does not exist": "there is no database of this name. Look at LAUREL_DATABASE_URL.",
    "FATAL: .*(too many c|connection slots)": (
        "it has no connection left. Raise max_connections, or let fewer processes use it."
    ),
    "FATAL: +the database system is": "it is starting up or shutting down. Try again.",
}


_POOL: dict[str, Any] = {"pool_size": _CONNECTIONS, "max_overflow": 0, "hide_parameters": True}
_POSTGRESQL = {
    "cursor_factory": RawCursor,  # with the server's own placeholders: to replace a thousand takes 3 ms
    "prepare_threshold": None,  # a pooler may give the next transaction another connection
    "keepalives_idle": BUSY_TIMEOUT_SECONDS,  # a thread cannot be cancelled: the network must say that nobody answers
    "tcp_user_timeout": BUSY_TIMEOUT_SECONDS * 1000,
}


def _postgresql_engine(url: str) -> Engine:
    engine = create_engine(url, pool_pre_ping=True, paramstyle="numeric_dollar", connect_args=_POSTGRESQL, **_POOL)
    event.listen(engine, "connect", _prepare_postgresql)
    event.listen(engine, "handle_error", _hide_values)
    return engine


def _hide_values(context: ExceptionContext) -> None:
    """Keep the first line of an error: those after it may hold values (DETAIL, CONTEXT)."""
    for error in (context.original_exception, context.sqlalchemy_exception):
        if error is not None:
            error.args = (str(error).partition("\n")[0],)


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    """A process that froze in the middle of a transaction must not hold its locks for long."""
    connection.server_cursor_factory = RawServerCursor
    connection.execute(f"SET idle_in_transaction_session_timeout = '{BUSY_TIMEOUT_SECONDS}s'")
    connection.commit()


def _sqlite_engine(url: str) -> Engine:
    path = make_url(url).database
    if not path or path == ":memory:":
        raise ValueError("A SQLite database needs a file: one in memory would be another one for each connection.")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}, **_POOL)
    engine.dialect.statement_compiler = _WithHints
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


class _WithHints(SQLiteCompiler):
    """Writes which index to take (`with_hint`), which SQLAlchemy leaves out on SQLite."""

    def get_from_hint_text(self, table: FromClause, text: str | None) -> str | None:
        del table
        return text


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
