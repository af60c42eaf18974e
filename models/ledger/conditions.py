"""Conditions on rows of the ledger that several statements share."""

from sqlalchemy import ColumnElement, and_, bindparam, exists, literal, or_

from models.ledger.tables import BadgeIssuance
from models.setup.tables import CredlyIntegration
from models.tables import table
from rules.ledger.reasons import REFUSED_REASONS, TEMPLATE_REASONS
from rules.ledger.states import IssuanceState

issuances = table(BadgeIssuance)
integrations = table(CredlyIntegration)
_SETTLED = (*REFUSED_REASONS, *TEMPLATE_REASONS)


def in_states(*states: IssuanceState) -> ColumnElement[bool]:
    """Return the condition that an issuance is in one of these states, with the states as literals in the SQL."""
    column = issuances.c.state
    # Literals, because a planner uses a partial index only if it can compare the states with the index's own WHERE
    # when it plans the statement. A single state is compared with `=`, as the indexes of a single state do.
    if len(states) == 1:
        return column == literal(states[0], type_=column.type, literal_execute=True)
    return column.in_(bindparam(None, states, expanding=True, literal_execute=True))


def integration_has(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that the achievement of an issuance has an integration with this property."""
    return exists().where(integrations.c.achievement_id == issuances.c.achievement_id, condition)


def is_outstanding() -> ColumnElement[bool]:
    """Return the condition that the outcome of a call for an issuance is unknown, so a badge may have been created.

    Such a row is settled at Credly before anything else changes it. `unclear_at` is the moment from which Credly
    is searched first, `sent_to` the organization that was called.
    """
    columns = issuances.c
    # Workers of a version before 0007 do not write `sent_to`. A refused request was looked up after the refusal.
    before_0007 = and_(columns.unclear_at.is_not(None), or_(columns.reason.is_(None), columns.reason.not_in(_SETTLED)))
    return and_(columns.state != IssuanceState.ISSUED, or_(columns.sent_to.is_not(None), before_0007))
