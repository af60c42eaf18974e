"""A run in one sentence, and whether an operator has to act."""

from collections import Counter

import pytest

from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from rules.monitoring.run_summary import Results, RunSummary

ISSUED, FAILED, CANCELLED = IssuanceState.ISSUED, IssuanceState.FAILED, IssuanceState.CANCELLED
OPEN = {
    "blocked": (IssuanceState.BLOCKED, Reason.TOKEN_REFUSED),
    "unconnected": (IssuanceState.BLOCKED, Reason.PORTAL_NOT_CONNECTED),
    "pending": (IssuanceState.PENDING, None),
    "issuing": (IssuanceState.ISSUING, None),
    "failed": (IssuanceState.FAILED, Reason.REFUSED_BY_CREDLY),
}


def results(state: IssuanceState, count: int = 1, *, run: str = "run-1", adopted: int = 0, **ids: str) -> Results:
    reasons = {FAILED: Reason.REFUSED_BY_CREDLY, CANCELLED: Reason.AWARD_WITHDRAWN}
    where = {"portal_id": "northwind", "achievement_id": "forklift"} | ids
    return Results(**where, flow_run_id=run, state=state, reason=reasons.get(state), count=count, adopted=adopted)


def summary(*done: Results, stopped: tuple[Reason, ...] = (), **opened: int) -> RunSummary:
    return RunSummary(
        results=done, open=Counter({OPEN[name]: count for name, count in opened.items()}), stopped=stopped
    )


@pytest.mark.parametrize(
    ("done", "sentence"),
    [
        (summary(), "0 issued"),
        (summary(results(ISSUED)), "1 issued"),
        (summary(results(ISSUED, 2, adopted=1)), "2 issued, 1 of them found at Credly"),
        (summary(results(FAILED, 2), results(CANCELLED)), "0 issued · 2 failed · 1 cancelled"),
        (summary(results(ISSUED), results(ISSUED, 2, adopted=1)), "3 issued, 1 of them found at Credly"),
        (summary(blocked=20, pending=3, issuing=2), "0 issued · now 20 blocked, 5 waiting"),
        (summary(results(ISSUED), unconnected=1), "1 issued · now 1 blocked"),
        (summary(failed=7), "0 issued"),
    ],
)
def test_a_run_is_described_in_counts(done: RunSummary, sentence: str) -> None:
    assert done.sentence == sentence


@pytest.mark.parametrize(
    ("done", "needed"),
    [
        (summary(results(ISSUED)), False),
        (summary(results(FAILED)), True),
        (summary(blocked=1), True),
        (summary(unconnected=40), False),
        (summary(failed=3), False),
        (summary(pending=3), False),
        (summary(stopped=(Reason.NOT_REACHABLE,)), False),
        (summary(stopped=(Reason.NOT_REACHABLE, Reason.REFUSED_BY_CREDLY)), True),
    ],
)
def test_an_operator_has_to_act_on_what_does_not_pass_by_itself(done: RunSummary, needed: bool) -> None:
    assert done.needs_action is needed


def test_results_are_added_up_by_portal_and_achievement() -> None:
    done = summary(results(FAILED), results(FAILED, run="run-2"), results(ISSUED, 3, achievement_id="crane"))

    assert done.by_achievement == [("northwind", "crane", {ISSUED: 3}), ("northwind", "forklift", {FAILED: 2})]


def test_the_runs_of_an_organization_have_counts_of_their_own() -> None:
    done = summary(results(ISSUED, 2, run="run-1"), results(ISSUED, 3, run="run-2"), results(ISSUED, 5, run="run-3"))

    part = done.of_runs({"run-1", "run-3"}, open_now=Counter({OPEN["blocked"]: 1}))

    assert part.sentence == "7 issued · now 1 blocked"


@pytest.mark.parametrize(
    ("done", "title"),
    [
        (summary(failed=7, pending=3), "0 issued"),
        (
            summary(results(ISSUED, 405, adopted=2), results(FAILED, 26), blocked=70, unconnected=6),
            "405 issued · 26 failed · 76 blocked",
        ),
    ],
)
def test_a_runs_name_has_its_results_and_what_is_blocked_now(done: RunSummary, title: str) -> None:
    assert done.title == title
