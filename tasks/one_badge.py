"""Issuing one claimed badge: look up where an answer was unclear, send, and decide what the answer means.

The only way a badge is issued, planned or by hand. Nothing here touches the database: no connection is held
while Credly is being waited for.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from credly.errors import (
    AlreadyIssued,
    AlreadyReplaced,
    CredlyError,
    NotConnected,
    NotFound,
    NotSent,
    Refused,
    Throttled,
    Unclear,
)
from credly.wire import Badge, BadgeRequest
from models.ledger import AttemptKind, AttemptOutcome
from models.recording import Attempt
from rules import outcome
from rules.badge_request import can_be_looked_up
from rules.details import SlowCall
from rules.facts import IssuanceFacts
from rules.outcome import LIVE_STATES, Outcome, WaitPolicy
from rules.reasons import Reason
from tasks.resources import Organization, now

if TYPE_CHECKING:
    from credly.client import CredlyClient

Answer = TypeVar("Answer")
_TRIES_OF_A_CALL = 5
TOKEN_REFUSED = 401
_CHAIN_AT_MOST = 10
LONGEST_CALL = timedelta(minutes=2, seconds=10)  # the client gives a call two minutes in all


@dataclass
class Calls:
    """The calls made for one issuance, each kept as an attempt."""

    organization: Organization
    facts: IssuanceFacts
    request: BadgeRequest
    policy: WaitPolicy
    pause_limit: timedelta
    send_by: datetime
    made: list[Attempt] = field(default_factory=list)

    async def issue(self) -> Badge:
        """Send the badge to Credly, as a new one or in place of the one that it replaces."""
        replaced = self.facts.replaces_badge_id
        if replaced is None:
            return await self._paced(AttemptKind.ISSUE, lambda client: client.issue_badge(self.request), _issued)
        return await self._paced(
            AttemptKind.REPLACE, lambda client: client.replace_badge(replaced, request=self.request), _issued
        )

    async def look_up(self) -> Badge | None:
        """Ask Credly for a badge that already stands for this issuance: by the user's id, then by address."""
        if self.facts.replaces_badge_id is not None:
            return await self._successor(self.facts.replaces_badge_id)
        found = await self._find(issuer_earner_id=self.request.issuer_earner_id)
        if found is None and can_be_looked_up(self.request.recipient_email):
            found = await self._find(recipient_email=self.request.recipient_email)
        return found

    async def _successor(self, badge_id: str) -> Badge | None:
        """Return the badge that has taken the place of this one, the last of the chain, or None."""
        badge = await self._read(badge_id)
        for _ in range(_CHAIN_AT_MOST):
            if badge.replacement_badge_id is None:
                break
            badge = await self._read(badge.replacement_badge_id)
        return None if badge.id == badge_id else badge

    async def _read(self, badge_id: str) -> Badge:
        return await self._paced(AttemptKind.LOOK_UP, lambda client: client.badge(badge_id), _found)

    async def _find(self, *, issuer_earner_id: str | None = None, recipient_email: str | None = None) -> Badge | None:
        async def ask(client: "CredlyClient") -> Badge | None:
            found = await client.find_badges(
                badge_template_id=self.request.badge_template_id,
                issuer_earner_id=issuer_earner_id,
                recipient_email=recipient_email,
                states=LIVE_STATES,
            )
            return outcome.standing_badge(found)

        return await self._paced(AttemptKind.LOOK_UP, ask, _found)

    async def _paced(
        self,
        kind: AttemptKind,
        call: Callable[["CredlyClient"], Awaitable[Answer]],
        told: Callable[[Answer], AttemptOutcome],
    ) -> Answer:
        """Make one call at the organization's pace.

        A near Retry-After is waited out, by everybody; after a refused token the call is made once more if the token's
        block holds another one by now.
        """
        tries = _TRIES_OF_A_CALL
        while True:
            await self.organization.pace.turn()
            if now() >= self.send_by:
                raise NotSent(code="lease_over")
            tries -= 1
            client = self.organization.client
            try:
                return await self._noted(kind, client, call, told)
            except Throttled as throttled:
                pause = self.policy.throttle_pause_default if throttled.retry_after is None else throttled.retry_after
                if pause > self.pause_limit or not tries:
                    raise
                await self.organization.pace.pause(pause)
            except NotConnected as refused:
                if refused.status != TOKEN_REFUSED or not tries or not await self.organization.renew(client):
                    raise

    async def _noted(
        self,
        kind: AttemptKind,
        client: "CredlyClient",
        call: Callable[["CredlyClient"], Awaitable[Answer]],
        told: Callable[[Answer], AttemptOutcome],
    ) -> Answer:
        started_at = now()
        try:
            answer = await call(client)
        except CredlyError as error:
            self._note(kind, _OUTCOME_OF.get(type(error), AttemptOutcome.UNCLEAR), started_at, error)
            if isinstance(error, (NotSent, Unclear)):
                self.organization.note_trouble()
            raise
        self.organization.in_a_row = 0
        self._note(kind, told(answer), started_at, None)
        return answer

    def _note(self, kind: AttemptKind, told: AttemptOutcome, started_at: datetime, error: CredlyError | None) -> None:
        sending = kind is not AttemptKind.LOOK_UP
        self.made.append(
            Attempt(
                issuance_id=self.facts.issuance_id,
                kind=kind,
                outcome=told,
                started_at=started_at,
                duration=now() - started_at,
                status=error.status if error else (201 if sending else 200),
                code=error.code if error else None,
                credly_message=error.credly_message if error else None,
                request_id=error.request_id if error else None,
                request_fingerprint=self.request.fingerprint if sending else None,
                field_names=",".join(self.request.field_names()) if sending else "",
            )
        )


def slow_call(attempt: Attempt) -> SlowCall:
    """Return a call as it is shown among the slowest ones."""
    return SlowCall(attempt.duration, attempt.issuance_id, attempt.kind.value, attempt.outcome.value)


async def issue_one(calls: Calls) -> Outcome:
    """Return what became of this badge. Never sends while an earlier answer is unclear and may still show up."""
    try:
        settled = await _settle_unclear(calls)
    except CredlyError as error:
        return _after_error(calls, error, sent=False)
    if settled is not None:
        return settled
    try:
        return outcome.issued(await calls.issue())
    except CredlyError as error:
        if isinstance(error, Refused) and error.code != "redirected":
            return await _after_refusal(calls, error)
        return _after_error(calls, error, sent=True)


async def _settle_unclear(calls: Calls) -> Outcome | None:
    unclear_at = calls.facts.unclear_at
    if unclear_at is None:
        return None
    found = await calls.look_up()
    if found is not None:
        return outcome.issued(found, adopted=True)
    if not outcome.may_send_again(unclear_at=unclear_at, now=now(), policy=calls.policy):
        return outcome.wait_for_lists(unclear_at, policy=calls.policy)
    return None


async def _after_refusal(calls: Calls, refused: Refused) -> Outcome:
    """A refusal may mean that the badge exists, whatever its text says: look, then decide (section 10)."""
    try:
        found = await calls.look_up()
        if found is not None:
            return outcome.issued(found, adopted=True)
        if isinstance(refused, AlreadyIssued):
            return outcome.failed(Reason.DUPLICATE_ELSEWHERE, credly_message=refused.credly_message)
        template_fault = await fault_of_template(calls.organization, calls.request.badge_template_id)
    except CredlyError as error:
        return _after_error(calls, error, sent=False)
    if template_fault is not None:
        return outcome.blocked(template_fault)
    return outcome.failed(Reason.REFUSED_BY_CREDLY, credly_message=refused.credly_message)


async def fault_of_template(organization: Organization, badge_template_id: str) -> Reason | None:
    """Return why Credly cannot issue this template now, or None. Raises what the call raised, but not NotFound."""
    await organization.pace.turn()
    try:
        template = await organization.client.template(badge_template_id)
    except NotFound:
        return Reason.TEMPLATE_NOT_FOUND
    return None if template.state in ("active", None) else Reason.TEMPLATE_NOT_ACTIVE


def _after_error(calls: Calls, error: CredlyError, *, sent: bool) -> Outcome:
    after = outcome.after_error(error, sent=sent, attempts=calls.facts.attempts, now=now(), policy=calls.policy)
    if after.reason in _STOPPING:
        calls.organization.stop(after.reason)
    return after


def _issued(_badge: Badge) -> AttemptOutcome:
    return AttemptOutcome.ISSUED


def _found(badge: Badge | None) -> AttemptOutcome:
    return AttemptOutcome.NOT_FOUND if badge is None else AttemptOutcome.FOUND


_STOPPING = (Reason.TOKEN_REFUSED, Reason.ORGANIZATION_NOT_FOUND)
_OUTCOME_OF = {
    NotSent: AttemptOutcome.NOT_SENT,
    Throttled: AttemptOutcome.THROTTLED,
    Refused: AttemptOutcome.REFUSED,
    AlreadyIssued: AttemptOutcome.REFUSED,
    AlreadyReplaced: AttemptOutcome.REFUSED,
    NotConnected: AttemptOutcome.NOT_CONNECTED,
    NotFound: AttemptOutcome.NOT_CONNECTED,
}
