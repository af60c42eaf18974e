"""What a test says of one user and one achievement."""

from datetime import timedelta
from typing import Any

from rules.history import Call, LedgerRow
from rules.states import IssuanceState, Origin
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
