"""Counts of what happened, from the history. The database makes them, as in counts.py."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    and_,
    case,
    distinct,
    exists,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    true,
    type_coerce,
    union_all,
)

from models.analytics import history_views
from models.analytics.counts import Counted, counted_in
from models.analytics.filters import CountFilter, how_many, within
from models.analytics.functions import utc_day, whole_seconds
from models.ledger.history import IssuanceTransition
from models.tables import table
from rules.ledger.reasons import DATA_REASONS
from rules.ledger.states import WAITING, IssuanceState
from rules.ledger.transitions import Transition

history, states = history_views.history, history_views.states
transitions = table(IssuanceTransition)
_TO, _FROM, _BY = history.c.to_state, history.c.from_state, history.c.transition
# The upgrade to the history wrote two rows for each issuance: its entry, and its state of that day.
_OF_UPGRADE = and_(history.c.reconstructed, _BY == Transition.UNKNOWN, _FROM.is_(None))
_ENTERED = and_(_FROM.is_(None), not_(_OF_UPGRADE))


def _came(*to: IssuanceState) -> ColumnElement[bool]:
    return and_(_TO.in_(to), or_(_FROM.is_(None), _FROM.not_in(to)))


def _left(*source: IssuanceState) -> ColumnElement[bool]:
    return and_(_FROM.in_(source), _TO.not_in(source))


_EVENTS: dict[str, ColumnElement[bool]] = {
    "entered": _ENTERED,
    "issued": and_(_came(IssuanceState.ISSUED), _BY != Transition.RESTORE),
    "failed": _came(IssuanceState.FAILED),
    "left_failed": _left(IssuanceState.FAILED),
    "blocked": _came(IssuanceState.BLOCKED),
    "left_blocked": _left(IssuanceState.BLOCKED),
    "cancelled": _came(IssuanceState.CANCELLED),
    "revoked": _BY == Transition.REVOKE,
    "replaced": _BY == Transition.REPLACE,
}
# Not columns of the result: the balance of each day, for what waits and what is issued at its end.
_BALANCE: dict[str, ColumnElement[bool]] = {
    "began_waiting": or_(and_(_ENTERED, _TO.in_(WAITING)), and_(_FROM.not_in(WAITING), _TO.in_(WAITING))),
    "left_waiting": and_(_TO.not_in(WAITING), or_(_FROM.in_(WAITING), _OF_UPGRADE)),
    "became_issued": _came(IssuanceState.ISSUED),
    "left_issued": _left(IssuanceState.ISSUED),
}
_LEVELS = (WAITING, (IssuanceState.FAILED,), (IssuanceState.ISSUED,))
EVENTS, BALANCE = tuple(_EVENTS), tuple(_BALANCE)
_COUNTED = _EVENTS | _BALANCE


def daily_events(connection: Connection, which: CountFilter) -> Sequence[Counted]:
    """Return (groups…, day as text, name of the count, number) for each day of the period that has any."""
    keys, day = which.groups(history), utc_day(history.c.at)
    sums = [how_many(condition).label(name) for name, condition in _COUNTED.items()]
    by_day = (
        select(*keys, day.label("day"), *sums)
        .where(within(history.c.at, which.period), which.of(history))
        .group_by(*keys, day)
        .cte()
    )
    parts = [
        select(*(by_day.c[group.column] for group in which.by), by_day.c.day, literal(name), by_day.c[name])
        for name in _COUNTED
    ]
    return counted_in(connection, union_all(*parts))


def open_before(connection: Connection, which: CountFilter, day: date) -> Sequence[Counted]:
    """Return (groups…, how many waited, how many were failed, how many were issued) when the day began (UTC)."""
    keys, midnight = which.groups(history), datetime.combine(day, time.min, tzinfo=UTC)
    # By the last transition before, and not by sums over all: earlier ones may have been moved out of the ledger.
    later = exists().where(
        transitions.c.issuance_id == history.c.issuance_id,
        transitions.c.id > history.c.history_id,
        transitions.c.at < midnight,
    )
    levels = [how_many(_TO.in_(group)) for group in _LEVELS]
    query = select(*keys, *levels).where(history.c.at < midnight, not_(later), which.of(history))
    return counted_in(connection, query.group_by(*keys).order_by(*keys))


def states_at(connection: Connection, which: CountFilter) -> Sequence[Counted]:
    """Return (groups…, state, reason, how many) when the period ended, or now if it has no end."""
    keys = [*which.groups(states), *_state_and_reason()]
    moment = min(which.period.end or which.now, which.now)
    wanted = (states.c.began_at < moment, or_(states.c.ended_at.is_(None), states.c.ended_at >= moment))
    query = select(*keys, func.count()).where(*wanted, _in_states(which), which.of(states))
    return counted_in(connection, query.group_by(*keys).order_by(*keys))


def time_in_state(connection: Connection, which: CountFilter) -> Sequence[Counted]:
    """Return (groups…, state, reason, stays, open, median, 95th percentile, longest, sum), the times in seconds.

    Of stays that began in the period; one that has not ended counts until now. Percentiles are by nearest rank.
    """
    keys = [*which.groups(states), *_state_and_reason()]
    so_far = int(which.now.timestamp()) - whole_seconds(states.c.began_at)
    seconds = func.coalesce(states.c.seconds, case((so_far > 0, so_far), else_=0))
    stays = (
        select(*keys, seconds.label("seconds"), states.c.ended_at.is_(None).label("open"))
        .where(within(states.c.began_at, which.period), _in_states(which), which.of(states))
        .subquery()
    )
    names = [key.name for key in keys]
    by = [stays.c[name] for name in names]
    ranked = select(
        *by,
        stays.c.seconds,
        stays.c.open,
        func.row_number().over(partition_by=by, order_by=stays.c.seconds).label("place"),
        func.count().over(partition_by=by).label("n"),
    ).subquery()
    median, p95 = (
        func.max(case((ranked.c.place == (ranked.c.n * percent + 99) // 100, ranked.c.seconds))) for percent in (50, 95)
    )
    keys = [ranked.c[name] for name in names]
    longest, total = func.max(ranked.c.seconds), func.sum(ranked.c.seconds)
    query = select(*keys, func.count(), how_many(ranked.c.open), median, p95, longest, total)
    return counted_in(connection, query.group_by(*keys).order_by(*keys))


def failures(connection: Connection, which: CountFilter) -> Sequence[Counted]:
    """Return (groups…, reason, of the user's data or not, failures, issuances, still failed), the most first.

    Of failures of the period, whatever became of them.
    """
    reason = type_coerce(states.c.reason, String).label("reason")
    keys, count = [*which.groups(states, states.c.began_at), reason], func.count().label("failures")
    of_data = case((states.c.reason.in_(DATA_REASONS), true()), else_=false()).label("of_data")
    query = select(
        *keys, of_data, count, func.count(distinct(states.c.issuance_id)), how_many(states.c.ended_at.is_(None))
    ).where(states.c.state == IssuanceState.FAILED, within(states.c.began_at, which.period), which.of(states))
    return counted_in(connection, query.group_by(*keys, of_data).order_by(count.desc(), *keys))


def funnel_events(connection: Connection, which: CountFilter) -> Sequence[Counted]:
    """Return (groups…, and of the issuances entered in the period, how many each of these ever happened to)."""
    groups = which.groups(history)
    entered = select(history.c.issuance_id).where(_ENTERED, within(history.c.at, which.period), which.of(history))
    each = (
        select(
            history.c.issuance_id,
            *(func.max(group).label(group.name) for group in groups),
            func.max(case((_EVENTS["issued"], history.c.history_id))).label("issued"),
            *(_first(name) for name in ("failed", "blocked", "cancelled", "revoked")),
        )
        .where(history.c.issuance_id.in_(entered))
        .group_by(history.c.issuance_id)
        .subquery()
    )
    issued, failed, blocked = each.c.issued.is_not(None), each.c.failed.is_not(None), each.c.blocked.is_not(None)
    counts = (
        issued,
        and_(issued, not_(failed), not_(blocked)),
        failed,
        and_(issued, failed, each.c.issued > each.c.failed),
        blocked,
        and_(issued, blocked, each.c.issued > each.c.blocked),
        each.c.cancelled.is_not(None),
        each.c.revoked.is_not(None),
    )
    keys = [each.c[group.column] for group in which.by]
    query = select(*keys, func.count(distinct(each.c.issuance_id)), *(how_many(count) for count in counts))
    return counted_in(connection, query.group_by(*keys).order_by(*keys))


def _first(event: str) -> ColumnElement[Any]:
    return func.min(case((_EVENTS[event], history.c.history_id), else_=null())).label(event)


def _state_and_reason() -> list[ColumnElement[Any]]:
    return [type_coerce(states.c[name], String).label(name) for name in ("state", "reason")]


def _in_states(which: CountFilter) -> ColumnElement[bool]:
    return states.c.state.in_(which.states or tuple(IssuanceState))
