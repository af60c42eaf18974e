"""Calls whose outcome is unknown, counted and given up by portal and organization."""

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, func, select

from models.ledger.conditions import in_states
from models.ledger.tables import BadgeIssuance
from models.ledger.transitions import move
from models.setup.organizations import organizations
from models.tables import table
from rules.ledger.states import IssuanceState
from rules.ledger.transitions import Transition

issuances = table(BadgeIssuance)


def count_at(connection: Connection, portal_id: str, organization_id: str) -> int:
    """Count the portal's issuances with an outstanding call to this organization that no run is working on."""
    return connection.scalar(select(func.count()).where(_at(portal_id, organization_id))) or 0


def abandon_at(connection: Connection, portal_id: str, organization_id: str, *, now: datetime) -> int:
    """Give up the portal's outstanding calls to this organization; return how many. Their outcome stays unknown."""
    return move(connection, Transition.ABANDON, _at(portal_id, organization_id), now=now)


def _at(portal_id: str, organization_id: str) -> ColumnElement[bool]:
    ids = select(organizations.c.id).where(organizations.c.organization_id == organization_id)
    open_rows = in_states(IssuanceState.PENDING, IssuanceState.BLOCKED, IssuanceState.FAILED)
    return and_(issuances.c.portal_id == portal_id, open_rows, issuances.c.sent_to.in_(ids))
