"""The settings of a portal or an achievement by its id: connection and integration."""

from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from models.base import Model
from models.database import Database
from models.ledger.tables import BadgeIssuance
from models.platform.names import NamedAchievement, achievement_of
from models.setup.history import history
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table

Stored = TypeVar("Stored", bound=Model)
connections = table(CredlyConnection)
integrations = table(CredlyIntegration)
issuances = table(BadgeIssuance)


@dataclass(frozen=True, kw_only=True)
class AchievementSetup(NamedAchievement):
    """An achievement with its portal, and the settings of both."""

    connection: CredlyConnection | None
    integration: CredlyIntegration | None


async def achievement_setup(database: Database, achievement_id: str) -> AchievementSetup | None:
    """Return an achievement with its settings, or None if there is no such achievement."""
    named = await database.platform.read(achievement_of, achievement_id)
    return await database.read(_setup_with, named) if named else None


def _setup_with(connection: Connection, named: NamedAchievement) -> AchievementSetup:
    return AchievementSetup(
        **vars(named),
        connection=connection_of(connection, named.portal_id),
        integration=integration_of(connection, named.achievement_id),
    )


def connection_of(connection: Connection, portal_id: str) -> CredlyConnection | None:
    return _one(connection, CredlyConnection, connections.c.portal_id == portal_id)


def integration_of(connection: Connection, achievement_id: str) -> CredlyIntegration | None:
    return _one(connection, CredlyIntegration, integrations.c.achievement_id == achievement_id)


def all_connections(connection: Connection) -> dict[str, CredlyConnection]:
    """Return the connections by portal."""
    return {row.portal_id: CredlyConnection(**row._mapping) for row in connection.execute(select(connections))}


def all_integrations(connection: Connection) -> dict[str, CredlyIntegration]:
    """Return the integrations by achievement, in the order of their ids."""
    found = connection.execute(select(integrations).order_by(integrations.c.achievement_id))
    return {row.achievement_id: CredlyIntegration(**row._mapping) for row in found}


def _one(connection: Connection, model: type[Stored], condition: Any) -> Stored | None:
    found = connection.execute(select(table(model)).where(condition)).one_or_none()
    return None if found is None else model(**found._mapping)


def portals_in_ledger(connection: Connection) -> set[str]:
    """Return the portals that have issuances, including those that the platform has deleted."""
    return set(connection.execute(select(issuances.c.portal_id).distinct()).scalars())


def is_in_ledger(connection: Connection, achievement_id: str) -> bool:
    """Whether the achievement has issuances, or settings that were changed."""
    issued = select(issuances.c.id).where(issuances.c.achievement_id == achievement_id).limit(1)
    configured = select(history.c.id).where(history.c.subject_id == achievement_id).limit(1)
    return connection.scalar(issued) is not None or connection.scalar(configured) is not None
