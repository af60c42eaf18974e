"""Failed issuances: a person has to act, and when the data then differs, the ledger takes them up again."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, literal, select, update

from models.ledger.tables import BadgeIssuance
from models.ledger.transitions import move
from models.tables import table
from rules.ledger.transitions import Transition
from rules.states import IssuanceState

issuances = table(BadgeIssuance)
_BY_TURN = "INDEXED BY ix_badge_issuances_failed"  # else SQLite sorts all that has failed
# Written out, so that both engines see which partial index it means.
_IS_FAILED = issuances.c.state == literal(IssuanceState.FAILED, type_=issuances.c.state.type, literal_execute=True)


def longest_not_looked_at(connection: Connection, *, limit: int) -> list[int]:
    """Return the failed issuances whose data was not compared for the longest time."""
    query = select(issuances.c.id).where(_IS_FAILED).order_by(issuances.c.looked_again_at).limit(limit)
    hinted = query.with_hint(issuances, _BY_TURN, "sqlite")
    return list(connection.execute(hinted).scalars())


def look_again(connection: Connection, *, looked_at: Sequence[int], changed: Sequence[int], now: datetime) -> int:
    """Make due those whose request would now differ, and note that all were looked at; return how many are due."""
    failed = issuances.c.state == IssuanceState.FAILED
    connection.execute(update(issuances).where(issuances.c.id.in_(looked_at), failed).values(looked_again_at=now))
    return move(connection, Transition.RETRY, issuances.c.id.in_(changed), now=now, not_before=now)
