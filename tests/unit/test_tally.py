from collections import Counter

import pytest

from credly.wire import Badge
from rules import outcome
from rules.outcome import Outcome
from rules.reasons import Reason
from rules.states import IssuanceState
from rules.tally import Tally
from tests.support.calls import BADGE_ROW

BADGE = Badge(id=str(BADGE_ROW["id"]))
FAILED = outcome.failed(Reason.REFUSED_BY_CREDLY)
CANCELLED = outcome.not_sendable(Reason.AWARD_WITHDRAWN)


def opened(**counts: int) -> Tally:
    states = {
        "blocked": (IssuanceState.BLOCKED, Reason.TOKEN_REFUSED),
        "unconnected": (IssuanceState.BLOCKED, Reason.PORTAL_NOT_CONNECTED),
        "pending": (IssuanceState.PENDING, None),
        "issuing": (IssuanceState.ISSUING, None),
        "failed": (IssuanceState.FAILED, Reason.REFUSED_BY_CREDLY),
    }
    return Tally(open=Counter({states[name]: count for name, count in counts.items()}))


@pytest.mark.parametrize(
    ("outcomes", "left", "sentence"),
    [
        ([], {}, "0 issued"),
        ([outcome.issued(BADGE)], {}, "1 issued"),
        ([outcome.issued(BADGE), outcome.issued(BADGE, adopted=True)], {}, "2 issued, 1 of them found at Credly"),
        ([FAILED, FAILED, CANCELLED], {}, "0 issued · 2 failed · 1 cancelled"),
        ([], {"blocked": 20, "pending": 3, "issuing": 2}, "0 issued · now 20 blocked, 5 waiting"),
        ([outcome.issued(BADGE)], {"unconnected": 1}, "1 issued · now 1 blocked"),
        ([], {"failed": 7}, "0 issued"),
    ],
)
def test_a_run_is_told_in_counts(outcomes: list[Outcome], left: dict[str, int], sentence: str) -> None:
    assert (Tally.of(outcomes) + opened(**left)).sentence == sentence


def test_tallies_add_up() -> None:
    total = Tally.of([outcome.issued(BADGE)]) + Tally.of([outcome.issued(BADGE, adopted=True), FAILED])

    assert (total.issued, total.adopted, total.sentence) == (2, 1, "2 issued, 1 of them found at Credly · 1 failed")


@pytest.mark.parametrize(
    ("tally", "needed"),
    [
        (Tally.of([outcome.issued(BADGE)]), False),
        (Tally.of([FAILED]), True),
        (opened(blocked=1), True),
        (opened(unconnected=40), False),
        (opened(failed=3), False),
        (opened(pending=3), False),
    ],
)
def test_a_person_is_needed_for_what_will_not_mend_itself(tally: Tally, needed: bool) -> None:
    assert tally.needs_a_person is needed
