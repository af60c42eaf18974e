"""The results of flow runs, counted from the history of issuances and their attempts."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, Subquery, and_, case, func, or_, select

from models.ledger.history import IssuanceTransition
from models.ledger.tables import BadgeIssuance, IssuanceAttempt
from models.tables import table
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from rules.ledger.transitions import Transition
from rules.monitoring.run_summary import NAMED, SLOWEST, IssuanceRef, Results, RunSummary, SlowCall

history = table(IssuanceTransition)
issuances = table(BadgeIssuance)
attempts = table(IssuanceAttempt)
# The end of a claim; and a refusal that was deferred, because it was not about the badge. By the states, so that the
# results of workers of an earlier version are counted too: their transitions are `unknown`.
_IS_RESULT = or_(
    and_(history.c.from_state == IssuanceState.ISSUING, history.c.to_state != IssuanceState.ISSUING),
    and_(history.c.from_state == IssuanceState.FAILED, history.c.transition == Transition.DEFER),
)


def summary(connection: Connection, flow_run_ids: Sequence[str]) -> RunSummary:
    """Return the results of these flow runs. An issuance of several of them counts once, with its last result."""
    if not flow_run_ids:
        return RunSummary()
    in_runs = and_(history.c.flow_run_id.in_(flow_run_ids), _IS_RESULT)
    last = select(func.max(history.c.id).label("id")).where(in_runs).group_by(history.c.issuance_id).subquery()
    results = _results(connection, last)
    return RunSummary(
        results=results,
        named=_named(connection, last) if any(each.reason for each in results) else {},
        slowest=_slowest(connection, flow_run_ids, in_runs),
    )


def _results(connection: Connection, last: Subquery) -> list[Results]:
    columns = (
        history.c.flow_run_id,
        issuances.c.portal_id,
        issuances.c.achievement_id,
        history.c.to_state.label("state"),
        history.c.reason,
    )
    adopted = case((and_(history.c.to_state == IssuanceState.ISSUED, issuances.c.adopted), 1), else_=0)
    query = (
        select(*columns, func.count().label("issuances"), func.sum(adopted).label("adopted"))
        .join(last, last.c.id == history.c.id)
        .join(issuances, issuances.c.id == history.c.issuance_id)
        .group_by(*columns)
        .order_by(*columns)
    )
    return [
        Results(
            flow_run_id=row.flow_run_id,
            portal_id=row.portal_id,
            achievement_id=row.achievement_id,
            state=row.state,
            reason=row.reason,
            count=row.issuances,
            adopted=row.adopted,
        )
        for row in connection.execute(query)
    ]


def _named(connection: Connection, last: Subquery) -> dict[tuple[IssuanceState, Reason], list[IssuanceRef]]:
    key = (history.c.to_state, history.c.reason)
    numbered = (
        select(
            *key,
            history.c.issuance_id,
            func.row_number().over(partition_by=key, order_by=history.c.issuance_id).label("place"),
        )
        .join(last, last.c.id == history.c.id)
        .where(history.c.reason.is_not(None))
        .subquery()
    )
    ids = [issuances.c[name] for name in ("achievement_id", "user_id", "portal_id")]
    query = (
        select(numbered, *ids)
        .join(issuances, issuances.c.id == numbered.c.issuance_id)
        .where(numbered.c.place <= NAMED)
        .order_by(numbered.c.issuance_id)
    )
    named: dict[tuple[IssuanceState, Reason], list[IssuanceRef]] = {}
    for row in connection.execute(query):
        each = IssuanceRef(row.issuance_id, row.achievement_id, row.user_id, row.portal_id)
        named.setdefault((row.to_state, row.reason), []).append(each)
    return named


def _slowest(connection: Connection, flow_run_ids: Sequence[str], in_runs: ColumnElement[bool]) -> list[SlowCall]:
    # Through the issuances: attempts have an index by issuance, but none by run.
    worked_on = select(history.c.issuance_id).where(in_runs)
    query = (
        select(attempts)
        .where(attempts.c.issuance_id.in_(worked_on), attempts.c.flow_run_id.in_(flow_run_ids))
        .order_by(attempts.c.duration_ms.desc(), attempts.c.id)
        .limit(SLOWEST)
    )
    return [
        SlowCall(timedelta(milliseconds=row.duration_ms), row.issuance_id, row.kind.value, row.outcome.value)
        for row in connection.execute(query)
    ]
