"""What happens with a user and an achievement, whole: from awards, settings and the ledger's rows to a decision."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rules.ledger.eligibility import (
    OPEN,
    Action,
    Award,
    Coverage,
    Ground,
    Issuance,
    Pair,
    decide,
)
from rules.ledger.manual import decide_manual
from rules.ledger.reasons import MOMENT_REASONS, Reason
from rules.ledger.states import NO_MOMENT, IssuanceState, Origin
from rules.ledger.sweep import settings_contradict
from rules.ledger.withdrawal import is_missing
from tests.support.facts import NOW

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PENDING, ISSUING, ISSUED = IssuanceState.PENDING, IssuanceState.ISSUING, IssuanceState.ISSUED
BLOCKED, FAILED, CANCELLED = IssuanceState.BLOCKED, IssuanceState.FAILED, IssuanceState.CANCELLED
NOT_CONNECTED, FUTURE = Reason.PORTAL_NOT_CONNECTED, Reason.AWARDED_IN_FUTURE
HERE, REPLACING = (
    Coverage(badge_template_id="t", covers_from=NOW - 9 * DAY),
    Coverage(badge_template_id="t", covers_from=NOW - 9 * DAY, replaces=True),
)
FOLLOWING = Coverage(badge_template_id="t", covers_from=NOW - 9 * DAY, follows_names=True)
OTHER = Coverage(badge_template_id="u", covers_from=NOW - 9 * DAY)


def award(name: str = "a", *, before: timedelta = DAY, withdrawn: bool = False) -> Award:
    return Award(award_id=name, awarded_at=NOW - before, withdrawn=withdrawn)


def row(state: IssuanceState = PENDING, **changes: Any) -> Issuance:
    values: dict[str, Any] = {
        "issuance_id": 1,
        "badge_template_id": "t",
        "portal_id": "p",
        "award_id": "a",
        "awarded_at": NOW - DAY,
    }
    return Issuance(state=state, **values | changes)


def pair(*rows: Issuance, **changes: Any) -> Pair:
    values: dict[str, Any] = {"awards": [award()], "portal_id": "p", "coverage": HERE, "connected": {"p"}}
    return Pair(rows=rows, **values | changes)


GONE: dict[str, Any] = {"awards": [award(withdrawn=True)]}
BOTH: dict[str, Any] = {"awards": [award(withdrawn=True), award("b", before=HOUR)]}
AGAIN: dict[str, Any] = {"awards": [award(), award("b", before=3 * HOUR), award("c", before=HOUR)]}
UNCONNECTED: dict[str, Any] = {"connected": ()}
DISABLED: dict[str, Any] = {"coverage": None}
TO_Q: dict[str, Any] = {"portal_id": "q", "connected": {"q"}}
BY_HAND: dict[str, Any] = {"origin": Origin.BY_HAND}
TO_COME = award(before=-DAY)
NO_DATE = Award(award_id="a", awarded_at=NO_MOMENT)
UNUSABLE = Reason.AWARD_DATE_UNUSABLE
AS_IT_IS = (Action.NOTHING, Ground.AS_IT_IS, None, None)
BESIDE = (Action.NOTHING, Ground.ANOTHER_ROW, None, None)
WAITS = (Action.WAIT, Ground.AS_IT_IS, None, None)
WITHDRAWN = (Action.CANCEL, Ground.AWARD_WITHDRAWN, CANCELLED, Reason.AWARD_WITHDRAWN)
REMOVED = (Action.CANCEL, Ground.INTEGRATION_REMOVED, CANCELLED, Reason.INTEGRATION_REMOVED)
RESTORED = (Action.RESTORE, Ground.INTEGRATION_REMOVED, ISSUED, None)
FORMER: dict[str, Any] = {"badge_template_id": "u", "issuance_id": 2, "former": True}
OLD = row(CANCELLED, **FORMER)
NAMED: dict[str, Any] = {"name_digest": "0123456711"}
RENAMED = "7654321011"
NAME_CORRECTED = (Action.REPLACE, Ground.NAME_CORRECTED, PENDING, Reason.NAME_CORRECTED)
TO_BE_RENAMED: dict[str, Any] = {"replaces_badge_id": "b", "reason": Reason.NAME_CORRECTED}
OPEN_CALL: dict[str, Any] = {"outstanding": True}
SETTLED_FIRST = (Action.WAIT, Ground.OUTSTANDING, None, None)
LEFT = (Action.NOTHING, Ground.OUTSTANDING, None, None)


CASES: list[tuple[Pair, Action, Ground, IssuanceState | None, Reason | None]] = [
    # no row yet
    (pair(), Action.ENQUEUE, Ground.AWARDED, PENDING, None),
    (pair(OLD), Action.ENQUEUE, Ground.AWARDED, PENDING, None),
    (pair(moved=row(ISSUED)), Action.TRANSFER, Ground.AWARD_MOVED, ISSUED, None),
    (pair(moved=row(FAILED)), Action.TRANSFER, Ground.AWARD_MOVED, FAILED, None),
    (pair(moved=row(ISSUING)), *SETTLED_FIRST),
    (pair(moved=row(**OPEN_CALL)), *SETTLED_FIRST),
    (pair(moved=row(FAILED, **OPEN_CALL)), Action.RETRY, Ground.OUTSTANDING, PENDING, None),
    (pair(row(CANCELLED), moved=row(ISSUED, issuance_id=2)), Action.NOTHING, Ground.AWARD_MOVED, None, None),
    (pair(moved=row(CANCELLED)), Action.ENQUEUE, Ground.AWARDED, PENDING, None),
    (pair(**UNCONNECTED), Action.ENQUEUE, Ground.AWARDED, BLOCKED, NOT_CONNECTED),
    (pair(awards=[TO_COME]), Action.ENQUEUE, Ground.AWARDED_IN_FUTURE, PENDING, FUTURE),
    (pair(awards=[TO_COME], connected=()), Action.ENQUEUE, Ground.AWARDED_IN_FUTURE, BLOCKED, NOT_CONNECTED),
    (pair(awards=[NO_DATE]), Action.ENQUEUE, Ground.AWARDED, PENDING, None),
    (pair(**BOTH), Action.ENQUEUE, Ground.AWARDED, PENDING, None),
    (pair(awards=[award(before=9 * DAY)]), Action.ENQUEUE, Ground.AWARDED, PENDING, None),
    (pair(awards=[award(before=9 * DAY + HOUR)]), Action.NOTHING, Ground.BEFORE_COVERAGE, None, None),
    (pair(awards=[]), Action.NOTHING, Ground.NO_AWARD, None, None),
    (pair(**GONE), Action.NOTHING, Ground.AWARD_WITHDRAWN, None, None),
    (pair(**DISABLED), Action.NOTHING, Ground.NOT_ENABLED, None, None),
    # pending
    (pair(row()), *WAITS),
    (pair(row(), **UNCONNECTED), Action.BLOCK, Ground.NOT_CONNECTED, BLOCKED, NOT_CONNECTED),
    (pair(row(), **GONE), *WITHDRAWN),
    (pair(row(**BY_HAND), **GONE), *WAITS),
    (pair(row(), **BOTH), *WAITS),
    (pair(row(award_id="lost"), **GONE), *WITHDRAWN),
    (pair(row(award_id="lost", awarded_at=NOW), **GONE), *WAITS),
    (pair(row(award_id=None, awarded_at=NOW), **GONE), *WITHDRAWN),
    (pair(row(), awards=[]), *WAITS),
    (pair(row(), awards=[], deleted={1}), *WITHDRAWN),
    (pair(row(), awards=[], deleted={2}), *WAITS),
    (pair(row(), **DISABLED), *REMOVED),
    (pair(row(), coverage=OTHER), Action.CHANGE_TEMPLATE, Ground.NEW_TEMPLATE, PENDING, None),
    (
        pair(row(BLOCKED, reason=NOT_CONNECTED), coverage=OTHER),
        Action.UNBLOCK,
        Ground.CONNECTED,
        PENDING,
        None,
    ),
    # the achievement belongs to another portal now, which what was not sent follows
    (pair(row(), **TO_Q), Action.CHANGE_PORTAL, Ground.NEW_PORTAL, PENDING, None),
    (pair(row(FAILED, reason=UNUSABLE), **TO_Q), Action.CHANGE_PORTAL, Ground.NEW_PORTAL, FAILED, UNUSABLE),
    (pair(row(BLOCKED, reason=NOT_CONNECTED), **TO_Q), Action.UNBLOCK, Ground.CONNECTED, PENDING, None),
    (pair(row(), portal_id="q"), Action.BLOCK, Ground.NOT_CONNECTED, BLOCKED, NOT_CONNECTED),
    (pair(row(CANCELLED), **TO_Q), Action.REVIVE, Ground.AWARDED_AGAIN, PENDING, None),
    (pair(row(CANCELLED), **TO_Q, **GONE), Action.NOTHING, Ground.AWARD_WITHDRAWN, None, None),
    (pair(row(ISSUED), **TO_Q), *AS_IT_IS),
    (pair(row(**OPEN_CALL), **TO_Q), *SETTLED_FIRST),
    (pair(row(replaces_badge_id="b"), coverage=REPLACING, portal_id="q"), *WAITS),
    (pair(row(), portal_id=None), *WAITS),
    # its moment has not come, or is none, and the award's was corrected
    (pair(row(reason=FUTURE, awarded_at=NOW + DAY)), Action.REDATE, Ground.AWARD_REDATED, PENDING, FUTURE),
    (pair(row(reason=FUTURE, awarded_at=NOW + DAY), awards=[TO_COME]), *WAITS),
    (pair(row(reason=FUTURE, awarded_at=NOW + DAY), awards=[award("another")]), *WAITS),
    (pair(row(FAILED, reason=UNUSABLE, awarded_at=NO_MOMENT)), Action.REDATE, Ground.AWARD_REDATED, FAILED, UNUSABLE),
    (pair(row(FAILED, reason=UNUSABLE, awarded_at=NO_MOMENT), awards=[NO_DATE]), *AS_IT_IS),
    (pair(row(awarded_at=NOW - HOUR)), *WAITS),
    # a call is outstanding: it is settled first, whatever has changed
    (pair(row(**OPEN_CALL)), *SETTLED_FIRST),
    (pair(row(**OPEN_CALL), coverage=OTHER), *SETTLED_FIRST),
    (pair(row(**OPEN_CALL), **DISABLED), *SETTLED_FIRST),
    (pair(row(**OPEN_CALL), **GONE), *SETTLED_FIRST),
    (pair(row(**OPEN_CALL), **UNCONNECTED), *SETTLED_FIRST),
    (pair(row(**OPEN_CALL, replaces_badge_id="b"), **DISABLED), *SETTLED_FIRST),
    (pair(row(BLOCKED, reason=Reason.TOKEN_REFUSED, **OPEN_CALL), coverage=OTHER), *SETTLED_FIRST),
    (
        pair(row(BLOCKED, reason=NOT_CONNECTED, **OPEN_CALL), **UNCONNECTED),
        Action.UNBLOCK,
        Ground.OUTSTANDING,
        PENDING,
        None,
    ),
    (pair(row(FAILED, **OPEN_CALL), **GONE), *LEFT),
    (pair(row(FAILED, **OPEN_CALL), coverage=OTHER), *LEFT),
    # blocked
    (pair(row(BLOCKED, reason=NOT_CONNECTED)), Action.UNBLOCK, Ground.CONNECTED, PENDING, None),
    (pair(row(BLOCKED, reason=NOT_CONNECTED, awarded_at=NOW + DAY)), Action.UNBLOCK, Ground.CONNECTED, PENDING, FUTURE),
    (pair(row(BLOCKED, reason=NOT_CONNECTED), **UNCONNECTED), *WAITS),
    (pair(row(BLOCKED, reason=Reason.TOKEN_REFUSED)), *WAITS),
    (pair(row(BLOCKED, reason=NOT_CONNECTED), **DISABLED), *REMOVED),
    # failed
    (pair(row(FAILED)), *AS_IT_IS),
    (pair(row(FAILED), **DISABLED), *AS_IT_IS),
    (pair(row(FAILED), **GONE), *WITHDRAWN),
    (pair(row(FAILED), coverage=OTHER), Action.CHANGE_TEMPLATE, Ground.NEW_TEMPLATE, FAILED, None),
    # a run holds it
    (pair(row(ISSUING), **GONE, coverage=None, connected=()), *AS_IT_IS),
    # issued
    (pair(row(ISSUED)), *AS_IT_IS),
    (pair(row(ISSUED), **GONE), *AS_IT_IS),
    (pair(row(ISSUED), **AGAIN), *AS_IT_IS),
    (pair(row(ISSUED), coverage=REPLACING), *AS_IT_IS),
    (pair(row(ISSUED), **AGAIN, coverage=REPLACING), Action.REPLACE, Ground.AWARDED_AGAIN, PENDING, None),
    (pair(row(ISSUED), awards=[award(), award("b", before=-HOUR)], coverage=REPLACING), *AS_IT_IS),
    (pair(row(ISSUED, badge_template_id="u"), **AGAIN, coverage=REPLACING), *AS_IT_IS),
    # issued with another name than the platform has now
    (pair(row(ISSUED, **NAMED), names={1: RENAMED}, coverage=FOLLOWING), *NAME_CORRECTED),
    (pair(row(ISSUED, **NAMED, **BY_HAND), names={1: RENAMED}, coverage=FOLLOWING, awards=[]), *NAME_CORRECTED),
    (pair(row(ISSUED, **NAMED), names={1: RENAMED}), *AS_IT_IS),
    (pair(row(ISSUED, **NAMED), names={1: RENAMED}, coverage=REPLACING), *AS_IT_IS),
    (pair(row(ISSUED, **NAMED), names={2: RENAMED}, coverage=FOLLOWING), *AS_IT_IS),
    (pair(row(ISSUED, **NAMED), names={1: NAMED["name_digest"]}, coverage=FOLLOWING), *AS_IT_IS),
    (pair(row(ISSUED), names={1: RENAMED}, coverage=FOLLOWING), *AS_IT_IS),
    (pair(row(ISSUED, **NAMED, badge_template_id="u"), names={1: RENAMED}, coverage=FOLLOWING), *AS_IT_IS),
    (pair(row(ISSUED, **NAMED), names={1: RENAMED}, coverage=FOLLOWING, **GONE), *AS_IT_IS),
    (pair(row(ISSUED, **NAMED, **BY_HAND), names={1: RENAMED}, coverage=FOLLOWING, **GONE), *AS_IT_IS),
    (pair(row(ISSUED, **NAMED), names={1: RENAMED}, coverage=FOLLOWING, **UNCONNECTED), *AS_IT_IS),
    (pair(row(ISSUING, **NAMED), names={1: RENAMED}, coverage=FOLLOWING), *AS_IT_IS),
    (
        pair(row(ISSUED, **NAMED), names={1: RENAMED}, coverage=replace(FOLLOWING, replaces=True), **AGAIN),
        Action.REPLACE,
        Ground.AWARDED_AGAIN,
        PENDING,
        None,
    ),
    (pair(row(**TO_BE_RENAMED), coverage=FOLLOWING), *WAITS),
    (pair(row(**TO_BE_RENAMED)), Action.RESTORE, Ground.AS_IT_IS, ISSUED, None),
    (pair(row(**TO_BE_RENAMED, **OPEN_CALL)), *SETTLED_FIRST),
    # to be replaced
    (pair(row(replaces_badge_id="b"), coverage=REPLACING), *WAITS),
    (pair(row(replaces_badge_id="b"), **DISABLED), *RESTORED),
    (pair(row(FAILED, replaces_badge_id="b"), **DISABLED), *RESTORED),
    (pair(row(replaces_badge_id="b"), **GONE), Action.RESTORE, Ground.AWARD_WITHDRAWN, ISSUED, None),
    (pair(row(CANCELLED, replaces_badge_id="b")), Action.RESTORE, Ground.AS_IT_IS, ISSUED, None),
    # cancelled
    (pair(row(CANCELLED)), Action.REVIVE, Ground.AWARDED_AGAIN, PENDING, None),
    (pair(row(CANCELLED), **UNCONNECTED), Action.REVIVE, Ground.AWARDED_AGAIN, BLOCKED, NOT_CONNECTED),
    (pair(row(CANCELLED, **OPEN_CALL), **UNCONNECTED), Action.REVIVE, Ground.OUTSTANDING, PENDING, None),
    (pair(row(CANCELLED), awards=[TO_COME]), Action.REVIVE, Ground.AWARDED_IN_FUTURE, PENDING, FUTURE),
    (pair(row(CANCELLED), coverage=OTHER), Action.REVIVE, Ground.AWARDED_AGAIN, PENDING, None),
    (pair(row(CANCELLED), **GONE), Action.NOTHING, Ground.AWARD_WITHDRAWN, None, None),
    (pair(row(CANCELLED), **DISABLED), Action.NOTHING, Ground.NOT_ENABLED, None, None),
    (
        pair(row(CANCELLED), row(FAILED, **FORMER)),
        Action.REVIVE,
        Ground.AWARDED_AGAIN,
        PENDING,
        None,
    ),
    (
        pair(row(CANCELLED), row(ISSUED, **FORMER)),
        Action.NOTHING,
        Ground.ANOTHER_ROW,
        None,
        None,
    ),
]


@pytest.mark.parametrize(("given", "action", "ground", "state", "reason"), CASES)
def test_each_case_has_its_decision(
    given: Pair, action: Action, ground: Ground, state: IssuanceState | None, reason: Reason | None
) -> None:
    decided = decide(given, now=NOW)
    of_moved = action in (Action.TRANSFER, Action.RETRY)
    asked = given.moved if of_moved else next((row for row in given.rows if row is not OLD), None)
    (found,) = [each for each in decided if each.row is asked]

    assert (found.action, found.ground, found.state, found.reason) == (action, ground, state, reason)


@pytest.mark.parametrize("case", [case for case in CASES if any(row.state in OPEN for row in case[0].rows)])
def test_of_open_rows_settings_alone_or_the_lack_of_an_award_change_what_is_changed(case: Any) -> None:
    given: Pair = case[0]
    for each in decide(given, now=NOW):
        if each.row is None or each.row.state not in OPEN:
            continue
        to_be_replaced = each.row.replaces_badge_id is not None
        present = each.row.portal_id if to_be_replaced else given.portal_id or each.row.portal_id
        contradicted = settings_contradict(
            given.coverage,
            badge_template_id=each.row.badge_template_id,
            state=each.row.state,
            reason=each.row.reason,
            connected=present in given.connected,
            elsewhere=present != each.row.portal_id,
            to_be_replaced=to_be_replaced,
            outstanding=each.row.outstanding,
            former=each.row.former,
        )
        # Planning reads the awards of all rows with a reason of this kind.
        redated = each.action is Action.REDATE and each.row.reason in MOMENT_REASONS
        assert each.changes == (contradicted or redated) or not given.valid_awards


def test_what_is_redated_follows_its_achievement_as_well() -> None:
    (redated,) = decide(pair(row(reason=FUTURE, awarded_at=NOW + DAY), **TO_Q), now=NOW)

    assert (redated.action, redated.portal_id) == (Action.REDATE, "q")


def test_every_action_and_ground_has_its_case() -> None:
    assert {case[1] for case in CASES} == set(Action)
    assert {case[2] for case in CASES} == set(Ground) - {Ground.ASKED_FOR}


@pytest.mark.parametrize("state", [ISSUING, ISSUED, FAILED])
def test_no_row_is_entered_beside_one_that_stands(state: IssuanceState) -> None:
    given = pair(row(state, badge_template_id="u"))

    assert Action.ENQUEUE not in {each.action for each in decide(given, now=NOW)}


@pytest.mark.parametrize(("state", "outstanding"), [(PENDING, True), (CANCELLED, True), (CANCELLED, False)])
def test_what_was_sent_with_an_earlier_template_keeps_it_until_that_is_settled(
    state: IssuanceState, outstanding: bool
) -> None:
    (decided,) = decide(pair(row(state, outstanding=outstanding), coverage=OTHER), now=NOW)

    assert decided.badge_template_id == {PENDING: None, CANCELLED: "t" if outstanding else "u"}[state]


@pytest.mark.parametrize(
    ("former", "action"),
    [
        (row(PENDING, **FORMER), Action.CANCEL),
        (row(BLOCKED, **FORMER), Action.CANCEL),
        (row(FAILED, **FORMER), Action.NOTHING),
        (row(ISSUED, **FORMER), Action.NOTHING),
        (row(PENDING, **FORMER, outstanding=True), Action.WAIT),
        (row(BLOCKED, **FORMER, outstanding=True, reason=Reason.PORTAL_NOT_CONNECTED), Action.UNBLOCK),
        (row(PENDING, **FORMER, replaces_badge_id="b"), Action.RESTORE),
    ],
)
def test_a_row_of_an_earlier_template_is_not_sent_any_more(former: Issuance, action: Action) -> None:
    assert [each.action for each in decide(pair(row(ISSUED), former), now=NOW)] == [Action.NOTHING, action]


def test_beside_a_badge_that_stands_as_it_was_nothing_is_entered() -> None:
    decided = decide(pair(row(CANCELLED, replaces_badge_id="b"), coverage=OTHER), now=NOW)

    assert [each.action for each in decided] == [Action.RESTORE]


def test_a_new_row_is_for_the_first_covered_award_and_a_replacement_for_the_latest() -> None:
    early = [award("early", before=20 * DAY), *AGAIN["awards"]]
    (entered,) = decide(pair(awards=early), now=NOW)
    (replaced,) = decide(pair(row(ISSUED), awards=early, coverage=REPLACING), now=NOW)

    assert (entered.award, replaced.award) == (award("a"), award("c", before=HOUR))


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (pair(awards=[]), True),
        (pair(), False),
        (pair(**GONE), False),
        (pair(awards=[award("b", withdrawn=True, before=HOUR)]), True),
    ],
)
def test_an_award_is_missing_where_the_platform_has_neither_it_nor_another(given: Pair, missing: bool) -> None:
    assert is_missing(given, row(ISSUED)) is missing
    assert not is_missing(given, row(ISSUED, **BY_HAND))


@pytest.mark.parametrize(
    ("moved", "action", "ground"),
    [
        (row(ISSUED, issuance_id=2), Action.NOTHING, Ground.AWARD_MOVED),
        (row(FAILED, issuance_id=2), Action.REVIVE, Ground.ASKED_FOR),
        (None, Action.REVIVE, Ground.ASKED_FOR),
    ],
)
def test_by_hand_no_badge_is_issued_beside_one_that_belongs_to_the_moved_award(
    moved: Issuance | None, action: Action, ground: Ground
) -> None:
    decided = decide_manual(pair(row(CANCELLED), moved=moved), "t", replace=False)

    assert (decided.action, decided.ground) == (action, ground)
