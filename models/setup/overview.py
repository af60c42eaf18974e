"""The configuration of all portals with what it has issued, for the overview page."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from models.database import Database
from models.ledger.tables import BadgeIssuance
from models.platform.names import NamedAchievement, achievements_of, portal_names
from models.setup.lookups import all_connections, all_integrations
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table
from rules.ledger.states import IssuanceState

integrations = table(CredlyIntegration)
issuances = table(BadgeIssuance)


@dataclass(frozen=True, kw_only=True)
class Configured:
    """An achievement with an integration, and its issuances by state."""

    achievement_id: str
    achievement_name: str
    integration: CredlyIntegration
    counts: dict[IssuanceState, int]
    last_issued_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class PortalOverview:
    """A portal, its connection if it has one, and its achievements: with an integration, and the others."""

    portal_id: str
    portal_name: str
    connection: CredlyConnection | None
    configured: list[Configured]
    others: list[NamedAchievement]


async def overview(database: Database, *, portal_id: str = "") -> list[PortalOverview]:
    found = await database.read(_ledger_part)
    names, achievements = await database.platform.read(_names)
    configured: dict[str, list[Configured]] = {}
    others: dict[str, list[NamedAchievement]] = {}
    for key, named in sorted(achievements.items()):
        if key in found.integrations:
            configured.setdefault(named.portal_id, []).append(_configured(found, named))
        else:
            others.setdefault(named.portal_id, []).append(named)
    return [
        PortalOverview(
            portal_id=key,
            portal_name=name,
            connection=found.connections.get(key),
            configured=configured.get(key, []),
            others=others.get(key, []),
        )
        for key, name in names.items()
        if portal_id in ("", key)
    ]


@dataclass(frozen=True, kw_only=True)
class _LedgerPart:
    """The ledger's part: connections by portal, the rest by achievement."""

    connections: dict[str, CredlyConnection]
    integrations: dict[str, CredlyIntegration]
    counts: dict[str, dict[IssuanceState, int]]
    last: dict[str, datetime]


def _configured(found: _LedgerPart, named: NamedAchievement) -> Configured:
    key = named.achievement_id
    return Configured(
        achievement_id=key,
        achievement_name=named.achievement_name,
        integration=found.integrations[key],
        counts=found.counts.get(key, {}),
        last_issued_at=found.last.get(key),
    )


def _names(connection: Connection) -> tuple[dict[str, str], dict[str, NamedAchievement]]:
    return portal_names(connection), achievements_of(connection)


def _ledger_part(connection: Connection) -> _LedgerPart:
    counts, last = _counts(connection)
    return _LedgerPart(
        connections=all_connections(connection),
        integrations=all_integrations(connection),
        counts=counts,
        last=last,
    )


def _counts(connection: Connection) -> tuple[dict[str, dict[IssuanceState, int]], dict[str, datetime]]:
    rows = connection.execute(
        select(
            issuances.c.achievement_id,
            issuances.c.state,
            func.count().label("n"),
            func.max(issuances.c.recorded_at).label("last"),
        )
        .where(issuances.c.achievement_id.in_(select(integrations.c.achievement_id)))
        .group_by(issuances.c.achievement_id, issuances.c.state)
    )
    counts: dict[str, dict[IssuanceState, int]] = {}
    last: dict[str, datetime] = {}
    for row in rows:
        counts.setdefault(row.achievement_id, {})[row.state] = row.n
        if row.last is not None:
            last[row.achievement_id] = row.last
    return counts, last
