"""Looking at the platform's tables or views as Laurel finds them: what is missing, and what is not as it must be."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Column, Connection, String, Table, func, inspect, select, text
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Boolean, DateTime, NullType, TypeEngine

from models.base import laurel_metadata
from models.columns import UtcDateTime
from models.platform import UserEmail, platform_metadata
from models.tables import table

emails = table(UserEmail)


@dataclass(frozen=True, kw_only=True)
class Lack:
    """Something that the database lacks: where, what, and what to do about it."""

    where: str
    what: str
    advice: str


async def lacks_of(connection: AsyncConnection) -> list[Lack]:
    """Return what is missing of the platform's tables and of Laurel's own, or is not as it must be. Writes nothing."""
    found = await connection.run_sync(_shape)
    if not found:
        found += await _of_rows(connection)
    if connection.dialect.name == "postgresql":
        found += await _of_grants(connection)
    return found


def _shape(connection: Connection) -> list[Lack]:
    found = [lack for one in platform_metadata.sorted_tables for lack in _of_table(connection, one)]
    there = set(inspect(connection).get_table_names())
    missing = sorted(set(laurel_metadata.tables) - there)
    if missing:
        found.append(
            Lack(
                where="Laurel's own tables",
                what=f"{', '.join(missing)} are missing in the schema that new tables go to.",
                advice="Run `alembic upgrade head` with LAUREL_DATABASE_URL set.",
            )
        )
    return found


def _of_table(connection: Connection, wanted: Table) -> Iterable[Lack]:
    try:
        columns = _columns(connection, wanted.name)
    except NoSuchTableError:
        yield Lack(
            where=wanted.name,
            what="There is no such table or view, or its schema is not on the search path.",
            advice=f"Create a view {wanted.name} with the columns {', '.join(wanted.c.keys())}; see docs/adopting.md.",
        )
        return
    for column in wanted.c:
        there = columns.get(column.name)
        if there is None:
            yield Lack(
                where=f"{wanted.name}.{column.name}",
                what="The column is missing.",
                advice=f"Add it to the view; it is {_words(column)}, NULL where you have no such thing.",
            )
        elif not _fits(column, there["type"], zoned=connection.dialect.name == "postgresql"):
            yield Lack(
                where=f"{wanted.name}.{column.name}",
                what=f"It is {there['type']}, and must be {_words(column)}.",
                advice=f"Cast it in the view: {column.name}::{_cast(column)} AS {column.name}.",
            )


def _columns(connection: Connection, name: str) -> dict[str, ReflectedColumn]:
    """Return a table's or view's columns, wherever on the search path it is."""
    schemas = [None]
    if connection.dialect.name == "postgresql":
        schemas = list(connection.execute(text("SELECT unnest(current_schemas(false))")).scalars())
    for schema in schemas:
        try:
            return {one["name"]: one for one in inspect(connection).get_columns(name, schema=schema)}
        except NoSuchTableError:
            continue
    raise NoSuchTableError(name)


def _fits(wanted: Column[object], there: TypeEngine[object], *, zoned: bool) -> bool:
    if isinstance(there, NullType):  # SQLite does not tell the types of a view's columns
        return True
    if isinstance(wanted.type, UtcDateTime):
        return isinstance(there, DateTime) and (there.timezone or not zoned)
    if isinstance(wanted.type, Boolean):
        return isinstance(there, Boolean)
    return isinstance(there, String)


def _words(column: Column[object]) -> str:
    if isinstance(column.type, UtcDateTime):
        return "a time with its zone"
    return "true or false" if isinstance(column.type, Boolean) else "text"


def _cast(column: Column[object]) -> str:
    if isinstance(column.type, UtcDateTime):
        return "timestamptz"
    return "boolean" if isinstance(column.type, Boolean) else "text"


async def _of_rows(connection: AsyncConnection) -> Sequence[Lack]:
    several = (
        select(emails.c.user_id).where(emails.c.is_primary).group_by(emails.c.user_id).having(func.count() > 1).limit(5)
    )
    users = list((await connection.execute(several)).scalars())
    if not users:
        return []
    return [
        Lack(
            where="user_emails",
            what=f"Users with several primary addresses, such as {', '.join(users)}.",
            advice="Let the view give one primary address for each user; their badges fail until then.",
        )
    ]


async def _of_grants(connection: AsyncConnection) -> Sequence[Lack]:
    found = []
    for wanted in platform_metadata.sorted_tables:
        granted = text("SELECT has_table_privilege(to_regclass(:name), 'INSERT, UPDATE, DELETE')")
        may_write = (await connection.execute(granted, {"name": wanted.name})).scalar()
        if may_write and not await _is_ours(connection, wanted.name):
            found.append(
                Lack(
                    where=wanted.name,
                    what="Laurel's role may write it.",
                    advice=f"Laurel only reads it: REVOKE INSERT, UPDATE, DELETE ON {wanted.name} FROM its role.",
                )
            )
    return found


async def _is_ours(connection: AsyncConnection, name: str) -> bool:
    """Say whether the role owns the table, as where Laurel has made it itself: then there is nothing to revoke."""
    owner = text("SELECT pg_get_userbyid(relowner) = current_user FROM pg_class WHERE oid = to_regclass(:name)")
    return bool((await connection.execute(owner, {"name": name})).scalar())
