"""What flows and tasks work with, made in one place: the database, and one Credly client for an organization.

Tasks take ids only. What cannot be an id (a database, a client) they find here, through context variables that
flows set: a client as a task argument would be hashed, logged and perhaps stored by Prefect.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from weakref import WeakKeyDictionary

from prefect.blocks.system import Secret
from prefect.runtime import flow_run, task_run
from pydantic import SecretStr

from credly.client import CredlyClient, Timeouts
from models import pace
from models.claiming import DueOrganization
from models.database import Database, open_configured
from models.recorder import Recorder
from models.recording import Result, RunIds
from rules.details import Details
from rules.facts import IssuanceFacts
from rules.outcome import Outcome, WaitPolicy
from rules.reasons import Reason
from rules.tally import Tally
from settings import Settings, settings
from tasks.pacing import Pace
from tasks.runtime.heartbeat import made_progress

TROUBLE_IN_A_ROW = 20


class TokenNotUsable(Exception):
    """The Secret block of a connection does not exist, is empty, or holds no token."""


@dataclass
class Organization:
    """A Credly organization during one run: its client, its pace, and whether it had to be stopped."""

    due: DueOrganization
    client: CredlyClient
    pace: Pace
    token: SecretStr
    calls_at_once: asyncio.Semaphore
    done: Tally = field(default_factory=Tally)
    details: Details = field(default_factory=Details)
    stopped: Reason | None = None
    in_a_row: int = field(default=0, repr=False)
    retired: list[CredlyClient] = field(default_factory=list, repr=False)
    renewing: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    claiming: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    def count(self, facts: IssuanceFacts, outcome: Outcome) -> None:
        """Count what became of one issuance in this run."""
        self.done += Tally.of([outcome])
        self.details.note(facts, outcome)

    @property
    def tally(self) -> Tally:
        """What this run did for the organization so far."""
        return replace(self.done, details=self.details, stopped=self.stopped)

    def stop(self, reason: Reason) -> None:
        """Make no further calls in this run; the first reason stands."""
        self.stopped = self.stopped or reason

    def holds(self, token: SecretStr | None) -> bool:
        """Say whether this is the token that the organization is reached with."""
        return token is not None and token.get_secret_value() == self.token.get_secret_value()

    async def renew(self, refused: CredlyClient) -> bool:
        """Read the token once more from its block; return whether calls that `refused` made are worth another try.

        So a token is changed without an outage: the run that meets the old one's end goes on with the new one.
        """
        async with self.renewing:
            if self.client is not refused:
                return True
            try:
                token = await _token(self.due.token_block)
                if self.holds(token):
                    return False
                client = _client(self.due, token=token, configured=settings())
            except TokenNotUsable:
                return False
            self.retired.append(refused)
            self.client, self.token = client, token
            return True

    async def close(self) -> None:
        """Close every client of this run."""
        for client in (*self.retired, self.client):
            await client.__aexit__()

    def note_trouble(self) -> None:
        """Count a call without an answer; after many in a row, trying on helps nobody."""
        self.in_a_row += 1
        if self.in_a_row >= TROUBLE_IN_A_ROW:
            self.stop(Reason.NOT_REACHABLE)


_database: ContextVar[Database] = ContextVar("laurel_database")
_recorders: WeakKeyDictionary[Database, Recorder] = WeakKeyDictionary()
_organization: ContextVar[Organization] = ContextVar("laurel_organization")


def database() -> Database:
    """Return the database that the running flow opened. Each step of a run asks for it, so it counts as progress."""
    made_progress()
    return _database.get()


async def record(result: Result) -> Outcome | None:
    """Write a result down in the database that the running flow opened, together with what others know meanwhile."""
    opened = database()
    return await _recorders.setdefault(opened, Recorder()).record(opened, result)


def organization() -> Organization:
    """Return the organization that the running flow opened."""
    return _organization.get()


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


@asynccontextmanager
async def open_organization(due: DueOrganization) -> AsyncIterator[Organization]:
    """Open a client for the organization with the token from its Secret block.

    Raises:
        TokenNotUsable: there is no such block, or what it holds cannot be a token.
    """
    token = await _token(due.token_block)
    client = _client(due, token=token, configured=settings())
    calls_at_once = asyncio.Semaphore(settings().calls_at_once)
    opened = Organization(due=due, client=client, pace=_pace(due), token=token, calls_at_once=calls_at_once)
    before = _organization.set(opened)
    try:
        yield opened
    finally:
        _organization.reset(before)
        await opened.close()


def _pace(due: DueOrganization) -> Pace:
    name = f"{due.base_url} {due.organization_id}"

    async def book(seconds: float, later: float) -> float:
        return await database().write(lambda connection: pace.begin(connection, name, seconds=seconds, later=later))

    async def hold(seconds: float) -> None:
        await database().write(lambda connection: pace.pause(connection, name, seconds=seconds))

    return Pace(calls_per_second=due.calls_per_second, book=book, hold=hold)


def _client(due: DueOrganization, *, token: SecretStr, configured: Settings) -> CredlyClient:
    try:
        return CredlyClient(
            base_url=due.base_url,
            organization_id=due.organization_id,
            token=token,
            max_connections=configured.calls_at_once,
            timeouts=Timeouts(read=configured.read_timeout.total_seconds()),
        )
    except ValueError as unusable:
        raise TokenNotUsable(f"Secret block {due.token_block}: {unusable}") from None


async def _token(block_name: str) -> SecretStr:
    try:
        block: Secret[str] = await Secret.aload(block_name)
    except ValueError:
        raise TokenNotUsable(
            f"There is no Prefect Secret block named {block_name}: create it, or connect the portal anew."
        ) from None
    value = block.get()
    if not isinstance(value, str) or not value.strip():
        raise TokenNotUsable(f"The Prefect Secret block {block_name} holds no token.")
    return SecretStr(value.strip())


def run_ids() -> RunIds:
    """Return the ids of the flow run and task run that are under way."""
    return RunIds(flow_run_id=flow_run.id, task_run_id=task_run.id)
