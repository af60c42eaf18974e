"""The ledger's indexes with a condition.

Apart from the tables, because a condition loads SQLAlchemy's dialect of PostgreSQL, and only migrations need indexes.
"""

from sqlalchemy import Index, Table, text

from models.ledger.history import IssuanceTransition
from models.ledger.tables import BadgeIssuance
from models.tables import table

_issuances, _history = table(BadgeIssuance), table(IssuanceTransition)


def _partial(name: str, *columns: str, where: str, unique: bool = False, of: Table = _issuances) -> None:
    condition = text(where)
    Index(name, *(of.c[each] for each in columns), unique=unique, sqlite_where=condition, postgresql_where=condition)


_partial("ix_badge_issuances_due", "portal_id", "not_before", where="state = 'pending'")
_partial("ix_badge_issuances_work", "portal_id", "id", where="state IN ('pending', 'issuing')")
_partial("ix_badge_issuances_leases", "lease_until", where="state = 'issuing'")
_partial("ix_badge_issuances_failed", "looked_again_at", where="state = 'failed'")
_partial("ix_badge_issuances_open", "id", where="state NOT IN ('issued', 'issuing', 'cancelled')")
_partial("ix_badge_issuances_cancelled", "achievement_id", "user_id", where="state = 'cancelled'")
_partial("ix_badge_issuances_replacing", "replaces_badge_id", where="replaces_badge_id IS NOT NULL")
_partial("ix_badge_issuances_pair", "achievement_id", "user_id", where="former = false", unique=True)
_partial("ix_issuance_history_names", "at", where="reason = 'name_corrected'", of=_history)
