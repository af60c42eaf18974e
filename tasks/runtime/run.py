"""The context of a run: settings, database and clock, resolved once at its start and passed down.

Task arguments are ids only, since Prefect hashes, logs and may store them. Everything else a task reads from
`current_run` here and `current_organization` in tasks/runtime/organization.py. Other functions take it as an argument.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial, wraps
from typing import Any, ParamSpec, TypeVar

from prefect import State, Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import TaskRun
from prefect.runtime import flow_run, task_run

from models.database import Database, Platform, open_at, source_of, valid_settings
from models.errors import PlatformNotUsable
from models.ledger.recording import Recorder, Result, RunIds
from models.revision import check_revision
from rules.ledger.outcome import Outcome, WaitPolicy
from settings import Settings
from tasks.runtime.errors import without_foreign_messages
from tasks.runtime.heartbeat import Steps, heartbeats

# What is loaded lives as long as the process: collections need not look at it, the one at the process's end included.
# It is a seventh of the CPU of a run with nothing due.
gc.freeze()

# For a task that only reads and writes the database, which may be restarting.
DATABASE_RETRIES = (1, 5, 20)
NEEDS_ATTENTION = "Needs attention"  # a state of a flow run that has ended
P = ParamSpec("P")
R = TypeVar("R")


def laurel_task(
    name: str, *, task_run_name: str | None = None, retry_delays: Sequence[float] = ()
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Task[P, Coroutine[Any, Any, R]]]:
    """Return Prefect's `task` decorator as every task of Laurel uses it; `retry_delays` are in seconds."""
    as_task = task(
        name=name,
        task_run_name=task_run_name,
        # A cached or persisted result would skip work that has to be done again after a crash.
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=len(retry_delays),
        retry_delay_seconds=list(retry_delays) or None,
        retry_condition_fn=_may_pass if retry_delays else None,
    )

    def decorated(function: Callable[P, Coroutine[Any, Any, R]]) -> Task[P, Coroutine[Any, Any, R]]:
        @wraps(function)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            with without_foreign_messages():
                return await function(*args, **kwargs)

        return as_task(guarded)

    return decorated


async def _may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    # Each try of a platform that is away or slow takes as long as its time limit, and the next run is near.
    return not isinstance(await state.aresult(raise_on_failure=False), PlatformNotUsable)


@dataclass(frozen=True)
class Run:
    """The context of one run. `now` returns the current time in UTC."""

    settings: Settings
    database: Database
    now: Callable[[], datetime] = field(default=partial(datetime.now, UTC), repr=False)
    steps: Steps = field(default_factory=Steps)
    plan_again_seconds: float = 5.0
    """How often it plans what is new while organizations are under way."""
    forms: dict[str, str] = field(default_factory=dict, repr=False)
    """The addresses of forms by deployment, as far as they were read (tasks/runtime/form_links.py)."""
    finished: set[tuple[str, str, str]] = field(default_factory=set, repr=False)
    """The keys of organizations whose part has ended, perhaps before the flow run that it shares with others."""
    _recorder: Recorder = field(default_factory=Recorder, repr=False)

    @cached_property
    def organization_slots(self) -> asyncio.Semaphore:
        return asyncio.Semaphore(self.settings.organizations_at_once)

    def made_progress(self) -> None:
        """Count a step. A run without any for `LAUREL_STALLED_AFTER` is ended; each transaction is a step."""
        self.steps.taken += 1

    @property
    def platform(self) -> Platform:
        return self.database.platform

    @property
    def wait_policy(self) -> WaitPolicy:
        return WaitPolicy(
            lookup_grace=self.settings.lookup_grace,
            try_again_after=self.settings.try_again_after,
            throttle_pause_default=self.settings.throttle_pause_default,
            attempts_in_a_run=self.settings.retries + 1,
            attempts_limit=self.settings.attempts_limit,
        )

    async def record(self, result: Result) -> Outcome | None:
        """Persist a result. Results that become ready together share one transaction."""
        return await self._recorder.record(self.database, result)


current_run: ContextVar[Run] = ContextVar("laurel_run")


@asynccontextmanager
async def run_context(*, any_revision: bool = False) -> AsyncIterator[Run]:
    """Open the context of a run and send heartbeats until the flow ends. A nested flow shares the outer context.

    `any_revision`: for the check, which reports a ledger of another revision among other problems.

    Raises:
        NotUsable: the database or a setting is unusable, or the ledger has another revision; the message has the fix.
        RunStalled: the run made no progress.
        UnexpectedError: in place of any error that Laurel did not raise itself.
    """
    with without_foreign_messages():
        async with _opened(any_revision=any_revision) as run:
            yield run


@asynccontextmanager
async def _opened(*, any_revision: bool) -> AsyncIterator[Run]:
    if (outer := current_run.get(None)) is not None:
        # Watching twice would end the inner run for a stall that the outer one is already being ended for.
        async with heartbeats(outer.settings, outer.steps, watching=False):
            yield outer
        return
    configured = valid_settings()
    steps = Steps()
    source = source_of(configured)
    async with (
        heartbeats(configured, steps, watching=True),
        open_at(configured.database_url, source, create=False) as database,
    ):
        run = Run(configured, database, steps=steps)
        if not any_revision:
            await database.read(check_revision)  # before steps count: it is no progress
        database.stepped = run.made_progress
        # A function: a nested flow of the same process writes under its own id.
        database.flow_run = lambda: run_ids().flow_run_id
        token = current_run.set(run)
        try:
            yield run
        finally:
            current_run.reset(token)


def run_ids() -> RunIds:
    return RunIds(flow_run_id=flow_run.id, task_run_id=task_run.id)


async def name_run(name: str) -> None:
    async with get_client() as client:
        await client.update_flow_run(flow_run.id, name=name)
