"""What flows and tasks work with: the database, the clock, the ids of the run.

Tasks take ids only. What cannot be an id (a database, a client) they find here and in tasks/runtime/organization.py,
through context variables that flows set: a client as a task argument would be hashed, logged and perhaps stored by
Prefect.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from weakref import WeakKeyDictionary

from prefect.runtime import flow_run, task_run

from models.database import Database, Platform, open_configured
from models.recorder import Recorder
from models.recording import Result, RunIds
from rules.outcome import Outcome, WaitPolicy
from settings import Settings
from tasks.runtime.heartbeat import made_progress

_database: ContextVar[Database] = ContextVar("laurel_database")
_recorders: WeakKeyDictionary[Database, Recorder] = WeakKeyDictionary()


def database() -> Database:
    """Return the database that the running flow opened. Each step of a run asks for it, so it counts as progress."""
    made_progress()
    return _database.get()


def platform() -> Platform:
    """Return the learning platform's database, as `database()` the ledger's."""
    return database().platform


async def record(result: Result) -> Outcome | None:
    """Write a result down in the database that the running flow opened, together with what others know meanwhile."""
    opened = database()
    return await _recorders.setdefault(opened, Recorder()).record(opened, result)


def now() -> datetime:
    """Return the present moment in UTC; the one place where the clock is read."""
    return datetime.now(UTC)


def wait_policy(configured: Settings) -> WaitPolicy:
    """Return how long things wait, from the settings."""
    return WaitPolicy(
        lookup_grace=configured.lookup_grace,
        try_again_after=configured.try_again_after,
        throttle_pause_default=configured.throttle_pause_default,
        attempts_in_a_run=configured.retries + 1,
        attempts_limit=configured.attempts_limit,
    )


def is_database_open() -> bool:
    """Say whether an outer flow of this process has opened the database."""
    return _database.get(None) is not None


@asynccontextmanager
async def open_database() -> AsyncIterator[Database]:
    """Open the configured database for the flow and its tasks; a flow inside a flow uses the outer one's.

    Raises:
        NotUsable: it cannot be reached, does not let Laurel in, or lacks a table; the message says what to do.
    """
    outer = _database.get(None)
    if outer is not None:
        yield outer
        return
    async with open_configured() as opened:
        token = _database.set(opened)
        try:
            yield opened
        finally:
            _database.reset(token)


def run_ids() -> RunIds:
    """Return the ids of the flow run and task run that are under way."""
    return RunIds(flow_run_id=flow_run.id, task_run_id=task_run.id)
