"""Finding what a person names: portals, achievements, users, and what is set up for them."""

from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Table, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from models.integrations import CredlyConnection, CredlyIntegration
from models.platform.tables import Achievement, Portal, User, UserEmail
from models.tables import table

Model = TypeVar("Model", bound=SQLModel)
portals = table(Portal)
achievements = table(Achievement)
users = table(User)
emails = table(UserEmail)
connections = table(CredlyConnection)
integrations = table(CredlyIntegration)


@dataclass(frozen=True, kw_only=True)
class Place:
    """An achievement with its portal, and what is set up for both."""

    achievement_id: str
    achievement_name: str
    portal_id: str
    portal_name: str
    connection: CredlyConnection | None
    integration: CredlyIntegration | None


async def portal_names(connection: AsyncConnection) -> dict[str, str]:
    """Return every portal's id and name."""
    return await _names(connection, portals)


async def achievement_names(connection: AsyncConnection) -> dict[str, str]:
    """Return every achievement's id and name."""
    return await _names(connection, achievements)


async def place_of(connection: AsyncConnection, achievement_id: str) -> Place | None:
    """Return an achievement with what is set up for it, or None if there is no such achievement."""
    query = (
        select(achievements.c.name, achievements.c.portal_id, portals.c.name.label("portal_name"))
        .outerjoin(portals, portals.c.id == achievements.c.portal_id)
        .where(achievements.c.id == achievement_id)
    )
    found = (await connection.execute(query)).one_or_none()
    if found is None:
        return None
    return Place(
        achievement_id=achievement_id,
        achievement_name=found.name,
        portal_id=found.portal_id,
        portal_name=found.portal_name or found.portal_id,
        connection=await connection_of(connection, found.portal_id),
        integration=await integration_of(connection, achievement_id),
    )


async def connection_of(connection: AsyncConnection, portal_id: str) -> CredlyConnection | None:
    """Return a portal's connection to Credly, if it has one."""
    return await _one(connection, CredlyConnection, connections.c.portal_id == portal_id)


async def integration_of(connection: AsyncConnection, achievement_id: str) -> CredlyIntegration | None:
    """Return an achievement's integration, if it has one."""
    return await _one(connection, CredlyIntegration, integrations.c.achievement_id == achievement_id)


async def user_exists(connection: AsyncConnection, user_id: str) -> bool:
    """Say whether the platform has a user with this id."""
    return await connection.scalar(select(users.c.id).where(users.c.id == user_id)) is not None


async def near_user_ids(connection: AsyncConnection, typed: str, *, limit: int = 200) -> list[str]:
    """Return ids of users that begin as what was typed does, the longest common beginning first; ids only."""
    for length in range(len(typed), 0, -1):
        query = select(users.c.id).where(users.c.id.startswith(typed[:length], autoescape=True)).limit(limit)
        if found := list((await connection.execute(query.order_by(users.c.id))).scalars()):
            return found
    return []


async def users_with_primary_address(connection: AsyncConnection, address: str) -> list[str]:
    """Return the ids of users whose primary e-mail address this is, upper and lower case counting as equal."""
    typed, stored = address.strip(), func.trim(emails.c.address)
    # As it is, too: SQLite's lower() leaves letters beyond ASCII as they are.
    same = or_(stored == typed, func.lower(stored) == typed.lower())
    query = select(emails.c.user_id).where(and_(emails.c.is_primary, same))
    return list((await connection.execute(query.order_by(emails.c.user_id))).scalars())


async def exists(connection: AsyncConnection, model: type[SQLModel], key: str) -> bool:
    """Say whether a row with this id exists."""
    column = table(model).c.id
    return await connection.scalar(select(column).where(column == key)) is not None


async def _names(connection: AsyncConnection, named: Table) -> dict[str, str]:
    rows = await connection.execute(select(named.c.id, named.c.name).order_by(named.c.id))
    return {row.id: row.name or "" for row in rows}


async def _one(connection: AsyncConnection, model: type[Model], condition: Any) -> Model | None:
    found = (await connection.execute(select(table(model)).where(condition))).one_or_none()
    return None if found is None else model(**found._mapping)
