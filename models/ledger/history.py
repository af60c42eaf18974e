"""The history of issuances: one row for each transition, appended by a trigger. Only an erasure changes it.

A trigger, because one statement may change a million rows, and because changes by an administrator in SQL or by a
worker of an earlier version are recorded as well.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import CheckConstraint, Connection, Index, MetaData, event, false, select, text

from models.base import Field, LaurelTable, laurel_metadata
from models.columns import UtcDateTime, enum_by_value, own_id
from models.tables import table
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from rules.ledger.transitions import RULES, Rule, Transition, legal_moves


def _is_legal() -> str:
    known = [f"WHEN '{name}' THEN {_allows(rule)}" for name, rule in RULES.items() if name is not Transition.UNKNOWN]
    return f"CASE transition {' '.join(known)} ELSE from_state IS NULL OR {_leads_somewhere()} END"


def _allows(rule: Rule) -> str:
    targets = f"to_state IN ({_listed(rule.targets)})" if rule.targets else "to_state = from_state"
    if not rule.sources:
        return f"from_state IS NULL AND {targets}"
    sources = f"from_state IN ({_listed(rule.sources)})"
    return f"({'from_state IS NULL OR ' if rule.enters else ''}{sources}) AND {targets}"


def _leads_somewhere() -> str:
    # For `unknown`, any transition's pair of states.
    targets: dict[IssuanceState, list[IssuanceState]] = {}
    for source, target in legal_moves():
        if source is not None:
            targets.setdefault(source, []).append(target)
    whens = " ".join(
        f"WHEN '{source}' THEN to_state IN ({_listed(sorted(targets[source]))})" for source in IssuanceState
    )
    return f"CASE from_state {whens} END"


def _listed(states: Iterable[IssuanceState]) -> str:
    return ", ".join(f"'{state}'" for state in states)


class IssuanceTransition(LaurelTable, table=True):
    """One change of an issuance's state. `from_state` is None for a new row, or where it is unknown.

    `reconstructed`: derived from an existing row when the history was introduced, not written when it happened.
    """

    __tablename__ = "issuance_history"
    __table_args__ = (
        CheckConstraint(_is_legal(), name="legal"),
        Index("ix_issuance_history_issuance", "issuance_id", "id"),
        Index("ix_issuance_history_run", "flow_run_id"),
    )
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    issuance_id: int = Field(foreign_key="badge_issuances.id", sa_type=own_id())
    at: datetime = Field(sa_type=UtcDateTime)
    transition: Transition = Field(sa_type=enum_by_value(Transition, name="transition"))
    from_state: IssuanceState | None = Field(default=None, sa_type=enum_by_value(IssuanceState, name="from_state"))
    to_state: IssuanceState = Field(sa_type=enum_by_value(IssuanceState, name="to_state"))
    reason: Reason | None = Field(default=None, sa_type=enum_by_value(Reason, name="reason"))
    badge_template_id: str = Field(max_length=64)
    flow_run_id: str | None = Field(default=None, max_length=36)
    reconstructed: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


_APPEND = """INSERT INTO issuance_history
  (issuance_id, at, transition, from_state, to_state, reason, badge_template_id, flow_run_id)
  VALUES (NEW.id, NEW.updated_at, {transition}, {before}, NEW.state, NEW.reason, NEW.badge_template_id,
    NEW.flow_run_id)"""
# Writers that do not name their transition (a version before 0007, an administrator in SQL) do not count up `moves`.
_NEW = _APPEND.format(
    transition="CASE WHEN NEW.moves = 1 THEN NEW.transition ELSE 'unknown' END",
    before="NULL",
)
_CHANGED = _APPEND.format(
    transition="CASE WHEN NEW.moves > OLD.moves THEN NEW.transition ELSE 'unknown' END", before="OLD.state"
)
# Claims and releases are not recorded (`Rule.in_history`): issuance_attempts has the calls that they belong to.
_RECORDED = (
    "NOT (OLD.state = 'pending' AND NEW.state = 'issuing')"
    " AND NOT (NEW.moves > OLD.moves AND NEW.transition = 'release')"
)
_CREATE = {
    "sqlite": (
        f"CREATE TRIGGER laurel_history_new AFTER INSERT ON badge_issuances BEGIN {_NEW}; END",
        f"CREATE TRIGGER laurel_history_changed AFTER UPDATE OF state ON badge_issuances WHEN {_RECORDED}"
        f" BEGIN {_CHANGED}; END",
    ),
    "postgresql": (
        f"CREATE OR REPLACE FUNCTION laurel_history_new() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {_NEW}; RETURN NULL; END $$",
        f"CREATE OR REPLACE FUNCTION laurel_history_changed() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {_CHANGED}; RETURN NULL; END $$",
        "CREATE TRIGGER laurel_history_new AFTER INSERT ON badge_issuances"
        " FOR EACH ROW EXECUTE FUNCTION laurel_history_new()",
        "CREATE TRIGGER laurel_history_changed AFTER UPDATE OF state ON badge_issuances"
        f" FOR EACH ROW WHEN ({_RECORDED}) EXECUTE FUNCTION laurel_history_changed()",
    ),
}
_DROP = {
    "sqlite": ("DROP TRIGGER IF EXISTS laurel_history_new", "DROP TRIGGER IF EXISTS laurel_history_changed"),
    "postgresql": (
        "DROP FUNCTION IF EXISTS laurel_history_new() CASCADE",
        "DROP FUNCTION IF EXISTS laurel_history_changed() CASCADE",
    ),
}


def is_for_a_name(connection: Connection, issuance_id: int) -> bool:
    """Whether an issuance is to replace its badge for a corrected name, and not because it was requested or earned."""
    # From the history, since the row's own reason is that of its latest call.
    history = table(IssuanceTransition)
    latest = (
        select(history.c.reason)
        .where(history.c.issuance_id == issuance_id, history.c.transition.in_([Transition.REPLACE, Transition.REQUEST]))
        .order_by(history.c.id.desc())
        .limit(1)
    )
    return connection.scalar(latest) == Reason.NAME_CORRECTED


def trigger_statements(dialect: str) -> tuple[str, ...]:
    return _CREATE[dialect]


def _create(_metadata: MetaData, connection: Connection, **_options: object) -> None:
    _drop(_metadata, connection)
    for statement in trigger_statements(connection.dialect.name):
        connection.execute(text(statement))


def _drop(_metadata: MetaData, connection: Connection, **_options: object) -> None:
    for statement in _DROP[connection.dialect.name]:
        connection.execute(text(statement))


event.listen(laurel_metadata, "after_create", _create)
event.listen(laurel_metadata, "before_drop", _drop)
