"""What the platform has, by key: portals and achievements with their names, and whether a row is there.

Keys are compared once more in Python: a database may take upper and lower case for the same, and the ledger does not.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, select
from sqlmodel import SQLModel

from models.by_key import portions
from models.platform.tables import Achievement, Portal
from models.tables import table

portals = table(Portal)
achievements = table(Achievement)


@dataclass(frozen=True, kw_only=True)
class NamedAchievement:
    """An achievement and its portal, with their names."""

    achievement_id: str
    achievement_name: str
    portal_id: str
    portal_name: str


def portal_names(connection: Connection) -> dict[str, str]:
    """Return every portal's id and name."""
    return _shown(names_of(connection, Portal))


def achievement_names(connection: Connection) -> dict[str, str]:
    """Return every achievement's id and name."""
    return _shown(names_of(connection, Achievement))


def names_of(connection: Connection, model: type[SQLModel], keys: Collection[str] | None = None) -> dict[str, str]:
    """Return the names of all portals or achievements, or of those with these ids as far as the platform has them."""
    named = table(model)
    query = select(named.c.id, named.c.name).order_by(named.c.id)
    queries = [query] if keys is None else [query.where(named.c.id.in_(some)) for some in portions(keys)]
    return {row.id: row.name for one in queries for row in connection.execute(one)}


def achievements_of(connection: Connection, keys: Collection[str]) -> dict[str, NamedAchievement]:
    """Return the achievements with these ids, as far as the platform has them; a portal without a name shows its id."""
    found = {}
    for some in portions(keys):
        query = (
            select(
                achievements.c.id, achievements.c.name, achievements.c.portal_id, portals.c.name.label("portal_name")
            )
            .outerjoin(portals, portals.c.id == achievements.c.portal_id)
            .where(achievements.c.id.in_(some))
        )
        for row in connection.execute(query):
            found[row.id] = NamedAchievement(
                achievement_id=row.id,
                achievement_name=row.name,
                portal_id=row.portal_id,
                portal_name=row.portal_name or row.portal_id,
            )
    return found


def achievement_of(connection: Connection, achievement_id: str) -> NamedAchievement | None:
    """Return the achievement with its portal, or None if there is no such achievement."""
    return achievements_of(connection, [achievement_id]).get(achievement_id)


def exists(connection: Connection, model: type[SQLModel], key: str) -> bool:
    """Say whether a row with this id exists."""
    column = table(model).c.id
    return key in connection.execute(select(column).where(column == key)).scalars().all()


def _shown(names: dict[str, str]) -> dict[str, str]:
    """A view may have no name for something."""
    return {key: name or "" for key, name in names.items()}
