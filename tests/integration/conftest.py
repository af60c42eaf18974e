from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from models.database import Database
from tests.support.databases import (
    ENGINES,
    empty_postgresql_database,
    migrated_postgresql,
    migrated_postgresql_database,
    migrated_sqlite,
    running_postgresql,
    sqlite_database,
)
from tests.support.factories import a_connection, an_integration
from tests.support.mariadb import running_mariadb
from tests.support.small_standin import shared_standin, standin

__all__ = ["shared_standin", "standin"]

Opener = AbstractAsyncContextManager[Database]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    with running_postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[str]:
    with running_mariadb() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_address(postgresql: str) -> str:
    return migrated_postgresql(postgresql)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated_sqlite(tmp_path_factory.mktemp("sqlite"))


# Not asynchronous, as opposed to what uses them: they may start what tests share, in an event loop of its own.
@pytest.fixture(params=ENGINES)
def _migrated(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    if request.param == "sqlite":
        return sqlite_database(tmp_path, copy_of=request.getfixturevalue("migrated_file"))
    return migrated_postgresql_database(request.getfixturevalue("migrated_address"))


@pytest.fixture(params=ENGINES)
def _empty(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    if request.param == "sqlite":
        return sqlite_database(tmp_path)
    return empty_postgresql_database(request.getfixturevalue("postgresql"))


@pytest.fixture
async def database(_migrated: Opener) -> AsyncIterator[Database]:
    """Every test that asks for it runs twice, on SQLite and on PostgreSQL: with all tables and no rows."""
    async with _migrated as database:
        yield database


@pytest.fixture
async def empty_database(_empty: Opener) -> AsyncIterator[Database]:
    """A database without any table, on both engines in turn."""
    async with _empty as database:
        yield database


@pytest.fixture
async def ready(database: Database) -> Database:
    """A connected portal whose achievement `forklift` is enabled since `ENABLED`."""
    await an_integration(database)
    await a_connection(database)
    return database
