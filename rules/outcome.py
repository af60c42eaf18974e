"""What an answer of Credly means for an issuance: one table, in one place (Credly API notes, sections 8-10)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from credly.errors import CredlyError, NotSent, Throttled
from credly.wire import Badge
from rules.reasons import CANCELLED_REASONS, REFUSED_REASONS, TEMPLATE_REASONS, Reason
from rules.states import IssuanceState

LIVE_STATES = ("pending", "accepted")
LONGEST_WAIT = timedelta(days=1)
NOT_BEGUN = ("stopped", "lease_over")  # codes of calls that were given up before their request was made


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Where an issuance goes next, with the reason.

    `unclear`: a badge may have been made, so that Credly is asked before anything is sent again.
    `settled`: an earlier call whose outcome was not known has made no badge.
    `former_address`: the badge replaces one with another address, and was sent to that one.
    """

    state: IssuanceState
    reason: Reason | None = None
    badge: Badge | None = None
    adopted: bool = False
    not_before: datetime | None = None
    credly_message: str | None = None
    unclear: bool = False
    uses_attempt: bool = True
    former_address: bool = False
    settled: bool = False

    @property
    def keeps_call_open(self) -> bool | None:
        """Whether a call stays outstanding that may have made a badge; None: as it was before.

        What was refused was looked up after the refusal.
        """
        if self.badge is not None or self.reason in (*REFUSED_REASONS, *TEMPLATE_REASONS):
            return False
        return True if self.unclear else False if self.settled else None


@dataclass(frozen=True, kw_only=True)
class WaitPolicy:
    """How long things wait, and how often they are tried; from the settings."""

    lookup_grace: timedelta
    try_again_after: timedelta
    throttle_pause_default: timedelta
    attempts_in_a_run: int = 1
    attempts_limit: int = 1_000_000


def issued(badge: Badge, *, adopted: bool = False, former_address: bool = False) -> Outcome:
    """Credly has the badge: made just now, or `adopted` because an earlier call had made it."""
    return Outcome(state=IssuanceState.ISSUED, badge=badge, adopted=adopted, former_address=former_address)


def failed(reason: Reason, *, credly_message: str | None = None, unclear: bool = False) -> Outcome:
    """Nothing is tried again before somebody has removed the cause."""
    return Outcome(state=IssuanceState.FAILED, reason=reason, credly_message=credly_message, unclear=unclear)


def to_be_planned(*, settled: bool = False) -> Outcome:
    """Return to pending: the settings have changed since it was planned, and the next planning sees to it."""
    return Outcome(state=IssuanceState.PENDING, uses_attempt=False, settled=settled)


def not_sendable(reason: Reason) -> Outcome:
    """Our own check found that nothing can be sent: what is gone is cancelled, what is wrong is failed."""
    if reason in CANCELLED_REASONS:
        return Outcome(state=IssuanceState.CANCELLED, reason=reason, uses_attempt=False)
    return Outcome(state=IssuanceState.FAILED, reason=reason, uses_attempt=False)


def blocked(reason: Reason, *, unclear: bool = False) -> Outcome:
    """Waits for the portal, its token or its template; no attempt is used up."""
    return Outcome(state=IssuanceState.BLOCKED, reason=reason, uses_attempt=False, unclear=unclear)


def after_error(error: CredlyError, *, sent: bool, attempts: int, now: datetime, policy: WaitPolicy) -> Outcome:
    """Return where a call that ended in `error` leaves the issuance: pending, with a wait.

    `sent` says whether the call was the one to issue: only then can it have made a badge, whatever its status.
    `attempts` are those made before, `now` is UTC. Refusals of the token, the organization or the badge are final only
    after another call has confirmed them, which is up to the caller.
    """
    match error:
        case NotSent() if error.code in NOT_BEGUN:
            return Outcome(state=IssuanceState.PENDING, uses_attempt=False)
        case NotSent():
            return try_later(Reason.NOT_REACHABLE, attempts=attempts, now=now, policy=policy)
        case Throttled():
            pause = error.retry_after if error.retry_after is not None else policy.throttle_pause_default
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
    wait = growing_wait(policy.try_again_after, runs=attempts // policy.attempts_in_a_run)
    if unclear:
        wait = max(wait, policy.lookup_grace)
    return Outcome(state=IssuanceState.PENDING, reason=reason, not_before=now + wait, unclear=unclear)


def wait_for_lists(unclear_at: datetime, *, policy: WaitPolicy) -> Outcome:
    """Nothing was found, but Credly's lists may lag: look again once the grace has passed."""
    return Outcome(
        state=IssuanceState.PENDING,
        reason=Reason.ANSWER_UNCLEAR,
        not_before=unclear_at + policy.lookup_grace,
        uses_attempt=False,
    )


def growing_wait(first: timedelta, *, runs: int) -> timedelta:
    """Return `first` doubled for each run that has tried already, at most a day."""
    doubled: timedelta = first * 2 ** min(runs, 20)
    return min(doubled, LONGEST_WAIT)


def may_send_again(*, unclear_at: datetime | None, now: datetime, policy: WaitPolicy) -> bool:
    """Say whether a badge that was looked up and not found may be sent.

    Credly's lists can lag, so a miss counts only after the grace has passed since the unclear answer.
    """
    return unclear_at is None or now >= unclear_at + policy.lookup_grace
