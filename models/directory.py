"""What is set up for what a person names: a portal's connection, an achievement's integration."""

from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, select
from sqlmodel import SQLModel

from models.database import Database
from models.integrations import CredlyConnection, CredlyIntegration
from models.platform.names import NamedAchievement, achievement_of
from models.tables import table

Model = TypeVar("Model", bound=SQLModel)
connections = table(CredlyConnection)
integrations = table(CredlyIntegration)


@dataclass(frozen=True, kw_only=True)
class Place(NamedAchievement):
    """An achievement with its portal, and what is set up for both."""

    connection: CredlyConnection | None
    integration: CredlyIntegration | None


async def place_of(database: Database, achievement_id: str) -> Place | None:
    """Return an achievement with what is set up for it, or None if there is no such achievement."""
    named = await database.platform.read(achievement_of, achievement_id)
    return await database.read(place_with, named) if named else None


def place_with(connection: Connection, named: NamedAchievement) -> Place:
    """Return the achievement with what is set up for it."""
    return Place(
        **vars(named),
        connection=connection_of(connection, named.portal_id),
        integration=integration_of(connection, named.achievement_id),
    )


def connection_of(connection: Connection, portal_id: str) -> CredlyConnection | None:
    """Return a portal's connection to Credly, if it has one."""
    return _one(connection, CredlyConnection, connections.c.portal_id == portal_id)


def integration_of(connection: Connection, achievement_id: str) -> CredlyIntegration | None:
    """Return an achievement's integration, if it has one."""
    return _one(connection, CredlyIntegration, integrations.c.achievement_id == achievement_id)


def _one(connection: Connection, model: type[Model], condition: Any) -> Model | None:
    found = connection.execute(select(table(model)).where(condition)).one_or_none()
    return None if found is None else model(**found._mapping)
