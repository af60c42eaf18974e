"""Counts by achievement and by run for the report, the busiest or latest first."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select

from models.analytics import views
from models.analytics.filters import CountFilter, how_many, within
from models.database import Database
from models.platform.names import names_of
from models.platform.tables import Achievement, Portal
from rules.forms.period import Period
from rules.ledger.states import WAITING, IssuanceState

issuances, runs = views.issuances, views.runs


def places(connection: Connection, which: CountFilter, *, limit: int) -> Sequence[Mapping[str, Any]]:
    """Return what was created, issued and failed in the period and waits now, by portal, achievement and template."""
    state = issuances.c.state
    counts = [
        _count("entered", within(issuances.c.entered_at, which.period)),
        _count("issued", and_(state == IssuanceState.ISSUED, within(issuances.c.recorded_at, which.period))),
        _count("failed", and_(state == IssuanceState.FAILED, within(issuances.c.changed_at, which.period))),
        _count("waiting", state.in_(WAITING)),
        _count("claimed", issuances.c.claimed.is_(True)),
        _count("claim_known", issuances.c.claimed.is_not(None)),
    ]
    keys = [issuances.c.portal_id, issuances.c.achievement_id, issuances.c.badge_template_id]
    counted = select(*keys, *counts).where(which.of(issuances)).group_by(*keys).subquery()
    busy = counted.c.entered + counted.c.issued + counted.c.failed + counted.c.waiting
    query = (
        select(counted, func.count().over().label("of"))
        .where(busy > 0)
        .order_by(busy.desc(), counted.c.portal_id, counted.c.achievement_id, counted.c.badge_template_id)
        .limit(limit)
    )
    return [dict(row._mapping) for row in connection.execute(query)]


def portals(connection: Connection, now: Period, before: Period, *, limit: int) -> Sequence[Mapping[str, Any]]:
    """Return what was issued and failed in two periods and waits now, by portal, the busiest first."""
    state = issuances.c.state
    is_issued, is_failed = state == IssuanceState.ISSUED, state == IssuanceState.FAILED
    counts = [
        _count("issued", and_(is_issued, within(issuances.c.recorded_at, now))),
        _count("issued_before", and_(is_issued, within(issuances.c.recorded_at, before))),
        _count("failed", and_(is_failed, within(issuances.c.changed_at, now))),
        _count("failed_before", and_(is_failed, within(issuances.c.changed_at, before))),
        _count("waiting", state.in_(WAITING)),
    ]
    counted = select(issuances.c.portal_id, *counts).group_by(issuances.c.portal_id).subquery()
    query = (
        select(counted, func.count().over().label("of"))
        .order_by(counted.c.issued.desc(), counted.c.failed.desc(), counted.c.portal_id)
        .limit(limit)
    )
    return [dict(row._mapping) for row in connection.execute(query)]


def latest_runs(connection: Connection, which: CountFilter, *, limit: int) -> Sequence[Mapping[str, Any]]:
    """Return the latest runs of the period that made calls, the latest first, each with the total number."""
    wanted = (within(runs.c.first_call_at, which.period), which.of(runs))
    query = (
        select(runs, func.count().over().label("of"))
        .where(*wanted)
        .order_by(runs.c.first_call_at.desc(), runs.c.flow_run_id, runs.c.portal_id)
        .limit(limit)
    )
    return [dict(row._mapping) for row in connection.execute(query)]


async def with_names(database: Database, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return the rows with the names of their portals and achievements, None if the platform has no such row."""
    named = list(rows)
    for key, name, model in (
        ("portal_id", "portal_name", Portal),
        ("achievement_id", "achievement_name", Achievement),
    ):
        names = await database.platform.read(names_of, model, [row[key] for row in rows if key in row])
        named = [dict(row) | {name: names.get(row[key])} if key in row else row for row in named]
    return named


def _count(name: str, condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return how_many(condition).label(name)
