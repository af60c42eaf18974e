"""Writes an issuance's state. Every change is a transition of rules/ledger/transitions.py; no other file makes one.

A trigger of the database appends each change to the history (models/ledger/history.py), in the same transaction.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Update, bindparam, case, or_, update

from models.ledger.tables import BadgeIssuance
from models.tables import table
from rules.ledger.states import IssuanceState
from rules.ledger.transitions import Transition

issuances = table(BadgeIssuance)
FLOW_RUN = "laurel_flow_run"
_LEASE_ENDED = {"claim": None, "lease_until": None}
_RESET_ATTEMPTS: dict[str, Any] = {"reason": None, "credly_message": None, "attempts": 0}
# Columns that a transition sets besides the state, unless the caller passes another value.
_SETS: dict[Transition, dict[str, Any]] = {
    Transition.RELEASE: _LEASE_ENDED,
    Transition.UNBLOCK: {"reason": None},
    Transition.REQUEST: _RESET_ATTEMPTS,
    Transition.RETRY: _RESET_ATTEMPTS,
    Transition.REPLACE: {
        "reason": None,
        "replaces_badge_id": issuances.c.credly_badge_id,
        "credly_badge_id": None,
        "recorded_at": None,
        "attempts": 0,
    },
    Transition.RESTORE: {
        "reason": None,
        "credly_badge_id": issuances.c.replaces_badge_id,
        "replaces_badge_id": None,
    },
    Transition.ABANDON: {"sent_to": None, "unclear_at": None},
    Transition.REVOKE: {"credly_badge_id": None, "recorded_at": None, "name_digest": None},
}
_TRANSITION_TO = {
    IssuanceState.ISSUED: Transition.ISSUE,
    IssuanceState.PENDING: Transition.DEFER,
    IssuanceState.FAILED: Transition.FAIL,
    IssuanceState.BLOCKED: Transition.BLOCK,
    IssuanceState.CANCELLED: Transition.CANCEL,
}


def flow_run_of(connection: Connection) -> str | None:
    """Return the id of the flow run that uses this connection, None outside of Prefect."""
    found: str | None = connection.get_execution_options().get(FLOW_RUN)
    return found


def new_row(connection: Connection, transition: Transition, *, state: IssuanceState, now: datetime) -> dict[str, Any]:
    """Return the values that all new rows share."""
    return {
        "state": state,
        "transition": transition,
        "moves": 1,
        "attempts": 0,
        "adopted": False,
        "evidence_sent": "",
        "evidence_left_out": "",
        "looked_again_at": now,
        "planned_at": now,
        "updated_at": now,
        "flow_run_id": flow_run_of(connection),
    }


def move(
    connection: Connection,
    transition: Transition,
    *where: ColumnElement[bool],
    now: datetime,
    to: IssuanceState | None = None,
    **values: Any,
) -> int:
    """Apply a transition to the matching rows; return to how many it was applied.

    Args:
        connection: an open transaction.
        transition: which one.
        where: the rows; those in a state from which the transition is not allowed are left unchanged.
        now: the moment (UTC).
        to: the new state, if the transition has several targets.
        values: other columns.
    """
    statement = _statement(transition, to).where(*where).values(_common(connection, now) | values)
    return connection.execute(statement).rowcount


def move_each(
    connection: Connection,
    transition: Transition,
    rows: Sequence[tuple[int, dict[str, Any]]],
    *,
    now: datetime,
    to: IssuanceState | None = None,
) -> None:
    """Apply a transition to rows by id, each with its own values for the same columns."""
    new: dict[str, Any] = {name: bindparam(f"new_{name}") for name in rows[0][1]}
    statement = _statement(transition, to).where(issuances.c.id == bindparam("row_id"))
    given = [{f"new_{name}": value for name, value in values.items()} for _, values in rows]
    connection.execute(
        statement.values(_common(connection, now) | new),
        [each | {"row_id": row_id} for each, (row_id, _) in zip(given, rows, strict=True)],
    )


def claiming(taken_over: ColumnElement[bool]) -> Update:
    """Return the statement that claims rows, without its WHERE; `taken_over`: an earlier lease has expired."""
    named = case((taken_over, Transition.TAKE_OVER), else_=Transition.CLAIM)
    return update(issuances).values(
        state=IssuanceState.ISSUING, reason=None, transition=named, moves=issuances.c.moves + 1
    )


def recording() -> Update:
    """Return the statement that records the outcome of a claimed row, without its WHERE; see `recorded`."""
    types = issuances.c
    return (
        update(issuances)
        .where(types.state == IssuanceState.ISSUING)
        .values(
            state=bindparam("new_state", type_=types.state.type),
            transition=bindparam("new_transition", type_=types.transition.type),
            moves=types.moves + 1,
            **_LEASE_ENDED,
        )
    )


def recorded(state: IssuanceState) -> dict[str, Any]:
    """Return the parameters of `recording` for a new state."""
    return {"new_state": state, "new_transition": _TRANSITION_TO[state]}


def _statement(transition: Transition, to: IssuanceState | None) -> Update:
    rule = transition.rule
    target = to or (rule.targets[0] if len(rule.targets) == 1 else None)
    if (target is None) != (not rule.targets) or (target is not None and target not in rule.targets):
        raise ValueError(f"{transition} leads to one of {rule.targets}, not to {to}.")
    # The state is written even if it does not change: the trigger fires on UPDATE OF state.
    state = issuances.c.state if target is None else target
    new = {"state": state, "transition": transition, "moves": issuances.c.moves + 1}
    # Not IN: an expanding parameter cannot be used with executemany.
    may_lead_from = or_(*(issuances.c.state == source for source in rule.sources))
    return update(issuances).where(may_lead_from).values(new | _SETS.get(transition, {}))


def _common(connection: Connection, now: datetime) -> dict[str, Any]:
    return {"updated_at": now, "flow_run_id": flow_run_of(connection), "task_run_id": None}
