"""The platform's users: whether one exists, similar ids, names and addresses."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, String, and_, bindparam, cast, false, func, or_, select

from models.platform.isolation import rows_by_key
from models.platform.names import exists
from models.platform.tables import User, UserEmail
from models.tables import table

users = table(User)
emails = table(UserEmail)


@dataclass(frozen=True, kw_only=True, repr=False)
class Person:
    """A user's name and primary address, as far as the platform has them."""

    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None


def user_exists(connection: Connection, user_id: str) -> bool:
    return exists(connection, User, user_id)


def near_user_ids(connection: Connection, typed: str, *, limit: int = 200) -> list[str]:
    """Return ids of users that share the longest possible beginning with what was typed."""
    as_text = cast(users.c.id, String)  # a mapping may have integers
    found, shared, longest = list[str](), 0, len(typed)
    while shared < longest:
        length = (shared + longest + 1) // 2
        query = select(users.c.id).where(as_text.startswith(typed[:length], autoescape=True)).limit(limit)
        if some := [key for key in connection.execute(query.order_by(users.c.id)).scalars() if key is not None]:
            found, shared = some, length
        else:
            longest = length - 1
    return found


def users_like(connection: Connection, typed: str, *, limit: int) -> list[str]:
    """Return ids of users with this primary e-mail address, or else with each of these words in their names.

    Case is ignored; `limit` is the most that are returned.
    """
    typed = typed.strip()
    if "@" in typed:
        stored = func.trim(emails.c.address)
        # Compared unchanged as well: SQLite's lower() changes ASCII letters only.
        same = or_(stored == typed, func.lower(stored) == typed.lower())
        column, condition = emails.c.user_id, and_(emails.c.is_primary, same)
    else:
        names = (users.c.first_name, users.c.last_name)
        words = [or_(*(_contains(name, word) for name in names)) for word in typed.split()]
        column, condition = users.c.id, and_(*words) if words else false()
    query = select(column).where(condition).distinct().order_by(column).limit(limit)
    return [key for key in connection.execute(query).scalars() if key is not None]


def _contains(name: ColumnElement[str], word: str) -> ColumnElement[bool]:
    like = [name.contains(each, autoescape=True) for each in {word, word.capitalize(), word.upper()}]
    return or_(func.lower(name).contains(word.lower(), autoescape=True), *like)


def persons(connection: Connection, user_ids: Collection[str]) -> dict[str, Person]:
    """Return names and primary addresses by user id; of several primary addresses, the one that badges go to."""
    addresses = rows_by_key(connection, PRIMARY_ADDRESSES, user_ids)
    names = rows_by_key(connection, _NAMES, user_ids)
    return {
        key: Person(
            first_name=names[key].first_name if key in names else None,
            last_name=names[key].last_name if key in names else None,
            email=addresses[key].address if key in addresses else None,
        )
        for key in {**addresses, **names}
    }


def names_of(connection: Connection, user_ids: Collection[str]) -> dict[str, Any]:
    """Return rows of first and last names by user id, of the users that exist."""
    return rows_by_key(connection, _NAMES, user_ids)


_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)
# In the order by which the badge, too, takes the first of several.
PRIMARY_ADDRESSES = (
    select(emails.c.user_id, emails.c.address)
    .where(emails.c.is_primary, emails.c.user_id.in_(_KEYS))
    .order_by(emails.c.id)
)
_NAMES = select(users.c.id, users.c.first_name, users.c.last_name).where(users.c.id.in_(_KEYS))
