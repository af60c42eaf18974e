"""The database, SQLite or PostgreSQL: short transactions, none of them open during a call to Credly."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, ExceptionContext, FromClause, create_engine, event
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, StatementError

from models.columns import any_text
from models.errors import NotUsable, shown, usage_error, without_values, without_values_of_driver
from models.platform.engine import Source, platform_engine, platform_error
from models.platform.isolation import reading_around
from models.platform.mapping import NATIVE_MAPPING, mapping_of
from settings import DEFAULT_DATABASE, ONLY_THE_OWNER, NotConfigured, Settings, settings

BUSY_TIMEOUT_SECONDS = 60
Returned = TypeVar("Returned")
Part = TypeVar("Part")
Params = ParamSpec("Params")
_CONNECTIONS = 20  # per process
_READERS = 4  # SQLite: more threads would only wait for the same disk


class Database:
    """The ledger's database. `read` and `write` run one short transaction each.

    Both take a plain function of a SQLAlchemy `Connection` and its further arguments, and return its result. The
    function runs in a thread: cancelling the caller does not stop it.
    """

    # The whole transaction runs in one thread: awaiting each statement separately holds the connection, and SQLite's
    # write lock, about ten times longer.

    def __init__(self, url: str, source: Source | None = None) -> None:
        # For all that this process writes: the ledger, exports, and errors that Prefect stores.
        os.umask(ONLY_THE_OWNER)
        self.url = url
        on_sqlite = url.startswith("sqlite")
        self.engine = _sqlite_engine(url) if on_sqlite else _postgresql_engine(url)
        # All statements of a read see one snapshot. SQLite does that anyway, once a transaction has begun.
        snapshot = {} if on_sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._for_reading = self.engine.execution_options(**snapshot)
        self._for_writing = self.engine.execution_options(laurel_writing=True)
        self.flow_run: Callable[[], str | None] = _no_flow_run  # id of the flow run that writes, for the history
        self._reading = ThreadPoolExecutor(_READERS if on_sqlite else _CONNECTIONS, "laurel-reading")
        # Writers of this process queue here: in SQLite each would hold a connection and poll for the write lock.
        self._writing = ThreadPoolExecutor(1, "laurel-writing") if on_sqlite else self._reading
        self.platform = Platform(self, source)
        self.rows_per_page = 10_000  # of what is read through as a whole, or deleted
        # Called after each transaction and each part of a long read, for the watch over stalled runs.
        self.stepped: Callable[[], None] = _ignore_progress

    def __repr__(self) -> str:
        return f"Database({shown(self.engine.url)!r})"

    async def read(
        self, work: Callable[Concatenate[Connection, Params], Returned], /, *args: Params.args, **kwargs: Params.kwargs
    ) -> Returned:
        """Run `work` in a read-only transaction on one snapshot, and return its result."""

        def read_snapshot() -> Returned:
            with self._connected(self._for_reading) as connection:
                return work(connection, *args, **kwargs)

        return await self.read_in_thread(read_snapshot)

    async def read_in_thread(self, work: Callable[[], Returned]) -> Returned:
        """Run `work` in one of the threads for reading, and count it as a step."""
        return await self._in_thread(self._reading, work)

    async def read_in_parts(
        self,
        work: Callable[Concatenate[Connection, Params], Iterator[Part]],
        /,
        *args: Params.args,
        **kwargs: Params.kwargs,
    ) -> AsyncGenerator[Part]:
        """Yield the parts that `work` yields, all of one snapshot: for results too large for memory."""

        def read_snapshot() -> Generator[Part]:
            with self._connected(self._for_reading) as connection:
                yield from work(connection, *args, **kwargs)

        loop, parts = asyncio.get_running_loop(), read_snapshot()
        # A thread of its own: `close` then runs after the current step, also where the caller was cancelled.
        with ThreadPoolExecutor(1, "laurel-reading") as own:
            try:
                while (part := await loop.run_in_executor(own, next, parts, None)) is not None:
                    self.stepped()
                    yield part
            finally:
                await loop.run_in_executor(own, parts.close)

    async def write(
        self, work: Callable[Concatenate[Connection, Params], Returned], /, *args: Params.args, **kwargs: Params.kwargs
    ) -> Returned:
        """Run `work` in a transaction and return its result once it is committed; an error rolls back."""

        def transact() -> Returned:
            with self._connected(self._for_writing) as connection:
                connection.execution_options(laurel_flow_run=flow_run_id)
                with connection.begin():
                    return work(connection, *args, **kwargs)

        flow_run_id = self.flow_run()  # read here: the thread has no context of the flow run
        return await self._in_thread(self._writing, transact)

    async def _in_thread(self, threads: ThreadPoolExecutor, work: Callable[[], Returned]) -> Returned:
        result = await asyncio.get_running_loop().run_in_executor(threads, work)
        self.stepped()
        return result

    @contextmanager
    def _connected(self, engine: Engine) -> Iterator[Connection]:
        try:
            connection = engine.connect()
        except DBAPIError as error:
            clean = without_values_of_driver(error)
            raise usage_error(clean, engine.url) or clean from None
        try:
            with connection:
                yield connection
        except StatementError as error:
            raise without_values(error) from None

    async def dispose(self) -> None:
        """Close every connection after the running transactions have ended."""
        for threads in (self._reading, self._writing):
            await asyncio.to_thread(threads.shutdown)
        self.engine.dispose()
        self.platform.dispose()

    @property
    def connections_checked_out(self) -> int:
        """How many connections are in use now."""
        pool: Any = self.engine.pool
        return int(pool.checkedout())


def _no_flow_run() -> None:
    return None


def _ignore_progress() -> None:
    return None


class Platform:
    """The learning platform's database, which Laurel only reads: the ledger's own, or that of a source.

    No statement joins tables of both: Python combines what is read here with the ledger.
    """

    def __init__(self, database: Database, source: Source | None) -> None:
        self._database = database
        self.mapping = NATIVE_MAPPING if source is None else source.mapping
        self._engine = None if source is None else platform_engine(source, _postgresql_engine, **_POOL)

    @property
    def address(self) -> str:
        """The address that is read, without its password."""
        return shown((self._engine or self._database.engine).url)

    async def read(
        self, work: Callable[Concatenate[Connection, Params], Returned], /, *args: Params.args, **kwargs: Params.kwargs
    ) -> Returned:
        """Run `work` in a read-only transaction on one snapshot, and return its result.

        Raises:
            PlatformNotUsable: the platform's own database cannot be read, was too slow, or the mapping does not fit it;
                or a value ends each statement with an error.
        """
        engine, work = self._engine, reading_around(work)
        if engine is None:
            return await self._database.read(work, *args, **kwargs)

        def read_snapshot() -> Returned:
            try:
                with engine.connect() as connection:
                    return work(connection, *args, **kwargs)
            # A TypeError: a parameter of the address that PyMySQL does not have.
            except (DBAPIError, TypeError) as error:
                if unusable := platform_error(error, engine.url):
                    raise unusable from None
                if isinstance(error, DBAPIError):
                    raise without_values_of_driver(error) from None
                raise

        return await self._database.read_in_thread(read_snapshot)

    def dispose(self) -> None:
        """Close the connections to the platform's own database."""
        if self._engine is not None:
            self._engine.dispose()


@asynccontextmanager
async def open_at(url: str, source: Source | None = None, *, create: bool = True) -> AsyncIterator[Database]:
    """Open a database, with the platform's if that is another one, and close it at the end.

    A file of SQLite that does not exist is made, unless `create` is False. Error messages contain no password.

    Raises:
        NotUsable: the address is malformed, the database refuses the connection, or a statement did not find its table.
    """
    try:
        if not create and (file := _missing_file(url)):
            raise NotUsable(
                f"There is no database {file}: `python -m scripts.setup_deployment` makes it, with Laurel's own tables."
            )
        database = Database(url, source)
    except (ArgumentError, ValueError, OSError):
        raise NotUsable(
            "LAUREL_DATABASE_URL is not an address that can be used: postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or "
            "sqlite:///FILE in a folder that can be written. In a user's name or a password, @ : / ? # and % are "
            "written as %40 %3A %2F %3F %23 and %25."
        ) from None
    try:
        yield database
    except DBAPIError as error:
        unusable = usage_error(error, database.engine.url)
        if unusable is None:
            raise
        raise unusable from None
    finally:
        await database.dispose()


def _missing_file(url: str) -> str | None:
    file = make_url(url).database if url.startswith("sqlite") else None
    return file if file and not Path(file).is_file() else None


@asynccontextmanager
async def open_configured() -> AsyncIterator[Database]:
    """Open the database that LAUREL_DATABASE_URL names.

    Raises:
        NotUsable: as `open_at`, or a setting is invalid.
    """
    configured = valid_settings()
    async with open_at(configured.database_url, source_of(configured)) as database:
        yield database


def database_of(configured: Settings) -> Database:
    """Return the database of these settings, with the platform's; `dispose` closes it.

    Raises:
        PlatformNotUsable: as `source_of`.
    """
    return Database(configured.database_url, source_of(configured))


def source_of(configured: Settings) -> Source | None:
    """Return where the platform is read; None: tables or views of the relations' names in the ledger's database.

    Raises:
        PlatformNotUsable: there is no such mapping, or it is wrong.
    """
    mapping = mapping_of(configured.mapping, configured.mapping_parameters)
    if not configured.platform_url and mapping.is_native:
        return None
    return Source(
        url=configured.platform_url or configured.database_url, mapping=mapping, time_limit=configured.platform_timeout
    )


def valid_settings() -> Settings:
    """Return the settings.

    Raises:
        NotUsable: a setting is invalid.
    """
    try:
        return settings()
    except NotConfigured as invalid:
        raise NotUsable(str(invalid)) from None


# At DEBUG it logs each row that is read, and Prefect keeps the logs of all loggers that it is set to keep.
logging.getLogger("sqlalchemy.engine.Engine").addFilter(lambda record: record.levelno > logging.DEBUG)
_POOL: dict[str, Any] = {"pool_size": _CONNECTIONS, "max_overflow": 0, "hide_parameters": True}
_POSTGRESQL = {
    "prepare_threshold": None,  # behind a pooler the next transaction may be on another connection
    "keepalives_idle": BUSY_TIMEOUT_SECONDS,  # a thread cannot be cancelled: a dead connection must raise by itself
    "tcp_user_timeout": BUSY_TIMEOUT_SECONDS * 1000,
}


def _postgresql_engine(url: str) -> Engine:
    from psycopg import RawCursor  # loaded where a database is on PostgreSQL only

    # The server's own placeholders: converting a thousand would take 3 ms.
    arguments = _POSTGRESQL | {"cursor_factory": RawCursor}
    engine = create_engine(url, pool_pre_ping=True, paramstyle="numeric_dollar", connect_args=arguments, **_POOL)
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    from psycopg import RawServerCursor

    connection.server_cursor_factory = RawServerCursor
    # A process that froze in the middle of a transaction must not hold its locks for long.
    connection.execute(f"SET idle_in_transaction_session_timeout = '{BUSY_TIMEOUT_SECONDS}s'")
    connection.commit()


def _sqlite_engine(url: str) -> Engine:
    path = make_url(url).database
    if not path or path == ":memory:":
        raise ValueError("A SQLite database needs a file: one in memory would be another one for each connection.")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if Path(path) == DEFAULT_DATABASE:
        DEFAULT_DATABASE.parent.chmod(0o700)  # an earlier version did not
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}, **_POOL)
    engine.dialect.statement_compiler = _CompilerWithHints
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    event.listen(engine, "handle_error", _name_statement)
    return engine


class _CompilerWithHints(SQLiteCompiler):
    """Renders `with_hint` (which index to use), which SQLAlchemy omits on SQLite."""

    def get_from_hint_text(self, table: FromClause, text: str | None) -> str | None:
        del table
        return text


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins no transactions, `_begin_sqlite` does
    connection.text_factory = any_text
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_SECONDS * 1000}",
        "journal_mode = WAL",
        "synchronous = FULL",  # a committed result survives a power cut
        "foreign_keys = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _name_statement(context: ExceptionContext) -> None:
    # An error about a row that is read comes without its statement, and so without the table.
    if context.sqlalchemy_exception is not None and context.execution_context is not None:
        context.sqlalchemy_exception.statement = context.execution_context.statement


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("laurel_writing")
    # A writer takes the write lock at once: a lock taken after reading fails if another writer has committed since.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
