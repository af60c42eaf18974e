"""What each achievement did, with names, for the report: the busiest first, and no more than are asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models import views
from models.counting import Which
from models.platform.tables import Achievement, Portal
from models.reporting import of_portal, within
from models.tables import table
from rules.states import WAITING, IssuanceState

issuances, runs = views.issuances, views.runs
portals, achievements = table(Portal), table(Achievement)


async def places(connection: AsyncConnection, which: Which, *, limit: int) -> Sequence[Mapping[str, Any]]:
    """Return, by portal, achievement and template, what was entered, issued and failed in the period and waits now."""
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
    counted = select(*keys, *counts).where(of_portal(issuances, which.portal_id)).group_by(*keys).subquery()
    busy = counted.c.entered + counted.c.issued + counted.c.failed + counted.c.waiting
    query = (
        select(
            counted,
            portals.c.name.label("portal_name"),
            achievements.c.name.label("achievement_name"),
            func.count().over().label("of"),
        )
        .join(portals, portals.c.id == counted.c.portal_id, isouter=True)
        .join(achievements, achievements.c.id == counted.c.achievement_id, isouter=True)
        .where(busy > 0)
        .order_by(busy.desc(), counted.c.portal_id, counted.c.achievement_id, counted.c.badge_template_id)
        .limit(limit)
    )
    return [dict(row._mapping) for row in await connection.execute(query)]


async def latest_runs(connection: AsyncConnection, which: Which, *, limit: int) -> Sequence[Mapping[str, Any]]:
    """Return the latest runs of the period that made calls, newest first, each with how many there are in all."""
    wanted = (within(runs.c.first_call_at, which.period), of_portal(runs, which.portal_id))
    query = (
        select(runs, portals.c.name.label("portal_name"), func.count().over().label("of"))
        .join(portals, portals.c.id == runs.c.portal_id, isouter=True)
        .where(*wanted)
        .order_by(runs.c.first_call_at.desc(), runs.c.flow_run_id, runs.c.portal_id)
        .limit(limit)
    )
    return [dict(row._mapping) for row in await connection.execute(query)]


async def portal_name(connection: AsyncConnection, portal_id: str) -> str:
    """Return the portal's name, or its id where the platform has it no more."""
    return await connection.scalar(select(portals.c.name).where(portals.c.id == portal_id)) or portal_id


def _count(name: str, condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0).label(name)
