"""When an organization gets no further calls in a run."""

from datetime import UTC, datetime, timedelta

import pytest

from credly.errors import CredlyError, NotConnected, NotFound, NotSent, Refused, Throttled, Unclear
from rules.ledger.reasons import Reason
from rules.monitoring.brake import (
    ENDLESS_AT_MOST,
    THROTTLED_AT_MOST,
    UNANSWERED_AT_MOST,
    UNANSWERED_FOR,
    UNANSWERED_OVER_TIME,
    Brake,
)

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LIMIT = timedelta(minutes=1)


class Calls:
    """Calls one after the other."""

    def __init__(self) -> None:
        self.brake = Brake(pause_limit=LIMIT)
        self.now = NOW

    def made(
        self,
        error: CredlyError | None,
        times: int = 1,
        *,
        operation: str = "issue_badge",
        lasting: timedelta = SECOND,
        pause: timedelta = timedelta(0),
    ) -> Reason | None:
        for _ in range(times):
            started_at = self.now
            self.now += lasting
            self.brake.note(error, operation=operation, started_at=started_at, now=self.now, pause=pause)
            self.now += pause
        return self.brake.stopped


@pytest.mark.parametrize(
    "error",
    [
        NotSent(code="connect_error"),
        Unclear(code="read_timeout"),
        Unclear(status=503),
        NotConnected(status=403),
        NotConnected(status=401, in_credly_form=True),
        NotFound(status=404),
    ],
    ids=repr,
)
def test_many_calls_without_credlys_answer_stop_it(error: CredlyError) -> None:
    calls = Calls()

    assert calls.made(error, UNANSWERED_AT_MOST - 1) is None
    assert calls.made(error) is Reason.NOT_REACHABLE


def test_a_few_that_take_long_together_stop_it() -> None:
    calls = Calls()

    assert calls.made(Unclear(), UNANSWERED_OVER_TIME - 1, lasting=UNANSWERED_FOR) is None
    assert calls.made(Unclear()) is Reason.NOT_REACHABLE


@pytest.mark.parametrize(
    "answer", [None, Refused(in_credly_form=True), NotFound(in_credly_form=True), NotConnected(in_credly_form=True)]
)
def test_an_answer_of_credlys_begins_a_new_count(answer: CredlyError | None) -> None:
    calls = Calls()
    calls.made(Unclear(), UNANSWERED_AT_MOST - 1)
    calls.made(answer)

    assert calls.made(Unclear(), UNANSWERED_AT_MOST - 1, lasting=SECOND) is None


@pytest.mark.parametrize("refused", [NotConnected(in_credly_form=True), NotFound(in_credly_form=True)], ids=repr)
def test_that_a_list_may_not_be_read_answers_nothing(refused: CredlyError) -> None:
    calls = Calls()

    for _ in range(UNANSWERED_AT_MOST):
        calls.made(None, operation="organization")
        calls.made(refused, operation="find_badges")

    assert calls.brake.stopped is Reason.NOT_REACHABLE


@pytest.mark.parametrize("operation", ["badge", "template"])
def test_that_one_thing_is_not_there_is_an_answer(operation: str) -> None:
    assert Calls().made(NotFound(in_credly_form=True), 2 * UNANSWERED_AT_MOST, operation=operation) is None


def test_that_lists_can_be_read_does_not_show_that_badges_are_issued() -> None:
    calls = Calls()
    for _ in range(UNANSWERED_AT_MOST):
        calls.made(None, operation="find_badges")
        calls.made(Unclear())

    assert calls.brake.stopped is Reason.NOT_REACHABLE


def test_throttling_again_and_again_stops_it() -> None:
    calls = Calls()

    assert calls.made(Throttled(), THROTTLED_AT_MOST - 1, pause=SECOND) is None
    assert calls.made(Throttled(), pause=SECOND) is Reason.THROTTLED


def test_pauses_that_are_too_long_together_stop_it() -> None:
    calls = Calls()

    assert calls.made(Throttled(), pause=LIMIT / 2) is None
    assert calls.made(Throttled(), pause=LIMIT / 2) is Reason.THROTTLED


def test_one_pause_of_any_length_does_not() -> None:
    assert Calls().made(Throttled(), pause=2 * LIMIT) is None


def test_a_success_between_them_begins_a_new_count() -> None:
    calls = Calls()
    for _ in range(10):
        calls.made(Throttled(), THROTTLED_AT_MOST - 1, pause=SECOND)
        calls.made(None)

    assert calls.brake.stopped is None


def test_calls_that_were_under_way_together_are_throttled_once() -> None:
    brake = Brake(pause_limit=LIMIT)
    for seconds in range(50):
        brake.note(Throttled(), operation="issue_badge", started_at=NOW, now=NOW + seconds * SECOND, pause=SECOND)

    assert brake.stopped is None


def test_the_first_reason_stands() -> None:
    brake = Brake(pause_limit=LIMIT)
    brake.stop(Reason.TOKEN_REFUSED)
    brake.stop(Reason.THROTTLED)

    assert brake.stopped is Reason.TOKEN_REFUSED


def test_look_ups_without_end_stop_it_where_none_between_them_has_one() -> None:
    brake = Brake(pause_limit=LIMIT)
    for _ in range(ENDLESS_AT_MOST - 1):
        brake.note_look_up(has_end=False)
    brake.note_look_up(has_end=True)
    for _ in range(ENDLESS_AT_MOST - 1):
        brake.note_look_up(has_end=False)
    assert brake.stopped is None

    brake.note_look_up(has_end=False)

    assert brake.stopped is Reason.NOT_REACHABLE
