"""Issuing one claimed badge: look up after an unclear answer, send, and interpret the answer.

Every badge is issued here, scheduled or by hand. No database connection is held during a call to Credly.
"""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from credly.errors import AlreadyIssued, CredlyError, NotConnected, NotFound, NotSent, Refused, Unclear
from credly.wire import Badge, BadgeRequest, is_id
from models.ledger.history import is_for_a_name
from models.ledger.recording import Attempt, owned_by_others
from models.ledger.tables import AttemptOutcome
from rules.badge.issuance_data import IssuanceFacts
from rules.badge.request import can_be_looked_up, fault_of_email
from rules.ledger import outcome
from rules.ledger.adoption import Expected, has_another_address, leaves_open, names_another, own_badges
from rules.ledger.outcome import ENDED_STATES, LIVE_STATES, Outcome
from rules.ledger.reasons import Reason
from rules.monitoring.brake import UNAUTHORIZED
from tasks.runtime.organization import Organization
from tasks.runtime.recorded_client import CallLog, RecordedClient, attempts_of, correct_last
from tasks.runtime.run import Run

_MAX_SUCCESSORS = 10
# Credly's lists lag; a longer lag than this is left to the next run.
_LONGEST_LIST_WAIT = timedelta(seconds=5)
# In a row, each answered by an error and then not found at Credly.
_MAX_SENDS = 3
# The client ends a call after two minutes.
LONGEST_CALL = timedelta(minutes=2, seconds=10)


@dataclass
class Calls:
    """The calls for one issuance. No call starts after `send_by` (UTC).

    `request` is None where nothing can be sent: then an earlier call is only looked up. `unclear_at` is the time (UTC)
    of an unclear answer, after which the badge may exist.
    """

    run: Run
    organization: Organization
    facts: IssuanceFacts
    request: BadgeRequest | None
    send_by: datetime
    expected: BadgeRequest | Expected = field(init=False, repr=False)
    unclear_at: datetime | None = field(init=False)
    replaces: str | None = field(init=False)
    log: CallLog = field(init=False)
    client: RecordedClient = field(init=False)

    def __post_init__(self) -> None:
        self.expected = self.request or _expected(self.facts)
        self.unclear_at = self.facts.unclear_at
        self.replaces = self.facts.replaces_badge_id
        self.log = CallLog(send_by=self.send_by)
        self.client = self.organization.client.recording(self.log)

    async def send(self, request: BadgeRequest) -> Outcome:
        """Issue a new badge, or replace an earlier one.

        Raises:
            CredlyError: the badge may have been made, unless it is a NotSent.
        """
        if self.replaces is None:
            badge = await self.client.issue_badge(request)
        else:
            badge = await self.client.replace_badge(self.replaces, request=request)
        if names_another(badge, request) or badge.id == self.replaces:
            error = Unclear(code="another_badge", operation="issue_badge")
            correct_last(self.log, AttemptOutcome.UNCLEAR, code=error.code)
            raise error
        former_address = self.replaces is not None and has_another_address(badge, request)
        return outcome.issued(badge, former_address=former_address)

    async def look_up(self) -> Badge | None:
        """Return the badge that this issuance already has at Credly, found by the user's id, else by address.

        For a replacement: the last successor of the badge to be replaced. If that badge was deleted, revoked or
        rejected at Credly, the issuance becomes an ordinary one. An id or address to which no badge is ever sent
        (`prepare_request`) is not asked for: Credly's filter may be unable to express it.
        """
        if self.replaces is not None:
            successor = await self._successor(self.replaces)
            if self.replaces is not None:
                return successor
        found, user_id, email = None, self.expected.issuer_earner_id, self.expected.recipient_email
        if can_be_looked_up(user_id):
            found = await self._find(issuer_earner_id=user_id)
        if found is None and email and fault_of_email(email) is None and can_be_looked_up(email):
            found = await self._find(recipient_email=email)
        return found

    async def _successor(self, badge_id: str) -> Badge | None:
        """Return the last successor of a badge.

        Raises:
            CredlyError: it could not be read. Unclear: a badge in the chain is incomplete or another earner's, or the
                chain has no end.
        """
        chain = [badge_id]
        while len(chain) <= _MAX_SUCCESSORS:
            try:
                badge = await self.client.badge(chain[-1])
            except NotFound as error:
                # In another organization than that which issued it, a badge that stands is not found either.
                if not error.in_credly_form or self.facts.issued_by not in (None, self.organization.due.id):
                    raise
                self.replaces = None
                return None
            following = badge.replacement_badge_id
            # The first one is known by its id: it may be of another earner, whose award has moved.
            if badge.state is None or (badge.id != badge_id and names_another(badge, self.expected)):
                break
            if following is None:
                if badge.id != badge_id:
                    return badge
                if badge.state not in ENDED_STATES:
                    return None
                # Credly replaces no such badge, so it is issued again. For a corrected name it stays: its earner did
                # not want it, or somebody took it back, and nothing was earned since.
                if await self.run.database.read(is_for_a_name, self.facts.issuance_id):
                    return badge
                self.replaces = None
                return None
            if following in chain or not is_id(following):
                break
            chain.append(following)
        raise Unclear(code="successor_unclear", operation="badge")

    async def _find(self, *, issuer_earner_id: str | None = None, recipient_email: str | None = None) -> Badge | None:
        found = await self.client.find_badges(
            badge_template_id=self.expected.badge_template_id,
            issuer_earner_id=issuer_earner_id,
            recipient_email=recipient_email,
            states=LIVE_STATES,
        )
        if leaves_open(found, request=self.expected):
            raise Unclear(code="incomplete_rows", operation="find_badges")
        own = own_badges(found, request=self.expected, sent_at=self.facts.sent_at or self.unclear_at or self.run.now())
        if any(badge.id == self.facts.replaces_badge_id for badge in own):
            # Deleted according to one answer, but still listed in this one: the list may lag.
            raise Unclear(code="successor_unclear", operation="find_badges")
        # Without the user's id a badge at the same address may belong to another issuance.
        if own:
            ids, issuance_id = [badge.id for badge in own], self.facts.issuance_id
            others = await self.run.database.read(owned_by_others, issuance_id, ids)
            own = [badge for badge in own if badge.id not in others]
        if not own:
            correct_last(self.log, AttemptOutcome.NOT_FOUND)
        return own[0] if own else None

    def pauses_too_long(self, error: CredlyError) -> bool:
        # The client waits out a short Retry-After; after a longer one nothing more is sent in this run.
        too_long = error.retry_after is not None and error.retry_after > self.client.access.pause_limit
        return too_long or self.organization.stopped is not None

    def attempts(self) -> list[Attempt]:
        return attempts_of(self.log, issuance_id=self.facts.issuance_id, request=self.request)


def _expected(facts: IssuanceFacts) -> Expected:
    return Expected(
        badge_template_id=facts.badge_template_id,
        issuer_earner_id=facts.user_id,
        recipient_email=(facts.email or "").strip() or None,
        issued_at=facts.awarded_at,
    )


async def issue_one(calls: Calls, hindrance: Outcome | None = None) -> Outcome:
    """Issue the badge and return the outcome. Never sends while an earlier call may still turn out to have made it.

    `hindrance` is the outcome if an earlier call made no badge, where nothing may be sent any more.
    """
    times_sent, settled = 0, calls.unclear_at is not None
    while True:
        try:
            found = await _settle_unclear(calls)
        except CredlyError as error:
            return replace(await _after_look_up(calls, error), unclear=times_sent > 0)
        if found is not None:
            return replace(found, unclear=found.badge is None and times_sent > 0)
        if hindrance is not None or calls.request is None:
            return replace(hindrance or outcome.to_be_planned(), settled=settled)
        times_sent += 1
        try:
            return await calls.send(calls.request)
        except CredlyError as error:
            ended = await _after_sending(calls, error, last=times_sent == _MAX_SENDS)
        if ended is not None:
            return replace(ended, settled=settled)


async def _settle_unclear(calls: Calls) -> Outcome | None:
    """Look up what an earlier call may have made. None: it made nothing, so the badge may be sent."""
    if calls.unclear_at is None:
        return None
    found = await calls.look_up()
    if found is not None:
        return outcome.issued(found, adopted=True)
    if not outcome.may_send_again(unclear_at=calls.unclear_at, now=calls.run.now(), policy=calls.run.wait_policy):
        return outcome.wait_for_lists(calls.unclear_at, policy=calls.run.wait_policy)
    return None


async def _after_sending(calls: Calls, error: CredlyError, *, last: bool) -> Outcome | None:
    """Interpret the error of a call to issue. None: look the badge up, then send it again."""
    # Whatever the status, the badge may have been made unless the request never left (Credly API notes, section 9).
    if isinstance(error, Refused):
        return await _after_refusal(calls, error)
    failed_at = calls.log.ended_at or calls.run.now()
    if isinstance(error, (NotConnected, NotFound)):
        try:
            fault = await calls.organization.confirm(since=failed_at, sending=True)
        except CredlyError:
            return _wait_outcome(calls, error)
        if fault is not None:
            return outcome.blocked(fault, unclear=True)
        if error.in_credly_form and error.status != UNAUTHORIZED:
            return await _after_refusal(calls, error)
    # Throttling was waited out or the token renewed: continue once Credly's lists had time to show a badge that may
    # have been made. An unclear answer is left to the retries of the task run, which have growing delays.
    until_shown = failed_at + calls.run.wait_policy.lookup_grace - calls.run.now()
    if (
        isinstance(error, (NotSent, Unclear))
        or calls.pauses_too_long(error)
        or last
        or until_shown > _LONGEST_LIST_WAIT
    ):
        return _wait_outcome(calls, error)
    await asyncio.sleep(max(until_shown.total_seconds(), 0))
    calls.unclear_at = failed_at
    return None


def _wait_outcome(calls: Calls, error: CredlyError, *, sent: bool = True) -> Outcome:
    attempts, policy = calls.facts.attempts, calls.run.wait_policy
    return outcome.after_error(error, sent=sent, attempts=attempts, now=calls.run.now(), policy=policy)


async def _after_refusal(calls: Calls, refused: CredlyError) -> Outcome | None:
    # A refusal may mean that the badge exists, whatever its text (Credly API notes, section 10).
    replaced = calls.replaces
    try:
        found = await calls.look_up()
        if found is not None:
            return outcome.issued(found, adopted=True)
        if replaced is not None and calls.replaces is None:
            # The badge to be replaced does not stand any more, and has no successor.
            calls.unclear_at = None
            return None
        if isinstance(refused, AlreadyIssued):
            message = refused.credly_message
            return outcome.failed(Reason.DUPLICATE_ELSEWHERE, credly_message=message, unclear=True)
        template_fault = await fault_of_template(calls.organization, calls.expected.badge_template_id)
    except CredlyError as error:
        return replace(await _after_look_up(calls, error), unclear=True)
    # The list may lag, so the next try begins with a look-up; refusals are rare enough for its cost.
    if template_fault is not None:
        return outcome.blocked(template_fault, unclear=True)
    reason = Reason.NOT_PERMITTED if isinstance(refused, NotConnected) else Reason.REFUSED_BY_CREDLY
    return outcome.failed(reason, credly_message=refused.credly_message, unclear=True)


async def _after_look_up(calls: Calls, error: CredlyError) -> Outcome:
    """Interpret the error of a call that changes nothing at Credly."""
    if isinstance(error, (NotConnected, NotFound)):
        try:
            fault = await calls.organization.confirm(since=calls.log.ended_at)
        except CredlyError:
            fault = None
        if fault is not None:
            return outcome.blocked(fault)
    return _wait_outcome(calls, error, sent=False)


async def fault_of_template(organization: Organization, badge_template_id: str) -> Reason | None:
    """Return why Credly cannot issue this template now, or None.

    Raises:
        CredlyError: the template could not be read.
    """
    try:
        template = await organization.client.template(badge_template_id)
    except NotFound as error:
        if not error.in_credly_form:
            raise
        return Reason.TEMPLATE_NOT_FOUND
    return None if template.state in ("active", None) else Reason.TEMPLATE_NOT_ACTIVE
