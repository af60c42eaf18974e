from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from models.database import Database
from tests.support.databases import (
    ENGINES,
    migrated_postgresql,
    migrated_sqlite,
    postgresql_database,
    running_postgresql,
    sqlite_database,
)

Opener = Callable[..., AbstractAsyncContextManager[Database]]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    with running_postgresql() as server:
        migrated_postgresql(server)
        yield server


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated_sqlite(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(params=ENGINES)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Not asynchronous: it may start what others share, which runs an event loop of its own."""
    if request.param == "postgresql":
        return partial(postgresql_database, request.getfixturevalue("postgresql"))
    return partial(sqlite_database, tmp_path, migrated_file=request.getfixturevalue("migrated_file"))


@pytest.fixture
async def database(opener: Opener) -> AsyncIterator[Database]:
    """Every test that asks for it runs twice, on SQLite and on PostgreSQL: with all tables and no rows."""
    async with opener(migrated=True) as database:
        yield database


@pytest.fixture
async def empty_database(opener: Opener) -> AsyncIterator[Database]:
    """A database without any table, on both engines in turn."""
    async with opener(migrated=False) as database:
        yield database


from tests.support.running import prefect_api, prefect_server, shared_standin, standin, world  # noqa: E402, F401
