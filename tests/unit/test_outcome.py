"""What each answer of Credly means for the ledger."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from credly.errors import (
    CredlyError,
    NotConnected,
    NotFound,
    NotSent,
    Throttled,
    Unclear,
)
from credly.wire import Badge
from rules.ledger.outcome import (
    LONGEST_WAIT,
    Outcome,
    WaitPolicy,
    after_error,
    blocked,
    failed,
    growing_wait,
    issued,
    may_send_again,
    not_sendable,
    try_later,
    wait_for_lists,
)
from rules.ledger.reasons import BLOCKED_REASONS, CANCELLED_REASONS, DATA_REASONS, Reason
from rules.ledger.states import IssuanceState

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLICY = WaitPolicy(lookup_grace=10 * MINUTE, try_again_after=5 * MINUTE, throttle_pause_default=MINUTE / 2)
PENDING, BLOCKED, FAILED = IssuanceState.PENDING, IssuanceState.BLOCKED, IssuanceState.FAILED
SAID = "Template is archived"


def an_outcome(
    state: IssuanceState,
    reason: Reason,
    *,
    wait: timedelta | None = None,
    unclear: bool = False,
    uses_attempt: bool = True,
    message: str | None = None,
) -> Outcome:
    return Outcome(
        state=state,
        reason=reason,
        not_before=None if wait is None else NOW + wait,
        unclear=unclear,
        uses_attempt=uses_attempt,
        credly_message=message,
    )


NOT_BEGUN = Outcome(state=PENDING, uses_attempt=False)
REFUSED = an_outcome(FAILED, Reason.REFUSED_BY_CREDLY, message=SAID)
NOT_REACHABLE = an_outcome(PENDING, Reason.NOT_REACHABLE, wait=5 * MINUTE)
UNCLEAR = an_outcome(PENDING, Reason.ANSWER_UNCLEAR, wait=10 * MINUTE, unclear=True)
LOOK_UP_FAILED = an_outcome(PENDING, Reason.LOOK_UP_FAILED, wait=5 * MINUTE)


def throttled(wait: timedelta, *, unclear: bool = False) -> Outcome:
    return an_outcome(PENDING, Reason.THROTTLED, wait=wait, uses_attempt=False, unclear=unclear)


@pytest.mark.parametrize(
    ("error", "after_sending", "after_looking_up"),
    [
        (NotConnected(status=401), UNCLEAR, LOOK_UP_FAILED),
        (NotConnected(status=403), UNCLEAR, LOOK_UP_FAILED),
        (NotFound(status=404), UNCLEAR, LOOK_UP_FAILED),
        (NotFound(status=301, code="redirected"), UNCLEAR, LOOK_UP_FAILED),
        (Throttled(status=429), throttled(10 * MINUTE, unclear=True), throttled(MINUTE / 2)),
        (Throttled(retry_after=timedelta(0)), throttled(10 * MINUTE, unclear=True), throttled(timedelta(0))),
        (Throttled(retry_after=17 * MINUTE), throttled(17 * MINUTE, unclear=True), throttled(17 * MINUTE)),
        (NotSent(code="stopped"), NOT_BEGUN, NOT_BEGUN),
        (NotSent(code="lease_over"), NOT_BEGUN, NOT_BEGUN),
        (NotSent(code="connect_error"), NOT_REACHABLE, NOT_REACHABLE),
        (Unclear(code="read_timeout"), UNCLEAR, LOOK_UP_FAILED),
        (Unclear(status=503), UNCLEAR, LOOK_UP_FAILED),
        (CredlyError(), UNCLEAR, LOOK_UP_FAILED),
    ],
    ids=lambda value: (
        f"{type(value).__name__} {value.status} {value.code} {value.retry_after}"
        if isinstance(value, CredlyError)
        else ""
    ),
)
def test_where_an_error_leaves_an_issuance(
    error: CredlyError, after_sending: Outcome, after_looking_up: Outcome
) -> None:
    assert after_error(error, sent=True, attempts=0, now=NOW, policy=POLICY) == after_sending
    assert after_error(error, sent=False, attempts=0, now=NOW, policy=POLICY) == after_looking_up


@pytest.mark.parametrize(
    ("attempts", "minutes"), [(0, 5), (1, 10), (2, 20), (3, 40), (8, 1280), (9, 1440), (20, 1440), (10_000, 1440)]
)
def test_the_wait_doubles_with_each_attempt_up_to_a_day(attempts: int, minutes: int) -> None:
    assert growing_wait(5 * MINUTE, runs=attempts) == minutes * MINUTE
    outcome = after_error(NotSent(), sent=True, attempts=attempts, now=NOW, policy=POLICY)
    assert outcome.not_before == NOW + minutes * MINUTE


def test_the_longest_wait_is_a_day() -> None:
    assert timedelta(days=1) == LONGEST_WAIT
    assert growing_wait(timedelta(days=3), runs=0) == LONGEST_WAIT


@pytest.mark.parametrize(("attempts", "minutes"), [(0, 10), (1, 10), (2, 20)])
def test_after_an_unclear_answer_the_wait_is_never_shorter_than_the_lists_may_lag(attempts: int, minutes: int) -> None:
    outcome = try_later(Reason.ANSWER_UNCLEAR, attempts=attempts, now=NOW, policy=POLICY, unclear=True)

    assert (outcome.not_before, outcome.unclear) == (NOW + minutes * MINUTE, True)


@pytest.mark.parametrize(("attempts", "minutes"), [(0, 5), (3, 5), (4, 10), (8, 20)])
def test_several_attempts_of_one_run_make_one_wait(attempts: int, minutes: int) -> None:
    policy = replace(POLICY, attempts_in_a_run=4)

    assert try_later(Reason.NOT_REACHABLE, attempts=attempts, now=NOW, policy=policy).not_before == (
        NOW + minutes * MINUTE
    )


@pytest.mark.parametrize(("attempts", "state"), [(8, PENDING), (9, FAILED), (10, FAILED)])
@pytest.mark.parametrize("unclear", [True, False])
def test_when_the_attempts_are_used_up_an_operator_is_asked(attempts: int, state: IssuanceState, unclear: bool) -> None:
    policy = replace(POLICY, attempts_limit=10)

    outcome = try_later(Reason.NOT_REACHABLE, attempts=attempts, now=NOW, policy=policy, unclear=unclear)

    assert (outcome.state, outcome.unclear) == (state, unclear)
    assert outcome.reason is (Reason.ATTEMPTS_USED_UP if state is FAILED else Reason.NOT_REACHABLE)


def test_a_first_miss_waits_until_the_lists_must_have_caught_up() -> None:
    assert wait_for_lists(NOW - MINUTE, policy=POLICY) == an_outcome(
        PENDING, Reason.ANSWER_UNCLEAR, wait=9 * MINUTE, uses_attempt=False
    )


@pytest.mark.parametrize(
    ("unclear_since", "may"),
    [(None, True), (10 * MINUTE, True), (11 * MINUTE, True), (10 * MINUTE - timedelta(microseconds=1), False)],
)
def test_what_was_not_found_is_sent_again_only_after_the_grace(unclear_since: timedelta | None, may: bool) -> None:
    unclear_at = None if unclear_since is None else NOW - unclear_since

    assert may_send_again(unclear_at=unclear_at, now=NOW, policy=POLICY) is may


@pytest.mark.parametrize("adopted", [True, False])
def test_a_badge_is_the_end(adopted: bool) -> None:
    badge = Badge(id="badge-1")

    assert issued(badge, adopted=adopted) == Outcome(state=IssuanceState.ISSUED, badge=badge, adopted=adopted)


@pytest.mark.parametrize("reason", sorted(BLOCKED_REASONS))
def test_what_is_blocked_uses_no_attempt(reason: Reason) -> None:
    assert blocked(reason) == an_outcome(BLOCKED, reason, uses_attempt=False)


def test_what_failed_keeps_what_credly_said() -> None:
    assert failed(Reason.DUPLICATE_ELSEWHERE) == an_outcome(FAILED, Reason.DUPLICATE_ELSEWHERE)
    assert failed(Reason.REFUSED_BY_CREDLY, credly_message=SAID) == REFUSED


@pytest.mark.parametrize("reason", sorted(CANCELLED_REASONS))
def test_what_is_gone_is_cancelled_without_an_attempt(reason: Reason) -> None:
    assert not_sendable(reason) == an_outcome(IssuanceState.CANCELLED, reason, uses_attempt=False)


@pytest.mark.parametrize("reason", sorted(DATA_REASONS))
def test_what_is_wrong_with_the_data_fails_without_an_attempt(reason: Reason) -> None:
    assert not_sendable(reason) == an_outcome(FAILED, reason, uses_attempt=False)


def test_an_award_of_the_future_waits_for_its_moment() -> None:
    later = NOW + timedelta(days=3)

    waits = not_sendable(Reason.AWARDED_IN_FUTURE, not_before=later)

    assert waits == an_outcome(PENDING, Reason.AWARDED_IN_FUTURE, wait=timedelta(days=3), uses_attempt=False)
