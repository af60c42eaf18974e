"""Failed issuances whose data was corrected: they become due again when their request would differ."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select, update

from models.ledger.conditions import in_states
from models.ledger.tables import BadgeIssuance
from models.ledger.transitions import move
from models.tables import table
from rules.ledger.states import IssuanceState
from rules.ledger.transitions import Transition

issuances = table(BadgeIssuance)
_FAILED_INDEX = "INDEXED BY ix_badge_issuances_failed"  # otherwise SQLite sorts all failed issuances


def longest_not_looked_at(connection: Connection, *, limit: int) -> list[int]:
    """Return the failed issuances whose data was compared the longest ago."""
    query = (
        select(issuances.c.id).where(in_states(IssuanceState.FAILED)).order_by(issuances.c.looked_again_at).limit(limit)
    )
    hinted = query.with_hint(issuances, _FAILED_INDEX, "sqlite")
    return list(connection.execute(hinted).scalars())


def requeue_corrected_rows(
    connection: Connection, *, looked_at: Sequence[int], changed: Sequence[int], now: datetime
) -> int:
    """Make due those in `changed`, mark all as checked, and return how many are due."""
    failed = issuances.c.state == IssuanceState.FAILED
    connection.execute(update(issuances).where(issuances.c.id.in_(looked_at), failed).values(looked_again_at=now))
    return move(connection, Transition.RETRY, issuances.c.id.in_(changed), now=now, not_before=now)
