"""The outcome of a call for an issuance: next state, reason and wait (Credly API notes, sections 8-10)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from credly.errors import CredlyError, NotSent, Throttled
from rules.ledger.reasons import CANCELLED_REASONS, REFUSED_REASONS, TEMPLATE_REASONS, Reason
from rules.ledger.states import IssuanceState

if TYPE_CHECKING:
    from credly.wire import Badge

LIVE_STATES = ("pending", "accepted")
ENDED_STATES = ("revoked", "rejected")
LONGEST_WAIT = timedelta(days=1)
NOT_BEGUN = ("stopped", "lease_over")  # codes of calls that were abandoned before their request was made


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The next state of an issuance, with the reason.

    `unclear`: a badge may have been made, so that it is looked up before anything is sent again.
    `settled`: an earlier call whose outcome was unknown has made no badge.
    `former_address`: the badge replaces one with another address, and was sent to that one.
    """

    state: IssuanceState
    reason: Reason | None = None
    badge: "Badge | None" = None
    adopted: bool = False
    not_before: datetime | None = None
    credly_message: str | None = None
    unclear: bool = False
    uses_attempt: bool = True
    former_address: bool = False
    settled: bool = False

    @property
    def keeps_call_open(self) -> bool | None:
        """Whether a call stays outstanding that may have made a badge; None: unchanged."""
        # After a refusal the badge was looked up, so that no call is outstanding.
        if self.badge is not None or self.reason in (*REFUSED_REASONS, *TEMPLATE_REASONS):
            return False
        return True if self.unclear else False if self.settled else None


@dataclass(frozen=True, kw_only=True)
class WaitPolicy:
    """Waits and numbers of attempts; from the settings."""

    lookup_grace: timedelta
    try_again_after: timedelta
    throttle_pause_default: timedelta
    attempts_in_a_run: int = 1
    attempts_limit: int = 1_000_000


def issued(badge: "Badge", *, adopted: bool = False, former_address: bool = False) -> Outcome:
    """Credly has the badge: issued by this call, or `adopted` from an earlier one."""
    return Outcome(state=IssuanceState.ISSUED, badge=badge, adopted=adopted, former_address=former_address)


def failed(reason: Reason, *, credly_message: str | None = None, unclear: bool = False) -> Outcome:
    """No further attempt until an operator has removed the cause."""
    return Outcome(state=IssuanceState.FAILED, reason=reason, credly_message=credly_message, unclear=unclear)


def to_be_planned() -> Outcome:
    """Back to pending: the settings have changed since it was planned, so it has to be planned again."""
    return Outcome(state=IssuanceState.PENDING, uses_attempt=False)


def not_sendable(reason: Reason, *, not_before: datetime | None = None) -> Outcome:
    """Nothing can be sent: cancelled where the integration or award is gone, failed where the data is wrong.

    An award whose moment (`not_before`) has not come waits for it.
    """
    if reason is Reason.AWARDED_IN_FUTURE:
        return Outcome(state=IssuanceState.PENDING, reason=reason, not_before=not_before, uses_attempt=False)
    if reason in CANCELLED_REASONS:
        return Outcome(state=IssuanceState.CANCELLED, reason=reason, uses_attempt=False)
    return Outcome(state=IssuanceState.FAILED, reason=reason, uses_attempt=False)


def blocked(reason: Reason, *, unclear: bool = False) -> Outcome:
    """Waits for the portal, its token or its template; uses up no attempt."""
    return Outcome(state=IssuanceState.BLOCKED, reason=reason, uses_attempt=False, unclear=unclear)


def after_error(error: CredlyError, *, sent: bool, attempts: int, now: datetime, policy: WaitPolicy) -> Outcome:
    """Return the outcome of a call that ended in `error`: pending, with a wait.

    `sent`: whether the call was the one to issue. Only that one can have made a badge, whatever its status. `attempts`
    are those made before, `now` is UTC. The caller confirms refusals of the token, the organization or the badge by
    another call before they are final.
    """
    match error:
        case NotSent() if error.code in NOT_BEGUN:
            return Outcome(state=IssuanceState.PENDING, uses_attempt=False)
        case NotSent():
            return try_later(Reason.NOT_REACHABLE, attempts=attempts, now=now, policy=policy)
        case Throttled():
            pause = error.retry_after if error.retry_after is not None else policy.throttle_pause_default
            # After a throttled POST the badge is looked up, and lists may show a new badge late.
            wait = max(pause, policy.lookup_grace) if sent else pause
            return Outcome(
                state=IssuanceState.PENDING,
                reason=Reason.THROTTLED,
                not_before=now + wait,
                uses_attempt=False,
                unclear=sent,
            )
        case _ if sent:
            return try_later(Reason.ANSWER_UNCLEAR, attempts=attempts, now=now, policy=policy, unclear=True)
        case _:
            return try_later(Reason.LOOK_UP_FAILED, attempts=attempts, now=now, policy=policy)


def try_later(reason: Reason, *, attempts: int, now: datetime, policy: WaitPolicy, unclear: bool = False) -> Outcome:
    """Back to pending, with a wait that doubles from run to run, up to a day; failed after too many attempts."""
    if attempts + 1 >= policy.attempts_limit:
        return Outcome(state=IssuanceState.FAILED, reason=Reason.ATTEMPTS_USED_UP, unclear=unclear)
    # By runs, not by attempts: the attempts within one run follow each other at once.
    wait = growing_wait(policy.try_again_after, runs=attempts // policy.attempts_in_a_run)
    if unclear:
        wait = max(wait, policy.lookup_grace)
    return Outcome(state=IssuanceState.PENDING, reason=reason, not_before=now + wait, unclear=unclear)


def wait_for_lists(unclear_at: datetime, *, policy: WaitPolicy) -> Outcome:
    """No badge was found, but Credly's lists may lag: look it up again after the grace."""
    return Outcome(
        state=IssuanceState.PENDING,
        reason=Reason.ANSWER_UNCLEAR,
        not_before=unclear_at + policy.lookup_grace,
        uses_attempt=False,
    )


def growing_wait(first: timedelta, *, runs: int) -> timedelta:
    """Return `first` doubled for each run that has tried already, at most a day."""
    doubled: timedelta = first * 2 ** min(runs, 20)  # capped: more would overflow before it is cut to a day
    return min(doubled, LONGEST_WAIT)


def may_send_again(*, unclear_at: datetime | None, now: datetime, policy: WaitPolicy) -> bool:
    """Whether a badge that was looked up and not found may be sent."""
    # Credly's lists can lag, so a miss counts only after the grace since the unclear response.
    return unclear_at is None or now >= unclear_at + policy.lookup_grace
