"""What a test says of one user and one achievement."""

from datetime import timedelta
from typing import Any

from rules.explain.history import Call, LedgerRow, TransitionEntry
from rules.ledger.states import IssuanceState, Origin
from rules.ledger.transitions import Transition
from tests.support.facts import AWARDED, NOW


def row(state: IssuanceState = IssuanceState.PENDING, **changes: Any) -> LedgerRow:
    """A row of the ledger in this state."""
    values: dict[str, Any] = {
        "issuance_id": 1,
        "badge_template_id": "t-1",
        "portal_id": "northwind",
        "origin": Origin.AWARD,
        "not_before": AWARDED,
        "planned_at": AWARDED,
        "updated_at": AWARDED,
    }
    if state is IssuanceState.ISSUED:
        values |= {"credly_badge_id": "b-1", "recorded_at": AWARDED}
    return LedgerRow(state=state, **values | changes)


def call(**changes: Any) -> Call:
    """A badge that was sent and issued."""
    values: dict[str, Any] = {
        "kind": "issue",
        "outcome": "issued",
        "started_at": NOW,
        "duration": timedelta(milliseconds=120),
    }
    return Call(**values | changes)


def entry(transition: Transition, to_state: str, from_state: str = "", **changes: Any) -> TransitionEntry:
    """A transition of a row with the template `t-1`."""
    values: dict[str, Any] = {
        "at": NOW,
        "transition": transition,
        "from_state": IssuanceState(from_state) if from_state else None,
        "to_state": IssuanceState(to_state),
        "badge_template_id": "t-1",
    }
    return TransitionEntry(**values | changes)
