"""Counts for analysts. The database makes them, so that memory does not grow with the number of issuances."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    String,
    Subquery,
    case,
    cast,
    distinct,
    func,
    literal,
    null,
    or_,
    select,
    true,
    type_coerce,
    union_all,
)

from models.analytics import views
from models.analytics.filters import CountFilter, how_many, within
from models.analytics.functions import utc_day, utc_week
from models.columns import UtcDateTime
from models.ledger.tables import AttemptOutcome
from rules.datasets import TIME_BUCKETS, Group
from rules.ledger.states import NO_MOMENT, WAITING, IssuanceState

issuances = views.issuances
_STATE = issuances.c.state
_LEFT = case((_STATE == IssuanceState.ISSUED, issuances.c.recorded_at), else_=issuances.c.changed_at)
# Clocks of two machines may differ: an issuance must not end before it was created.
_LEFT_AT = type_coerce(
    case(
        (_STATE.in_(WAITING), null()),
        (issuances.c.entered_at > _LEFT, issuances.c.entered_at),
        else_=_LEFT,
    ),
    UtcDateTime(),
)
# By name: the moment that decides the day, and which issuances are counted.
_FLOWS: dict[str, tuple[ColumnElement[Any], ColumnElement[bool]]] = {
    "awarded": (issuances.c.awarded_at, issuances.c.awarded_at < NO_MOMENT),
    "entered": (issuances.c.entered_at, true()),
    "issued": (issuances.c.recorded_at, _STATE == IssuanceState.ISSUED),
    "failed": (issuances.c.changed_at, _STATE == IssuanceState.FAILED),
    "cancelled": (issuances.c.changed_at, _STATE == IssuanceState.CANCELLED),
    "left": (_LEFT_AT, true()),
}


Counted = tuple[Any, ...]


def daily_flows(connection: Connection, which: CountFilter) -> Sequence[Counted]:
    """Return (groups…, day as text, name of the count, number) for each day of the period that has any.

    `left` counts issuances that were issued, failed or cancelled, on no day before their creation.
    """
    parts = []
    for name, (moment, counted) in _FLOWS.items():
        day = utc_day(moment)
        keys = which.groups(issuances)
        query = select(*keys, day.label("day"), literal(name).label("counted"), func.count().label("n"))
        wanted = (counted, moment.is_not(None), within(moment, which.period), which.of(issuances))
        parts.append(query.where(*wanted).group_by(*keys, day))
    return counted_in(connection, union_all(*parts))


def waiting_before(connection: Connection, which: CountFilter, day: date) -> Sequence[Counted]:
    """Return (groups…, how many) of the issuances waiting when the day began (UTC)."""
    moment = datetime.combine(day, time.min, tzinfo=UTC)
    still_there = or_(_LEFT_AT.is_(None), moment <= _LEFT_AT)
    entered = issuances.c.entered_at < moment
    return _grouped(connection, which, func.count(), where=(entered, still_there))


def times_to_badge(connection: Connection, which: CountFilter) -> Sequence[Counted]:
    """Return (groups…, badges, fastest, median, 95th percentile, slowest) in seconds, of badges of the period.

    Percentiles are by nearest rank: the smallest time that so many of a hundred badges did not exceed.
    """
    lengths = _lengths(which)
    keys = [lengths.c[group.column] for group in which.by]
    ranked = select(
        *keys,
        lengths.c.seconds,
        cast(func.sum(lengths.c.n).over(partition_by=keys or None, order_by=lengths.c.seconds), BigInteger).label(
            "upto"
        ),
        cast(func.sum(lengths.c.n).over(partition_by=keys or None), BigInteger).label("n"),
    ).subquery()
    keys = [ranked.c[group.column] for group in which.by]
    median, p95 = (
        func.min(case((ranked.c.upto >= (ranked.c.n * percent + 99) // 100, ranked.c.seconds))) for percent in (50, 95)
    )
    query = select(
        *keys, func.max(ranked.c.n), func.min(ranked.c.seconds), median, p95, func.max(ranked.c.seconds)
    ).select_from(ranked)
    query = query.group_by(*keys).order_by(*keys) if keys else query.having(func.count() > 0)
    return counted_in(connection, query)


def _lengths(which: CountFilter) -> Subquery:
    """Return how many badges took how many seconds: far fewer rows than badges, and the seconds are computed once."""
    groups, seconds = which.groups(issuances), issuances.c.seconds_to_badge
    query = select(*groups, seconds.label("seconds"), func.count().label("n")).where(*_timed(which))
    return query.group_by(*groups, seconds).subquery()


def time_buckets(connection: Connection, which: CountFilter) -> Sequence[Counted]:
    """Return (number of the bucket in TIME_BUCKETS, badges) of badges of the period; empty buckets are left out."""
    lengths = _lengths(replace(which, by=()))
    bounds = [
        (lengths.c.seconds < bound, number) for number, (bound, _words) in enumerate(TIME_BUCKETS) if bound is not None
    ]
    bucket = case(*bounds, else_=len(bounds)).label("bucket")
    counted = select(bucket, lengths.c.n).subquery()
    badges = cast(func.sum(counted.c.n), BigInteger)
    query = select(counted.c.bucket, badges).group_by(counted.c.bucket).order_by(counted.c.bucket)
    return counted_in(connection, query)


def reasons(connection: Connection, which: CountFilter) -> Sequence[Counted]:
    """Return (groups…, state, reason, how many) of issuances that are not issued and last changed in the period."""
    state, reason = (type_coerce(column, String) for column in (_STATE, issuances.c.reason))
    wanted = (
        _STATE != IssuanceState.ISSUED,
        within(issuances.c.changed_at, which.period),
        which.of(issuances),
    )
    keys = [*which.groups(issuances), state, reason]
    query = select(*keys, func.count()).where(*wanted).group_by(*keys).order_by(*keys)
    return counted_in(connection, query)


def funnel(connection: Connection, which: CountFilter) -> Sequence[Counted]:
    """Return (groups…, created, issued, claim known, claimed, waiting, failed, cancelled) of the period's issuances."""
    claimed = issuances.c.claimed
    counted = (
        _STATE == IssuanceState.ISSUED,
        claimed.is_not(None),
        claimed.is_(True),
        _STATE.in_(WAITING),
        _STATE == IssuanceState.FAILED,
        _STATE == IssuanceState.CANCELLED,
    )
    sums = [how_many(condition) for condition in counted]
    entered = within(issuances.c.entered_at, which.period)
    return _grouped(connection, which, func.count(), *sums, where=(entered,), most=sums[0])


def refusals(connection: Connection, which: CountFilter) -> Sequence[Counted]:
    """Return (groups…, week as text, status, code, Credly's message, calls, issuances), the newest week first."""
    source, week = views.attempts, utc_week(views.attempts.c.started_at).label("week")
    keys = [*which.groups(source, source.c.started_at), week, source.c.status, source.c.code, source.c.credly_message]
    calls = func.count().label("calls")
    query = select(*keys, calls, func.count(distinct(source.c.issuance_id))).where(
        source.c.outcome == AttemptOutcome.REFUSED, within(source.c.started_at, which.period), which.of(source)
    )
    return counted_in(connection, query.group_by(*keys).order_by(week.desc(), calls.desc(), *keys))


def _timed(which: CountFilter) -> tuple[ColumnElement[bool], ...]:
    return (
        issuances.c.seconds_to_badge.is_not(None),
        within(issuances.c.recorded_at, which.period),
        which.of(issuances),
    )


def _grouped(
    connection: Connection,
    which: CountFilter,
    *counts: ColumnElement[Any],
    where: Sequence[ColumnElement[bool]],
    most: ColumnElement[Any] | None = None,
) -> Sequence[Counted]:
    keys = which.groups(issuances)
    # Of users there are more than a page shows: those with the most first.
    first = [most.desc()] if most is not None and Group.USER in which.by else []
    query = select(*keys, *counts).where(*where, which.of(issuances))
    return counted_in(connection, query.group_by(*keys).order_by(*first, *keys))


def counted_in(connection: Connection, query: Select[Any] | CompoundSelect[Any]) -> Sequence[Counted]:
    """Return the rows of a query that counts."""
    return [tuple(row) for row in connection.execute(query)]
