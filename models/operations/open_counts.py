"""Counts of issuances that are pending, blocked or failed now, and why; and when the last badges were issued."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, case, func, literal, or_, select

from models.ledger.tables import AttemptOutcome, BadgeIssuance, IssuanceAttempt
from models.setup.tables import CredlyIntegration
from models.tables import table
from rules.ledger.reasons import Reason
from rules.ledger.states import WAITING, IssuanceState
from rules.monitoring.run_page import PendingCount

issuances = table(BadgeIssuance)
attempts = table(IssuanceAttempt)
integrations = table(CredlyIntegration)
LATEST_ATTEMPTS = 2000  # covers weeks where few badges are issued, and is cheap everywhere


@dataclass(frozen=True, kw_only=True)
class OpenCount:
    """How many issuances of a portal are in an open state for a reason."""

    portal_id: str
    state: IssuanceState
    reason: Reason | None
    count: int


def open_counts(connection: Connection, *, portal_ids: Sequence[str] | None = None) -> list[OpenCount]:
    """Count pending, blocked and failed issuances by portal, state and reason; of these portals only, if given."""
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
        OpenCount(portal_id=row.portal_id, state=row.state, reason=row.reason, count=row.issuances)
        for row in connection.execute(query)
    ]


def pending_counts(connection: Connection, *, portal_ids: Sequence[str] | None = None) -> list[PendingCount]:
    """Count pending issuances by portal and reason, with the first moment at which one is due (UTC).

    Those of paused or held achievements are counted by achievement.
    """
    paused, held = integrations.c.paused_at.is_not(None), integrations.c.held_at.is_not(None)
    stop = case((paused, literal("paused")), (held, literal("held")), else_=literal("")).label("stop")
    stopped = case((or_(paused, held), issuances.c.achievement_id), else_=literal("")).label("achievement_id")
    columns = (issuances.c.portal_id, issuances.c.reason, stop, stopped)
    query = (
        select(*columns, func.count().label("issuances"), func.min(issuances.c.not_before).label("next_at"))
        .outerjoin(integrations, integrations.c.achievement_id == issuances.c.achievement_id)
        .where(issuances.c.state == IssuanceState.PENDING)
        .group_by(*columns)
        .order_by(*columns)
    )
    if portal_ids is not None:
        query = query.where(issuances.c.portal_id.in_(portal_ids))
    return [
        PendingCount(
            portal_id=row.portal_id,
            achievement_id=row.achievement_id,
            reason=row.reason,
            stop=row.stop,
            count=row.issuances,
            next_at=row.next_at,
        )
        for row in connection.execute(query)
    ]


def last_issued(connection: Connection) -> list[datetime]:
    """Return when the latest badges were issued, in UTC, the latest first; from the latest attempts only.

    If none of those issued a badge, the oldest of them: no badge was issued since.
    """
    newest = connection.scalar(select(func.max(attempts.c.id))) or 0
    query = select(attempts.c.started_at, attempts.c.outcome).where(attempts.c.id > newest - LATEST_ATTEMPTS)
    rows = list(connection.execute(query.order_by(attempts.c.id.desc())))
    return [row.started_at for row in rows if row.outcome is AttemptOutcome.ISSUED] or [
        row.started_at for row in rows[-1:]
    ]
