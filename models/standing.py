"""What stands open in the ledger now: waiting, blocked or failed, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.ledger import BadgeIssuance
from models.tables import table
from rules.reasons import Reason
from rules.states import WAITING, IssuanceState

issuances = table(BadgeIssuance)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How many issuances of a portal are in an open state for a reason."""

    portal_id: str
    state: IssuanceState
    reason: Reason | None
    count: int


async def standing(connection: AsyncConnection, *, portal_ids: Sequence[str] | None = None) -> list[Standing]:
    """Count what is open, by portal, state and reason; of these portals only, if given. Issued ones are not counted."""
    columns = (issuances.c.portal_id, issuances.c.state, issuances.c.reason)
    query = (
        select(*columns, func.count().label("issuances"))
        .where(issuances.c.state.in_([*WAITING, IssuanceState.FAILED]))
        .group_by(*columns)
        .order_by(*columns)
    )
    if portal_ids is not None:
        query = query.where(issuances.c.portal_id.in_(portal_ids))
    return [
        Standing(portal_id=row.portal_id, state=row.state, reason=row.reason, count=row.issuances)
        for row in await connection.execute(query)
    ]
