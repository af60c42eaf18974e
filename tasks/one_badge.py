"""Issuing one claimed badge: look up where an answer was unclear, send, and decide what the answer means.

The only way a badge is issued, planned or by hand. No database connection is held while Credly is being waited for.
"""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from credly.errors import AlreadyIssued, CredlyError, NotConnected, NotFound, NotSent, Refused, Unclear
from credly.wire import Badge, BadgeRequest, is_id
from models.ledger.recording import Attempt, owned_by_others
from models.ledger.tables import AttemptOutcome
from rules import outcome
from rules.adoption import Expected, has_another_address, leaves_open, names_another, own_badges
from rules.badge_request import can_be_looked_up
from rules.facts import IssuanceFacts
from rules.monitoring.brake import TOKEN_REFUSED
from rules.outcome import LIVE_STATES, Outcome
from rules.reasons import Reason
from tasks.runtime.organization import Organization
from tasks.runtime.recorded_client import CallLog, RecordedClient, attempts_of, correct
from tasks.runtime.run import Run

_CHAIN_AT_MOST = 10
_WAITED_OUT = timedelta(seconds=5)  # a longer lag of lists is left to the next run
_SENT_AT_MOST = 3  # in a row, each answered by an error and then not found at Credly
LONGEST_CALL = timedelta(minutes=2, seconds=10)  # the client gives a call two minutes in all


@dataclass
class Calls:
    """The calls for one issuance; none is begun after `send_by` (UTC).

    `request` is what would be sent, None where nothing can be: then an earlier call is looked up, and nothing is sent.
    `unclear_at`: since when (UTC) an answer is outstanding that may have made the badge.
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
        """Issue the badge, as a new one or in place of the one that it replaces.

        Raises:
            CredlyError: the badge may have been made, unless it is a NotSent.
        """
        if self.replaces is None:
            badge = await self.client.issue_badge(request)
        else:
            badge = await self.client.replace_badge(self.replaces, request=request)
        if names_another(badge, request) or badge.id == self.replaces:
            error = Unclear(code="another_badge", operation="issue_badge")
            correct(self.log, AttemptOutcome.UNCLEAR, code=error.code)
            raise error
        former_address = self.replaces is not None and has_another_address(badge, request)
        return outcome.issued(badge, former_address=former_address)

    async def look_up(self) -> Badge | None:
        """Return the badge that this issuance has at Credly already: by the user's id, else by address.

        Where it replaces a badge: the last of that one's successors. If that one was erased at Credly, nothing is
        replaced any more.
        """
        if self.replaces is not None:
            successor = await self._successor(self.replaces)
            if self.replaces is not None:
                return successor
        found, email = await self._find(issuer_earner_id=self.expected.issuer_earner_id), self.expected.recipient_email
        if found is None and email and can_be_looked_up(email):
            found = await self._find(recipient_email=email)
        return found

    async def _successor(self, badge_id: str) -> Badge | None:
        """Return the last successor of a badge.

        Raises:
            CredlyError: it was not learnt; Unclear also where a badge does not say what it is, or the chain leads to
                another earner's or has no end.
        """
        chain = [badge_id]
        while len(chain) <= _CHAIN_AT_MOST:
            try:
                badge = await self.client.badge(chain[-1])
            except NotFound as error:
                if not error.in_credly_form:
                    raise
                self.replaces = None
                return None
            following = badge.replacement_badge_id
            # The first one is known by its id: it may be of another earner, whose award has moved.
            if badge.state is None or (badge.id != badge_id and names_another(badge, self.expected)):
                break
            if following is None:
                return None if badge.id == badge_id else badge
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
            # Erased by one answer, and standing by this one: the list may lag.
            raise Unclear(code="successor_unclear", operation="find_badges")
        if own:
            ids, issuance_id = [badge.id for badge in own], self.facts.issuance_id
            others = await self.run.database.read(owned_by_others, issuance_id, ids)
            own = [badge for badge in own if badge.id not in others]
        if not own:
            correct(self.log, AttemptOutcome.NOT_FOUND)
        return own[0] if own else None

    def pauses_too_long(self, error: CredlyError) -> bool:
        """Say whether nothing more is sent in this run, after this error of a call to issue."""
        too_long = error.retry_after is not None and error.retry_after > self.client.access.pause_limit
        return too_long or self.organization.stopped is not None

    def attempts(self) -> list[Attempt]:
        """Return the calls as the ledger keeps them."""
        return attempts_of(self.log, issuance_id=self.facts.issuance_id, request=self.request)


def _expected(facts: IssuanceFacts) -> Expected:
    return Expected(
        badge_template_id=facts.badge_template_id,
        issuer_earner_id=facts.user_id,
        recipient_email=(facts.email or "").strip() or None,
        issued_at=facts.awarded_at,
    )


async def issue_one(calls: Calls, hindrance: Outcome | None = None) -> Outcome:
    """Return what became of this badge. Never sends while an earlier answer is unclear and may still show up.

    `hindrance` is what becomes of it where an earlier call has made no badge, as none may be sent any more.
    """
    times_sent, settled = 0, calls.unclear_at is not None
    while True:
        try:
            found = await _settle(calls)
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
            ended = await _after_sending(calls, error, last=times_sent == _SENT_AT_MOST)
        if ended is not None:
            return replace(ended, settled=settled)


async def _settle(calls: Calls) -> Outcome | None:
    """Look up what an earlier call may have made; None: it made nothing, and the badge may be sent."""
    if calls.unclear_at is None:
        return None
    found = await calls.look_up()
    if found is not None:
        return outcome.issued(found, adopted=True)
    if not outcome.may_send_again(unclear_at=calls.unclear_at, now=calls.run.now(), policy=calls.run.wait_policy):
        return outcome.wait_for_lists(calls.unclear_at, policy=calls.run.wait_policy)
    return None


async def _after_sending(calls: Calls, error: CredlyError, *, last: bool) -> Outcome | None:
    """Return what the error of the call to issue means; None: look the badge up, then send it again.

    The badge may have been made whatever the status, unless the request did not leave (Credly API notes, section 9).
    """
    if isinstance(error, Refused):
        return await _after_refusal(calls, error)
    failed_at = calls.log.ended_at or calls.run.now()
    if isinstance(error, (NotConnected, NotFound)):
        try:
            fault = await calls.organization.confirm(since=failed_at, sending=True)
        except CredlyError:
            return _wait(calls, error)
        if fault is not None:
            return outcome.blocked(fault, unclear=True)
        if error.in_credly_form and error.status != TOKEN_REFUSED:
            return await _after_refusal(calls, error)
    # Throttling was waited out, the token renewed: go on, if lists have had the time to show what may have been made.
    # What was unclear is tried again by the task run, with a growing delay.
    until_shown = failed_at + calls.run.wait_policy.lookup_grace - calls.run.now()
    if isinstance(error, (NotSent, Unclear)) or calls.pauses_too_long(error) or last or until_shown > _WAITED_OUT:
        return _wait(calls, error)
    await asyncio.sleep(max(until_shown.total_seconds(), 0))
    calls.unclear_at = failed_at
    return None


def _wait(calls: Calls, error: CredlyError, *, sent: bool = True) -> Outcome:
    attempts, policy = calls.facts.attempts, calls.run.wait_policy
    return outcome.after_error(error, sent=sent, attempts=attempts, now=calls.run.now(), policy=policy)


async def _after_refusal(calls: Calls, refused: CredlyError) -> Outcome | None:
    """A refusal may mean that the badge exists, whatever its text: look, then decide (section 10)."""
    replaced = calls.replaces
    try:
        found = await calls.look_up()
        if found is not None:
            return outcome.issued(found, adopted=True)
        if replaced is not None and calls.replaces is None:
            calls.unclear_at = None  # the badge to be replaced was erased, so nothing has replaced it
            return None
        if isinstance(refused, AlreadyIssued):
            said = refused.credly_message
            return outcome.failed(Reason.DUPLICATE_ELSEWHERE, credly_message=said, unclear=True)
        template_fault = await fault_of_template(calls.organization, calls.expected.badge_template_id)
    except CredlyError as error:
        return replace(await _after_look_up(calls, error), unclear=True)
    # The list may lag: whoever tries again begins with a look-up, which costs little where badges are refused.
    if template_fault is not None:
        return outcome.blocked(template_fault, unclear=True)
    reason = Reason.NOT_PERMITTED if isinstance(refused, NotConnected) else Reason.REFUSED_BY_CREDLY
    return outcome.failed(reason, credly_message=refused.credly_message, unclear=True)


async def _after_look_up(calls: Calls, error: CredlyError) -> Outcome:
    """Return what an error means of a call that changes nothing at Credly."""
    if isinstance(error, (NotConnected, NotFound)):
        try:
            fault = await calls.organization.confirm(since=calls.log.ended_at)
        except CredlyError:
            fault = None
        if fault is not None:
            return outcome.blocked(fault)
    return _wait(calls, error, sent=False)


async def fault_of_template(organization: Organization, badge_template_id: str) -> Reason | None:
    """Return why Credly cannot issue this template now, or None.

    Raises:
        CredlyError: nothing was learnt of the template.
    """
    try:
        template = await organization.client.template(badge_template_id)
    except NotFound as error:
        if not error.in_credly_form:
            raise
        return Reason.TEMPLATE_NOT_FOUND
    return None if template.state in ("active", None) else Reason.TEMPLATE_NOT_ACTIVE
