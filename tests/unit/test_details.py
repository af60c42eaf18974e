"""What a run keeps of its badges, and how little of it however many there are."""

from datetime import timedelta

from rules import outcome
from rules.details import NAMED, SLOWEST, Details, SlowCall
from rules.reasons import Reason
from rules.states import IssuanceState
from rules.tally import Tally
from tests.support.facts import facts

REFUSED = outcome.failed(Reason.REFUSED_BY_CREDLY)
KEY = (IssuanceState.FAILED, Reason.REFUSED_BY_CREDLY)


def noted(*results: outcome.Outcome, achievement: str = "forklift") -> Details:
    details = Details()
    for number, result in enumerate(results, start=1):
        details.note(facts(issuance_id=number, achievement_id=achievement), result)
    return details


def test_results_are_counted_by_portal_and_achievement() -> None:
    both = noted(REFUSED, REFUSED) + noted(outcome.blocked(Reason.TOKEN_REFUSED), achievement="crane")

    assert both.by_achievement() == [
        ("northwind", "crane", {IssuanceState.BLOCKED: 1}),
        ("northwind", "forklift", {IssuanceState.FAILED: 2}),
    ]
    assert [(each.issuance_id, each.user_id) for each in both.named[KEY]] == [(1, "person-0042"), (2, "person-0042")]


def test_ids_are_kept_up_to_a_limit_of_one_run_and_of_several() -> None:
    many = noted(*[REFUSED] * (NAMED + 1))

    assert len(many.named[KEY]) == NAMED
    assert len((noted(REFUSED) + many).named[KEY]) == NAMED
    assert many.cells["northwind", "forklift", IssuanceState.FAILED] == NAMED + 1


def test_what_was_issued_is_counted_without_its_id() -> None:
    details = Details()
    details.note(facts(), outcome.Outcome(state=IssuanceState.ISSUED))

    assert details.named == {}


def test_the_slowest_calls_are_kept() -> None:
    calls = [SlowCall(timedelta(seconds=number), number, "issue", "issued") for number in range(20)]
    first, second = Details(), Details()
    first.note_calls(calls[::2])
    second.note_calls(calls[1::2])

    assert [each.issuance_id for each in (first + second).slowest] == [19, 18, 17, 16, 15]
    assert len(first.slowest) == SLOWEST


def test_tallies_add_up_with_their_details_and_the_first_stop_stands() -> None:
    total = Tally(details=noted(REFUSED), stopped=Reason.TOKEN_REFUSED) + Tally(details=noted(REFUSED))

    assert total.details.cells["northwind", "forklift", IssuanceState.FAILED] == 2
    assert total.stopped is Reason.TOKEN_REFUSED
