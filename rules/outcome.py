"""What an answer of Credly means for an issuance: one table, in one place (Credly API notes, sections 8-10)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from credly.errors import CredlyError, NotConnected, NotFound, NotSent, Refused, Throttled
from credly.wire import Badge
from rules.reasons import CANCELLED_REASONS, Reason
from rules.states import IssuanceState

LIVE_STATES = ("pending", "accepted")
LONGEST_WAIT = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Where an issuance goes next and what is remembered of why."""

    state: IssuanceState
    reason: Reason | None = None
    badge: Badge | None = None
    adopted: bool = False
    not_before: datetime | None = None
    credly_message: str | None = None
    unclear: bool = False
    uses_attempt: bool = True


@dataclass(frozen=True, kw_only=True)
class WaitPolicy:
    """How long things wait, and how often they are tried; from the settings."""

    lookup_grace: timedelta
    try_again_after: timedelta
    throttle_pause_default: timedelta
    attempts_in_a_run: int = 1
    attempts_limit: int = 1_000_000


def issued(badge: Badge, *, adopted: bool = False) -> Outcome:
    """Credly has the badge: made just now, or `adopted` because an earlier call had made it."""
    return Outcome(state=IssuanceState.ISSUED, badge=badge, adopted=adopted)


def failed(reason: Reason, *, credly_message: str | None = None) -> Outcome:
    """A person must act."""
    return Outcome(state=IssuanceState.FAILED, reason=reason, credly_message=credly_message)


def not_sendable(reason: Reason) -> Outcome:
    """Our own check found that nothing can be sent: what is gone is cancelled, what is wrong is failed."""
    if reason in CANCELLED_REASONS:
        return Outcome(state=IssuanceState.CANCELLED, reason=reason, uses_attempt=False)
    return Outcome(state=IssuanceState.FAILED, reason=reason, uses_attempt=False)


def blocked(reason: Reason) -> Outcome:
    """Waits for the portal, its token or its template; no attempt is used up."""
    return Outcome(state=IssuanceState.BLOCKED, reason=reason, uses_attempt=False)


def after_error(error: CredlyError, *, sent: bool, attempts: int, now: datetime, policy: WaitPolicy) -> Outcome:
    """Return where a call that ended in `error` leaves the issuance.

    `sent` says whether the call was the one to issue: only then can an unclear answer mean that a badge was made.
    `attempts` are those made before, `now` is UTC. A refusal is final only once the badge was looked up and not
    found: the caller does that first.
    """
    match error:
        case NotConnected():
            return blocked(Reason.TOKEN_REFUSED)
        case NotFound() | Refused(code="redirected"):  # the address is wrong, not the badge
            return blocked(Reason.ORGANIZATION_NOT_FOUND)
        case Throttled():
            pause = error.retry_after if error.retry_after is not None else policy.throttle_pause_default
            return Outcome(
                state=IssuanceState.PENDING, reason=Reason.THROTTLED, not_before=now + pause, uses_attempt=False
            )
        case Refused() if sent:
            return failed(Reason.REFUSED_BY_CREDLY, credly_message=error.credly_message)
        case NotSent():
            return try_later(Reason.NOT_REACHABLE, attempts=attempts, now=now, policy=policy)
        case _ if sent:
            return try_later(Reason.ANSWER_UNCLEAR, attempts=attempts, now=now, policy=policy, unclear=True)
        case _:
            return try_later(Reason.LOOK_UP_FAILED, attempts=attempts, now=now, policy=policy)


def try_later(reason: Reason, *, attempts: int, now: datetime, policy: WaitPolicy, unclear: bool = False) -> Outcome:
    """Back to pending, with a wait that doubles from run to run, up to a day; after too many attempts to a person."""
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


def standing_badge(found: list[Badge]) -> Badge | None:
    """Return the badge that already stands for an issuance, the oldest first, or None.

    Revoked, rejected and replaced badges do not stand (Credly API notes, section 4.2).
    """
    standing = [b for b in found if b.state in LIVE_STATES and b.replacement_badge_id is None]
    return min(standing, key=lambda b: (b.created_at is None, b.created_at, b.id), default=None)
