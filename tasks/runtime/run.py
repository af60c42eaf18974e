"""What a run works with: its settings, its database and its clock, resolved once where it begins and passed down.

Tasks take ids only: Prefect would hash, log and perhaps store whatever else is an argument. What cannot be an id they
ask `current_run` for, and `current_organization` in tasks/runtime/organization.py, and pass it on; nobody else does.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from prefect.runtime import flow_run, task_run

from models.database import Database, NotUsable, Platform, open_at
from models.ledger.recorder import Recorder
from models.ledger.recording import Result, RunIds
from models.revision import check_revision
from rules.outcome import Outcome, WaitPolicy
from settings import NotConfigured, Settings, settings
from tasks.runtime.heartbeat import Steps, heartbeats


@dataclass(frozen=True)
class Run:
    """A run of Laurel, from its first line to its last. `now` returns the present moment in UTC."""

    settings: Settings
    database: Database
    now: Callable[[], datetime] = field(default=partial(datetime.now, UTC), repr=False)
    steps: Steps = field(default_factory=Steps)
    _recorder: Recorder = field(default_factory=Recorder, repr=False)

    def made_progress(self) -> None:
        """Note a step, without which the run would be ended after a while; each transaction is one."""
        self.steps.taken += 1

    @property
    def platform(self) -> Platform:
        """The learning platform's database."""
        return self.database.platform

    @property
    def wait_policy(self) -> WaitPolicy:
        """How long things wait, from the settings."""
        return WaitPolicy(
            lookup_grace=self.settings.lookup_grace,
            try_again_after=self.settings.try_again_after,
            throttle_pause_default=self.settings.throttle_pause_default,
            attempts_in_a_run=self.settings.retries + 1,
            attempts_limit=self.settings.attempts_limit,
        )

    async def record(self, result: Result) -> Outcome | None:
        """Write a result down, together with what others know meanwhile."""
        return await self._recorder.record(self.database, result)


current_run: ContextVar[Run] = ContextVar("laurel_run")


@asynccontextmanager
async def run_context() -> AsyncIterator[Run]:
    """Begin a run, and send heartbeats until the flow ends; a flow inside a flow works with the outer one's run.

    Raises:
        NotUsable: the database or a setting cannot be used, or the ledger is of another revision; the message says what
            to do.
        RunStalled: the run made no progress.
    """
    if (outer := current_run.get(None)) is not None:
        async with heartbeats(outer.settings, outer.steps, watching=False):
            yield outer
        return
    try:
        configured = settings()
    except NotConfigured as wrong:
        raise NotUsable(str(wrong)) from None
    steps = Steps()
    async with heartbeats(configured, steps, watching=True), open_at(configured.database_url) as database:
        run = Run(configured, database, steps=steps)
        database.stepped = run.made_progress
        database.flow_run = lambda: run_ids().flow_run_id
        await database.read(check_revision)
        token = current_run.set(run)
        try:
            yield run
        finally:
            current_run.reset(token)


def run_ids() -> RunIds:
    """Return the ids of the flow run and task run that are under way."""
    return RunIds(flow_run_id=flow_run.id, task_run_id=task_run.id)
