"""What `explain` says that the next run does, held against what planning then does."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.database import Database
from models.diagnostics.explain import history_of
from rules.explain.diagnosis import Cause, answer
from rules.ledger.eligibility import Action, Decision, decide
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState

PENDING, ISSUING, ISSUED = IssuanceState.PENDING, IssuanceState.ISSUING, IssuanceState.ISSUED
BLOCKED, FAILED, CANCELLED = IssuanceState.BLOCKED, IssuanceState.FAILED, IssuanceState.CANCELLED
_NO_ROW = (None,)
AFTERWARDS: dict[str, tuple[IssuanceState | None, ...]] = {
    Cause.HAS_BADGE: (ISSUED,),
    Cause.BADGE_ENDED: (ISSUED,),
    Cause.AWARD_GONE: (ISSUED,),
    Cause.UNDER_WAY: (ISSUING,),
    Cause.LEFT_BEHIND: (ISSUING,),
    Cause.PAUSED: (PENDING,),
    Cause.HELD: (PENDING,),
    Cause.FUTURE: (PENDING,),
    Cause.WAITS: (PENDING,),
    Cause.DUE: (PENDING,),
    Cause.OUTSTANDING: (PENDING,),
    Cause.AWARD_MOVED: _NO_ROW,
    Cause.BLOCKED: (BLOCKED,),
    Cause.FAILED: (FAILED,),
    Cause.CORRECTED: (FAILED,),
    Cause.CANCELLED: (CANCELLED,),
    Cause.TAKEN_UP: (PENDING,),
    Cause.TO_BE_CANCELLED: (CANCELLED, ISSUED),
    Cause.TO_BE_REPLACED: (PENDING,),
    Cause.NO_AWARD: _NO_ROW,
    Cause.WITHDRAWN: _NO_ROW,
    Cause.NO_INTEGRATION: _NO_ROW,
    Cause.BEFORE_COVERAGE: _NO_ROW,
    Cause.NOT_CONNECTED: (BLOCKED,),
    Cause.NOT_ENTERED: (PENDING,),
    Cause.CANNOT_BE_ENTERED: _NO_ROW,
}


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What was said of a user and an achievement."""

    user_id: str
    achievement_id: str
    row_id: int | None
    cause: str
    decisions: list[Decision]

    def hold_against(self, rows: Sequence[Any]) -> None:
        """Compare it with the rows of the ledger after planning."""
        mine = [row for row in rows if (row.user_id, row.achievement_id) == (self.user_id, self.achievement_id)]
        by_id = {row.id: row for row in mine}
        for each in self.decisions:
            if each.row is not None and each.action is not Action.RETRY:  # that one is another user's
                _compare(each, by_id.pop(each.row.issuance_id))
        entered = [each for each in self.decisions if each.action is Action.ENQUEUE]
        assert len(by_id) == len(entered), (self, by_id)
        for each, row in zip(entered, by_id.values(), strict=True):
            _compare(each, row)
        new_row = self.row_id is None
        told = next(iter(by_id.values()), None) if new_row else next(row for row in mine if row.id == self.row_id)
        if self.cause == Cause.TO_BE_CANCELLED and _goes_on_to_replace(told):
            return
        assert (told.state if told else None) in AFTERWARDS[self.cause], (self, told)


def _goes_on_to_replace(row: Any) -> bool:
    """Whether a planning that found the badge to show a former name, or the former user's, replaces it at once."""
    return row.state is PENDING and row.reason == Reason.NAME_CORRECTED


def _compare(decision: Decision, row: Any) -> None:
    if decision.changes:
        replaced = decision.state is ISSUED and _goes_on_to_replace(row)
        assert replaced or (row.state, row.reason) == (decision.state, decision.reason), decision
        assert decision.portal_id in (None, row.portal_id), decision
        assert decision.award is None or row.award_id == decision.award.award_id, decision
    elif decision.row is not None:
        assert row.state == decision.row.state, decision


async def predicted(database: Database, user_id: str, achievement_id: str, *, now: datetime) -> Predicted:
    """Ask as `explain` does."""
    found = await history_of(database, user_id=user_id, achievement_id=achievement_id, now=now)
    row = found.history.row
    return Predicted(
        user_id=user_id,
        achievement_id=achievement_id,
        row_id=row.issuance_id if row else None,
        cause=answer(found.history, now=now).cause,
        decisions=decide(found.history.pair, now=now),
    )
