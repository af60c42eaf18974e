"""Names of portals and achievements by key, and whether a row exists."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, func, literal, or_, select

from models.base import Model
from models.platform.isolation import Unreadable, rows_by_key, savepoint
from models.platform.tables import Achievement, Portal
from models.tables import table

portals = table(Portal)
achievements = table(Achievement)
_NEAR = 20
_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)


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


def names_of(connection: Connection, model: type[Model], keys: Collection[str] | None = None) -> dict[str, str]:
    """Return the names by id: of all portals or achievements, or of those with these ids that exist."""
    named = table(model)
    query = select(named.c.id, named.c.name).order_by(named.c.id)
    if keys is None:
        try:
            with savepoint(connection):
                return {row.id: row.name for row in connection.execute(query) if row.id is not None}
        except Unreadable:
            keys = _ids(connection, model)
    found = rows_by_key(connection, query.where(named.c.id.in_(_KEYS)), keys)
    return {key: row.name for key, row in found.items()}


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A row with its name; `portal_id` is empty for all but achievements."""

    id: str
    name: str
    portal_id: str


def listed(connection: Connection, model: type[Model], *, at_most: int) -> list[Listed]:
    """Return rows of portals, achievements, companies or projects in the order of their ids."""
    named = table(model).c
    portal = named.portal_id if "portal_id" in named else literal("").label("portal_id")
    found = rows_by_key(
        connection, select(named.id, named.name, portal).where(named.id.in_(_KEYS)), _ids(connection, model, at_most)
    )
    return [Listed(id=key, name=row.name or "", portal_id=row.portal_id or "") for key, row in found.items()]


def _ids(connection: Connection, model: type[Model], at_most: int | None = None) -> list[str]:
    column = table(model).c.id
    found = connection.execute(select(column).order_by(column).limit(at_most)).scalars()
    return [each for each in found if each is not None]


def achievements_of(connection: Connection, keys: Collection[str] | None = None) -> dict[str, NamedAchievement]:
    """Return all achievements, or those of these that exist. A portal without a name is shown by its id."""
    query = (
        select(achievements.c.id, achievements.c.name, achievements.c.portal_id, portals.c.name.label("portal_name"))
        .outerjoin(portals, portals.c.id == achievements.c.portal_id)
        .where(achievements.c.id.in_(_KEYS))
    )
    return {
        key: NamedAchievement(
            achievement_id=key,
            achievement_name=row.name or "",
            portal_id=row.portal_id or "",
            portal_name=row.portal_name or row.portal_id or "",
        )
        for key, row in rows_by_key(connection, query, _ids(connection, Achievement) if keys is None else keys).items()
    }


def achievement_of(connection: Connection, achievement_id: str) -> NamedAchievement | None:
    return achievements_of(connection, [achievement_id]).get(achievement_id)


def exists(connection: Connection, model: type[Model], key: str) -> bool:
    column = table(model).c.id
    # Compared again in Python: the database's collation may ignore case, the ledger does not.
    return key in connection.execute(select(column).where(column == key)).scalars().all()


def near_by_id_or_name(connection: Connection, model: type[Model], typed: str) -> dict[str, str]:
    """Return names by id of those whose id or name begins like what was typed, ignoring case; a few at most."""
    named = table(model).c
    for beginning in (typed, typed[:3]):
        columns = (func.lower(column) for column in (named.id, named.name))
        like = or_(*(column.startswith(beginning.lower(), autoescape=True) for column in columns))
        query = select(named.id, named.name).where(like).order_by(named.id).limit(_NEAR)
        try:
            with savepoint(connection):
                found = {row.id: row.name or "" for row in connection.execute(query)}
        except Unreadable:
            return {}
        if found:
            return found
    return {}


def _null_to_empty(names: dict[str, str]) -> dict[str, str]:
    # A view may return NULL as a name.
    return {key: name or "" for key, name in names.items()}
