"""The Credly client of every flow: rate limited, with throttling, token renewal and a log of its calls.

All of it wraps the one method that sends a request, including each further page of a list, so no caller can bypass it.
"""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self, TypeVar

from pydantic import SecretStr

from credly.client import HAS_NO_END, CredlyClient
from credly.errors import CredlyError, NotConnected, NotFound, NotSent, Refused, Throttled, Unclear
from credly.replies import Call, Reply
from credly.wire import Badge, BadgeRequest
from models.ledger.recording import Attempt
from models.ledger.tables import AttemptKind, AttemptOutcome
from rules.monitoring.brake import UNAUTHORIZED, Brake
from tasks.runtime.rate_limiter import RateLimiter

# How each call that changes something is recorded. All others are look-ups.
_SENDING = {
    "issue_badge": (AttemptKind.ISSUE, AttemptOutcome.ISSUED),
    "replace_badge": (AttemptKind.REPLACE, AttemptOutcome.ISSUED),
    "revoke_badge": (AttemptKind.REVOKE, AttemptOutcome.REVOKED),
    "delete_badge": (AttemptKind.REVOKE, AttemptOutcome.REVOKED),
}
_LOOK_UP = (AttemptKind.LOOK_UP, AttemptOutcome.FOUND)
# An error answer to these does not prove that nothing was made, so they are never repeated without a look-up.
_MADE_ONCE = ("issue_badge", "replace_badge", "create_token")
_OUTCOMES = (
    (NotSent, AttemptOutcome.NOT_SENT),
    (Throttled, AttemptOutcome.THROTTLED),
    (Refused, AttemptOutcome.REFUSED),
    (NotConnected, AttemptOutcome.NOT_CONNECTED),
    (NotFound, AttemptOutcome.NOT_FOUND),
)
# For one request that is safe to repeat.
_TRIES = 5
Answer = TypeVar("Answer")


@dataclass(kw_only=True)
class CallRecord:
    """One call as recorded, without personal data. The pages of a list count as one call. Times in UTC."""

    operation: str
    outcome: AttemptOutcome
    started_at: datetime
    duration: timedelta
    status: int | None = None
    code: str | None = None
    credly_message: str | None = None
    request_id: str | None = None
    credly_request_id: str | None = None
    requests: int = 1


@dataclass
class CallLog:
    """The calls made for one purpose, in order. No call starts after `send_by` (UTC)."""

    records: list[CallRecord] = field(default_factory=list)
    send_by: datetime | None = None

    @property
    def ended_at(self) -> datetime | None:
        return self.records[-1].started_at + self.records[-1].duration if self.records else None

    def add(self, record: CallRecord, *, continues: bool) -> None:
        """Add a call. A further page of a list is merged into the pages before it."""
        last = self.records[-1] if self.records else None
        if continues and last is not None and last.operation == record.operation and last.code is None:
            record.requests += last.requests
            record.duration += record.started_at - last.started_at
            record.started_at = last.started_at
            self.records.pop()
        self.records.append(record)


@dataclass(kw_only=True)
class Access:
    """What all calls to one organization share in a run. `now` returns the current time in UTC."""

    now: Callable[[], datetime]
    limiter: RateLimiter
    brake: Brake
    read_token: Callable[[], Awaitable[SecretStr | None]]
    pause_limit: timedelta
    pause_default: timedelta
    renewing: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)


class RecordedClient(CredlyClient):
    """One organization at Credly, with the promises of docs/explanation/reliability.md kept for each request.

    A request waits for the rate limiter. After a 429 all processes wait for the Retry-After, and the request is
    repeated if it cannot have changed anything. After a 401 the token is read again from its block. Nothing is sent
    once the organization is stopped in this run or the log's `send_by` has passed.

    Raises:
        NotSent: besides its other causes, with the code `stopped` or `lease_over`.
    """

    def __init__(self, access: Access, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.access = access
        self.log = CallLog()

    def recording(self, log: CallLog) -> Self:
        """Return this client with another log. Connections, token and rate limiter are shared."""
        view = copy.copy(self)
        view.log = log
        return view

    async def find_badges(self, **filters: Any) -> list[Badge]:
        # A list without end answers each page well, so only here does the brake see it fail.
        try:
            found = await super().find_badges(**filters)
        except Unclear as error:
            if error.code in HAS_NO_END:
                self.access.brake.note_look_up(has_end=False)
            raise
        self.access.brake.note_look_up(has_end=True)
        return found

    async def _send(
        self, method: str, path: str, *, call: Call, read: Callable[[Reply], Answer], **request: Any
    ) -> Answer:
        tries = _TRIES
        while True:
            await self._wait_until_allowed(call)
            token, started_at, tries = self.token, self.access.now(), tries - 1
            try:
                reply, answer = await super()._send(
                    method, path, call=call, read=lambda reply: (reply, read(reply)), **request
                )
            except CredlyError as error:
                self._record(call, started_at, error=error)
                pause, ended_at = self._pause_after(error), self.access.now()
                self.access.brake.note(
                    error, operation=call.operation, started_at=started_at, now=ended_at, pause=pause
                )
                recovered = await self._recover(error, pause=pause, token=token)
                if not recovered or not tries or call.operation in _MADE_ONCE:
                    raise
            else:
                self._record(call, started_at, reply=reply)
                self.access.brake.note(None, operation=call.operation, started_at=started_at, now=self.access.now())
                return answer

    async def _wait_until_allowed(self, call: Call) -> None:
        if self.access.brake.stopped is None:
            await self.access.limiter.acquire()
        # Another call may have stopped the organization during the wait.
        if self.access.brake.stopped is not None:
            raise NotSent(code="stopped", operation=call.operation)
        if self.log.send_by is not None and self.access.now() >= self.log.send_by:
            raise NotSent(code="lease_over", operation=call.operation)

    def _pause_after(self, error: CredlyError) -> timedelta:
        if not isinstance(error, Throttled):
            return timedelta(0)
        return self.access.pause_default if error.retry_after is None else error.retry_after

    async def _recover(self, error: CredlyError, *, pause: timedelta, token: SecretStr) -> bool:
        """Wait out throttling or renew the token. Returns whether repeating the request makes sense."""
        if isinstance(error, Throttled):
            if pause > self.access.pause_limit or self.access.brake.stopped is not None:
                return False
            await self.access.limiter.pause(pause)
            return True
        if isinstance(error, NotConnected) and error.status == UNAUTHORIZED:
            return await self._renew(token)
        return False

    async def _renew(self, refused: SecretStr) -> bool:
        # An operator may replace the token during a run, which then continues with the new one.
        async with self.access.renewing:
            # Another call has renewed it in the meantime.
            if self.token != refused:
                return True
            token = await self.access.read_token()
            if token is None or token == refused:
                return False
            try:
                self.use_token(token)
            except ValueError:
                return False
            return True

    def _record(
        self, call: Call, started_at: datetime, *, reply: Reply | None = None, error: CredlyError | None = None
    ) -> None:
        answered: Reply | CredlyError | None = error or reply
        record = CallRecord(
            operation=call.operation,
            outcome=_outcome_of(call, error),
            started_at=started_at,
            duration=self.access.now() - started_at,
            status=answered.status if answered else None,
            code=error.code if error else None,
            credly_message=error.credly_message if error else None,
            request_id=call.request_id,
            credly_request_id=answered.credly_request_id if answered else None,
        )
        self.log.add(record, continues=call.continues)


def _outcome_of(call: Call, error: CredlyError | None) -> AttemptOutcome:
    if error is None:
        return _SENDING.get(call.operation, _LOOK_UP)[1]
    return next((outcome for kind, outcome in _OUTCOMES if isinstance(error, kind)), AttemptOutcome.UNCLEAR)


def attempts_of(log: CallLog, *, issuance_id: int, request: BadgeRequest | None = None) -> list[Attempt]:
    """Convert the calls of an issuance into rows of the ledger, with the names of the fields that were sent."""
    return [_attempt(issuance_id, request, **vars(record)) for record in log.records]


def _attempt(issuance_id: int, request: BadgeRequest | None, *, operation: str, requests: int, **kept: Any) -> Attempt:
    del requests
    sent = request if operation in _MADE_ONCE else None
    return Attempt(
        issuance_id=issuance_id,
        kind=_SENDING.get(operation, _LOOK_UP)[0],
        request_fingerprint=sent.fingerprint if sent else None,
        field_names=",".join(sent.field_names()) if sent else "",
        **kept,
    )


def correct_last(log: CallLog, outcome: AttemptOutcome, *, code: str | None = None) -> None:
    """Replace the outcome of the last call after its answer was examined."""
    if log.records:
        log.records[-1] = replace(log.records[-1], outcome=outcome, code=code)
