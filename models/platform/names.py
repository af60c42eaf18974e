"""Names of portals and achievements by key, and whether a row exists."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, func, literal, or_, select
from sqlmodel import SQLModel

from models.by_key import portions
from models.platform.tables import Achievement, Portal
from models.tables import table

portals = table(Portal)
achievements = table(Achievement)
_NEAR = 20


@dataclass(frozen=True, kw_only=True)
class NamedAchievement:
    """An achievement and its portal, with their names."""

    achievement_id: str
    achievement_name: str
    portal_id: str
    portal_name: str


def portal_names(connection: Connection) -> dict[str, str]:
    return _null_to_empty(names_of(connection, Portal))


def achievement_names(connection: Connection) -> dict[str, str]:
    return _null_to_empty(names_of(connection, Achievement))


def names_of(connection: Connection, model: type[SQLModel], keys: Collection[str] | None = None) -> dict[str, str]:
    """Return the names by id: of all portals or achievements, or of those with these ids that exist."""
    named = table(model)
    query = select(named.c.id, named.c.name).order_by(named.c.id)
    queries = [query] if keys is None else [query.where(named.c.id.in_(some)) for some in portions(keys)]
    return {row.id: row.name for one in queries for row in connection.execute(one) if row.id is not None}


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A row with its name; `portal_id` is empty for all but achievements."""

    id: str
    name: str
    portal_id: str


def listed(connection: Connection, model: type[SQLModel], *, at_most: int) -> list[Listed]:
    """Return rows of portals, achievements, companies or projects in the order of their ids."""
    named = table(model).c
    portal = named.portal_id if "portal_id" in named else literal("").label("portal_id")
    query = select(named.id, named.name, portal).order_by(named.id).limit(at_most)
    return [
        Listed(id=row.id, name=row.name or "", portal_id=row.portal_id or "")
        for row in connection.execute(query)
        if row.id is not None
    ]


def achievements_of(connection: Connection, keys: Collection[str] | None = None) -> dict[str, NamedAchievement]:
    """Return all achievements, or those of these that exist. A portal without a name is shown by its id."""
    found = {}
    query = select(
        achievements.c.id, achievements.c.name, achievements.c.portal_id, portals.c.name.label("portal_name")
    ).outerjoin(portals, portals.c.id == achievements.c.portal_id)
    queries = [query] if keys is None else [query.where(achievements.c.id.in_(some)) for some in portions(keys)]
    for one in queries:
        for row in connection.execute(one):
            if row.id is None:
                continue
            found[row.id] = NamedAchievement(
                achievement_id=row.id,
                achievement_name=row.name or "",
                portal_id=row.portal_id or "",
                portal_name=row.portal_name or row.portal_id or "",
            )
    return found


def achievement_of(connection: Connection, achievement_id: str) -> NamedAchievement | None:
    return achievements_of(connection, [achievement_id]).get(achievement_id)


def exists(connection: Connection, model: type[SQLModel], key: str) -> bool:
    column = table(model).c.id
    # Compared again in Python: the database's collation may ignore case, the ledger does not.
    return key in connection.execute(select(column).where(column == key)).scalars().all()


def near_by_id_or_name(connection: Connection, model: type[SQLModel], typed: str) -> dict[str, str]:
    """Return names by id of those whose id or name begins like what was typed, ignoring case; a few at most."""
    named = table(model).c
    for beginning in (typed, typed[:3]):
        columns = (func.lower(column) for column in (named.id, named.name))
        like = or_(*(column.startswith(beginning.lower(), autoescape=True) for column in columns))
        query = select(named.id, named.name).where(like).order_by(named.id).limit(_NEAR)
        if found := {row.id: row.name or "" for row in connection.execute(query)}:
            return found
    return {}


def _null_to_empty(names: dict[str, str]) -> dict[str, str]:
    # A view may return NULL as a name.
    return {key: name or "" for key, name in names.items()}
