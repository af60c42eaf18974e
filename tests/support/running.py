"""Fixtures of what runs beside a test: Prefect's server, the stand-in, and the small world that uses both."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from prefect import State, tags
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.reconcile import reconcile
from models.database import Database
from settings import settings
from tasks.runtime import rate_limiter
from tests.support.databases import sqlite_database
from tests.support.light_prefect import ADDRESS, light_server
from tests.support.prefect_server import remove_what_is_left, running_prefect_server
from tests.support.standin import Standin
from tests.support.world import World


def drain_workers() -> None:
    """End Prefect's threads that send logs and events: each goes on sending to the server that it began with."""
    for worker in (APILogWorker, EventsWorker):
        worker.drain_all()


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one Prefect server for all tests of a process."""
    with running_prefect_server(tmp_path_factory.mktemp("prefect")) as address:
        yield address
        drain_workers()  # at exit they would wait for a server that is gone


_reported_to: list[str] = []


@pytest.fixture(scope="module")
def _emptied(prefect_api: str) -> Iterator[None]:
    """Another file's tests would count the deployments that this one leaves, and find its runs."""
    yield
    remove_what_is_left(prefect_api)


# For a file: changing one of Prefect's settings builds all of them again, which costs as much as a short flow run.
@pytest.fixture(scope="module")
def prefect_server(prefect_api: str, _emptied: None) -> Iterator[str]:
    """The address of a real Prefect server, which flows of this file report to."""
    if _reported_to and _reported_to[-1] != prefect_api:
        drain_workers()
    _reported_to.append(prefect_api)
    with temporary_settings({PREFECT_API_URL: prefect_api}):
        yield prefect_api


# Before the address of a real server: without any, Prefect's client would start a server of its own.
@pytest.fixture(scope="module", autouse=True)
def light_address() -> Iterator[None]:
    """Import it where tests run without Prefect's server."""
    with temporary_settings({PREFECT_API_URL: ADDRESS}):
        yield


@pytest.fixture
def light_secrets(prefect_server: str) -> dict[str, str] | None:
    """None: flows run in Prefect's engine, and Secret blocks are at its server. See tests/flows/conftest.py."""
    return None


@pytest.fixture
async def world(
    migrated_file: Path,
    tmp_path: Path,
    standin: Standin,
    light_secrets: dict[str, str] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[World]:
    """A small platform on SQLite that is connected to the stand-in; Laurel's settings point at its database."""
    async with (
        sqlite_database(tmp_path, copy_of=migrated_file) as database,
        _built(database, standin, light_secrets, monkeypatch) as built,
    ):
        yield built


@pytest.fixture
async def any_world(
    database: Database, standin: Standin, light_secrets: dict[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """The same on SQLite and on PostgreSQL in turn, for what the engines could do differently."""
    async with _built(database, standin, light_secrets, monkeypatch) as built:
        yield built


@asynccontextmanager
async def _built(
    database: Database, standin: Standin, light_secrets: dict[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    built = World(database=database, base_url=standin.base_url, light_secrets=light_secrets)
    url = database.engine.url.render_as_string(hide_password=False)
    built.configure(monkeypatch, DATABASE_URL=url, RETRY_DELAY="0.05", LOOKUP_GRACE="0")
    # A run reserves a quarter of a second for its calls, which the next one of a test would wait for.
    monkeypatch.setattr(rate_limiter, "_AHEAD_SECONDS", 0.02)
    async with nullcontext() if light_secrets is None else light_server(light_secrets):
        await built.build()
        yield built
        await built.remove_blocks()
    settings.cache_clear()


async def run_reconcile(**parameters: Any) -> State[Any]:
    """Run the scheduled flow in this process and return the state that it ended in."""
    return await reconcile(**parameters, return_state=True)


async def run_by_schedule() -> State[Any]:
    """The same with the tag of a run that Prefect's scheduler planned."""
    with tags("auto-scheduled", "credly"):
        return await run_reconcile()
