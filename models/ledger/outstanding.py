"""Calls whose outcome is not known: a badge may have been made, so they are settled before anything else changes.

`unclear_at` is the moment from which Credly is asked first, `sent_to` the organization that the call went to.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from models.ledger.tables import BadgeIssuance
from models.ledger.transitions import move
from models.organizations import organizations
from models.tables import table
from rules.ledger.transitions import Transition
from rules.reasons import REFUSED_REASONS, TEMPLATE_REASONS
from rules.states import IssuanceState

issuances = table(BadgeIssuance)
_SETTLED = (*REFUSED_REASONS, *TEMPLATE_REASONS)


def is_outstanding() -> ColumnElement[bool]:
    """Return the condition: a call for this row is not settled yet."""
    columns = issuances.c
    # A worker of a version before 0007 leaves no `sent_to`. What was refused was looked up after the refusal.
    earlier = and_(columns.unclear_at.is_not(None), or_(columns.reason.is_(None), columns.reason.not_in(_SETTLED)))
    return and_(columns.state != IssuanceState.ISSUED, or_(columns.sent_to.is_not(None), earlier))


def count_at(connection: Connection, portal_id: str, organization_id: str) -> int:
    """Count the portal's issuances whose calls to this organization are outstanding, and that no run holds now."""
    return connection.scalar(select(func.count()).where(_at(portal_id, organization_id))) or 0


def abandon_at(connection: Connection, portal_id: str, organization_id: str, *, now: datetime) -> int:
    """Give up the portal's outstanding calls to this organization; return how many. Their outcome stays unknown."""
    return move(connection, Transition.ABANDON, _at(portal_id, organization_id), now=now)


def _at(portal_id: str, organization_id: str) -> ColumnElement[bool]:
    ids = select(organizations.c.id).where(organizations.c.organization_id == organization_id)
    columns = issuances.c
    open_rows = columns.state.in_([IssuanceState.PENDING, IssuanceState.BLOCKED, IssuanceState.FAILED])
    return and_(columns.portal_id == portal_id, open_rows, columns.sent_to.in_(ids))
