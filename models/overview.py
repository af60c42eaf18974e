"""What is configured, with what it has issued: for people to look at."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.integrations import CredlyConnection, CredlyIntegration
from models.ledger import BadgeIssuance
from models.platform.tables import Achievement, Portal
from models.tables import table
from rules.states import IssuanceState

portals = table(Portal)
achievements = table(Achievement)
connections = table(CredlyConnection)
integrations = table(CredlyIntegration)
issuances = table(BadgeIssuance)


@dataclass(frozen=True, kw_only=True)
class Configured:
    """An achievement with Credly, and what it has issued."""

    achievement_id: str
    achievement_name: str
    integration: CredlyIntegration
    counts: dict[IssuanceState, int]
    last_issued_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class PortalOverview:
    """A portal, its connection if it has one, and its achievements with Credly."""

    portal_id: str
    portal_name: str
    connection: CredlyConnection | None
    configured: list[Configured]


async def overview(connection: AsyncConnection, *, portal_id: str = "") -> list[PortalOverview]:
    """Return what is configured for each portal, or for one."""
    found = await connection.execute(
        select(portals.c.id, portals.c.name)
        .where(portals.c.id == portal_id if portal_id else portals.c.id.is_not(None))
        .order_by(portals.c.id)
    )
    names = {row.id: row.name for row in found}
    connected = {
        row.portal_id: CredlyConnection(**row._mapping) for row in await connection.execute(select(connections))
    }
    configured = await _configured(connection)
    return [
        PortalOverview(
            portal_id=key, portal_name=name, connection=connected.get(key), configured=configured.get(key, [])
        )
        for key, name in names.items()
    ]


async def _configured(connection: AsyncConnection) -> dict[str, list[Configured]]:
    counts, last = await _counts(connection)
    rows = await connection.execute(
        select(achievements.c.portal_id, achievements.c.name.label("achievement_name"), integrations)
        .join(achievements, achievements.c.id == integrations.c.achievement_id)
        .order_by(integrations.c.achievement_id)
    )
    found: dict[str, list[Configured]] = {}
    for row in rows:
        values = {column.name: row._mapping[column] for column in integrations.c}
        found.setdefault(row.portal_id, []).append(
            Configured(
                achievement_id=row.achievement_id,
                achievement_name=row.achievement_name,
                integration=CredlyIntegration(**values),
                counts=counts.get(row.achievement_id, {}),
                last_issued_at=last.get(row.achievement_id),
            )
        )
    return found


async def _counts(
    connection: AsyncConnection,
) -> tuple[dict[str, dict[IssuanceState, int]], dict[str, datetime]]:
    configured = and_(issuances.c.achievement_id.in_(select(integrations.c.achievement_id)))
    rows = await connection.execute(
        select(
            issuances.c.achievement_id,
            issuances.c.state,
            func.count().label("n"),
            func.max(issuances.c.recorded_at).label("last"),
        )
        .where(configured)
        .group_by(issuances.c.achievement_id, issuances.c.state)
    )
    counts: dict[str, dict[IssuanceState, int]] = {}
    last: dict[str, datetime] = {}
    for row in rows:
        counts.setdefault(row.achievement_id, {})[row.state] = row.n
        if row.last is not None:
            last[row.achievement_id] = row.last
    return counts, last
