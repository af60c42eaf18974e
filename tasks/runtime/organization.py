"""The Credly organization of a flow run: its client, its token, and whether it was stopped."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from prefect.blocks.system import Secret
from pydantic import SecretStr

from credly.errors import CredlyError, NotConnected, NotFound, NotSent, Throttled
from credly.session import Timeouts
from credly.wire import AuthorizationToken
from models.errors import PlatformNotUsable
from models.ledger.claiming import DueOrganization
from models.setup import calls, organizations, rate_limit
from rules.badge.issuance_data import IssuanceFacts
from rules.ledger.outcome import Outcome
from rules.ledger.reasons import CONNECTION_REASONS, REFUSED_REASONS, Reason
from rules.ledger.states import IssuanceState
from rules.monitoring.brake import Brake
from tasks.runtime.rate_limiter import RateLimiter
from tasks.runtime.recorded_client import Access, RecordedClient
from tasks.runtime.run import Run, run_ids

# Ten badges in a row refused for one reason point at a cause outside the badges.
MAX_EQUAL_REFUSALS = 10
# While the call for one badge is under way, another badge is claimed, prepared or recorded.
BADGES_FOR_A_CALL = 2
Refusal = tuple[IssuanceFacts, Outcome]


class TokenNotUsable(Exception):
    """The Secret block of a connection does not exist, is empty, or holds no token."""


@dataclass
class Organization:
    """A Credly organization during one run."""

    run: Run = field(repr=False)
    due: DueOrganization
    client: RecordedClient
    calls_at_once: asyncio.Semaphore
    badges_at_once: asyncio.Semaphore
    tried: int = 0  # issuances, each once, for the progress artifact
    _tried_and_pending: set[int] = field(default_factory=set, repr=False)
    refused: list[Refusal] = field(default_factory=list, repr=False)
    unreadable: PlatformNotUsable | None = None  # why the platform cannot be read; then no badge is begun any more
    claiming: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    _in_progress: set[int] = field(default_factory=set, repr=False)
    _ended: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _confirming: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    _confirmed_at: datetime | None = field(default=None, repr=False)

    @property
    def stopped(self) -> Reason | None:
        """Why no further calls are made in this run, or None."""
        return self.client.access.brake.stopped

    async def begin(self, issuance_ids: Sequence[int], *, at_most: int) -> None:
        """Wait until fewer than `at_most` issuances are in progress, then count these as such until they `end`."""
        while len(self._in_progress) >= at_most:
            self._ended.clear()
            await self._ended.wait()
        self._in_progress.update(issuance_ids)

    def end(self, issuance_ids: Iterable[int]) -> None:
        self._in_progress.difference_update(issuance_ids)
        self._ended.set()

    def note_outcome(self, facts: IssuanceFacts, outcome: Outcome) -> None:
        """Count the outcome of one issuance. A badge that is issued ends a series of refusals."""
        self.tried += facts.issuance_id not in self._tried_and_pending
        if outcome.state is IssuanceState.PENDING:
            self._tried_and_pending.add(facts.issuance_id)
        elif outcome.state is IssuanceState.ISSUED:
            self.refused.clear()
        elif outcome.state is IssuanceState.FAILED and outcome.reason in REFUSED_REASONS:
            self.refused.append((facts, outcome))

    def repeated_refusals(self) -> list[Refusal]:
        """Return the badges of a long series that was refused for one reason, or an empty list."""
        kinds = Counter((outcome.reason, outcome.credly_message) for _, outcome in self.refused)
        for kind, count in kinds.items():
            if count >= MAX_EQUAL_REFUSALS or self.stopped is kind[0]:
                return [each for each in self.refused if (each[1].reason, each[1].credly_message) == kind]
        return []

    def stop(self, reason: Reason) -> None:
        """Make no further calls in this run. A reason that was set before is kept."""
        self.client.access.brake.stop(reason)

    async def id_in_ledger(self) -> int:
        """Return the organization's id in the ledger's database, where an outstanding call's organization is kept."""
        if self.due.id is not None:
            return self.due.id
        names = ("base_url", "organization_id", "token_block", "calls_per_second")
        access = {name: getattr(self.due, name) for name in names}
        stored = await self.run.database.write(organizations.put, **access)
        self.due = replace(self.due, id=stored)
        return stored

    async def confirm(self, *, since: datetime | None = None, sending: bool = False) -> Reason | None:
        """Request the organization itself from Credly. If its token or id is refused, stop it and return the reason.

        Args:
            since: when (UTC) the answer to be confirmed arrived. A confirmation started later counts for it as well, so
                calls that fail together cost one request.
            sending: whether that answer was to a call that changes something. The token then needs write permission.

        Raises:
            CredlyError: the answer says nothing about token and organization.
        """
        async with self._confirming:
            if self.stopped in CONNECTION_REASONS:
                return self.stopped
            if since is not None and self._confirmed_at is not None and self._confirmed_at >= since:
                return None
            began = self.run.now()
            try:
                await self.client.organization()
            except (NotConnected, NotFound) as error:
                # A gateway's 403 or 404 says nothing about the token; a redirect points at a wrong address.
                if not (error.in_credly_form or error.code == "redirected"):
                    raise
                self.stop(Reason.TOKEN_REFUSED if isinstance(error, NotConnected) else Reason.ORGANIZATION_NOT_FOUND)
                return self.stopped
            if sending and await self._may_only_read():
                self.stop(Reason.TOKEN_REFUSED)
                return self.stopped
            self._confirmed_at = began
            return None

    async def ended_by(self, error: CredlyError) -> bool:
        """Return whether an error bars further calls. Any other is about the one badge or template that was read."""
        if isinstance(error, (NotConnected, NotFound)):
            with suppress(CredlyError):
                await self.confirm()
        return self.stopped is not None or isinstance(error, (NotSent, Throttled))

    async def own_token(self) -> AuthorizationToken | None:
        """Return the token in use as Credly describes it, or None."""
        try:
            tokens = await self.client.authorization_tokens()
        except CredlyError:
            # Not every token may list tokens.
            return None
        # Where Credly does not show values, a single token must be the one in use.
        used = self.client.token
        ours = [token for token in tokens if token.token == used] or (tokens if len(tokens) == 1 else [])
        return ours[0] if ours else None

    async def _may_only_read(self) -> bool:
        token = await self.own_token()
        return token is not None and token.write_enabled is False

    async def save_calls(self) -> None:
        """Save the calls that belong to no issuance."""
        records, self.client.log.records = self.client.log.records, []
        rows = [vars(each) for each in records]
        if rows:
            organization_id, run_id = self.due.organization_id, run_ids().flow_run_id
            await self.run.database.write(
                lambda connection: calls.keep(connection, rows, organization_id=organization_id, flow_run_id=run_id)
            )


current_organization: ContextVar[Organization] = ContextVar("laurel_organization")


@asynccontextmanager
async def open_organization(
    run: Run, due: DueOrganization, *, token: SecretStr | None = None
) -> AsyncIterator[Organization]:
    """Open a client for the organization, with this token or the one from its Secret block.

    Raises:
        TokenNotUsable: the block is missing, or its content cannot be a token.
    """
    opened = Organization(
        run=run,
        due=due,
        client=await _client(run, due, token),
        calls_at_once=asyncio.Semaphore(run.settings.calls_at_once),
        badges_at_once=asyncio.Semaphore(BADGES_FOR_A_CALL * run.settings.calls_at_once),
    )
    before = current_organization.set(opened)
    try:
        yield opened
    finally:
        current_organization.reset(before)
        await opened.client.__aexit__()
        await opened.save_calls()


async def _client(run: Run, due: DueOrganization, given: SecretStr | None) -> RecordedClient:
    configured = run.settings

    async def read_token() -> SecretStr | None:
        try:
            return given or await stored_token(due.token_block)
        except TokenNotUsable:
            return None

    access = Access(
        now=run.now,
        limiter=_limiter(run, due),
        brake=Brake(pause_limit=configured.throttle_pause_limit),
        read_token=read_token,
        pause_limit=configured.throttle_pause_limit,
        pause_default=configured.throttle_pause_default,
    )
    token = given or await stored_token(due.token_block)
    try:
        return RecordedClient(
            access,
            base_url=due.base_url,
            organization_id=due.organization_id,
            token=token,
            max_connections=configured.calls_at_once,
            timeouts=Timeouts(read=configured.read_timeout.total_seconds()),
        )
    except ValueError as unusable:
        raise TokenNotUsable(f"Secret block {due.token_block}: {unusable}") from None


def _limiter(run: Run, due: DueOrganization) -> RateLimiter:
    name = rate_limit.key_of(due.base_url, due.organization_id)

    async def reserve(seconds: float, shift: float) -> float:
        return await run.database.write(rate_limit.begin, name, seconds=seconds, later=shift)

    async def pause_all(seconds: float) -> None:
        await run.database.write(rate_limit.pause, name, seconds=seconds)

    return RateLimiter(calls_per_second=due.calls_per_second, reserve=reserve, pause_all=pause_all)


async def stored_token(block_name: str) -> SecretStr:
    try:
        block: Secret[str] = await Secret.aload(block_name)
    except ValueError:
        raise TokenNotUsable(
            f"There is no Prefect Secret block named {block_name}: create it, or connect the portal again."
        ) from None
    value = token_text(block)
    if value is None:
        raise TokenNotUsable(f"The Prefect Secret block {block_name} holds {NO_TEXT}.")
    if not value.strip():
        raise TokenNotUsable(f"The Prefect Secret block {block_name} holds no token.")
    return SecretStr(value.strip())


NO_TEXT = "a JSON value and no text: enter Credly's token there as text"


def token_text(block: "Secret[Any]") -> str | None:
    """Return a block's value as it was entered, or None if it is no text.

    `block.get()` would read a token such as 4711, 1e5 or true as JSON.
    """
    value = block.value.get_secret_value()
    if isinstance(value, str):
        return value[1:-1] if value[1:] and value[0] == value[-1] == '"' else value
    return str(value) if type(value) is int else None
