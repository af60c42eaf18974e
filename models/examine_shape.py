"""Looking at tables, views and columns: what is missing, is of another type, or may not be read."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Column, Connection, String, Table, false, inspect, literal, select, text
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.exc import DBAPIError, NoSuchTableError
from sqlalchemy.types import Boolean, DateTime, NullType, TypeEngine

from models.base import laurel_metadata
from models.columns import UtcDateTime
from models.examine_grants import may, role_of
from models.lack import Lack
from models.migrate import newest_revision, revision_of
from models.platform.tables import platform_metadata
from models.views import views_metadata


def platform_shape(connection: Connection) -> list[Lack]:
    """Return what is missing of the platform's tables, or is of another type, or may not be read."""
    return [lack for one in platform_metadata.sorted_tables for lack in _of_table(connection, one)]


def ledger_shape(connection: Connection) -> Iterator[Lack]:
    """Yield what is missing of Laurel's own tables and views, or that they are of another revision."""
    there = inspect(connection)
    missing = sorted(set(laurel_metadata.tables) - set(there.get_table_names()))
    missing += sorted(set(views_metadata.tables) - set(there.get_view_names()))
    where, again = "Laurel's own tables", "Run `alembic upgrade head` with LAUREL_DATABASE_URL set."
    if missing:
        place = _schemas(connection)
        beside = f" Looked for in the schemas {', '.join(place)}: is Laurel's own the first?" if place else ""
        yield Lack(where=where, what=f"{', '.join(missing)} are missing.{beside}", advice=again, stops=True)
        return
    revision = revision_of(connection)
    if revision != newest_revision():
        what = f"They are of revision {revision}, and this Laurel needs {newest_revision()}."
        yield Lack(where=where, what=what, advice=again, stops=True)


def _of_table(connection: Connection, wanted: Table) -> Iterator[Lack]:
    try:
        columns = _columns(connection, wanted.name)
    except NoSuchTableError:
        yield _not_there(connection, wanted)
        return
    for column in wanted.c:
        there = columns.get(column.name)
        if there is None:
            yield Lack(
                where=f"{wanted.name}.{column.name}",
                what="The column is missing.",
                advice=f"Add it to the view; it is {_words(column)}"
                + (", NULL where you have no such thing." if column.nullable else ", and never NULL."),
                stops=True,
            )
        elif not _fits(column, there["type"], zoned=connection.dialect.name == "postgresql"):
            yield Lack(
                where=f"{wanted.name}.{column.name}",
                what=f"It is {there['type']}, and must be {_words(column)}.",
                advice=_cast(column),
                stops=True,
            )
    yield from _unreadable(connection, wanted)


def _unreadable(connection: Connection, wanted: Table) -> Iterator[Lack]:
    """Say what keeps the role from reading it, or the view from being read by anybody."""
    if connection.dialect.name == "postgresql" and not may(connection, wanted.name, "SELECT"):
        yield Lack(
            where=wanted.name,
            what="Laurel's role may not read it.",
            advice=f"GRANT SELECT ON {wanted.name} TO {role_of(connection)}; see docs/adopting.md, section 3.",
            stops=True,
        )
        return
    try:
        with connection.begin_nested():
            connection.execute(select(literal(1)).select_from(wanted).where(false()))
    except DBAPIError as error:
        yield Lack(
            where=wanted.name,
            what=f"It cannot be read: {error.orig}.",
            advice="A view is read with its owner's rights: its owner needs SELECT on every table in it.",
            stops=True,
        )


def _not_there(connection: Connection, wanted: Table) -> Lack:
    """Say whether it is in a schema that Laurel does not look into, or nowhere."""
    columns = ", ".join(wanted.c.keys())
    advice = f"Create a view {wanted.name} with the columns {columns}; see docs/adopting.md."
    what = "There is no such table or view."
    if connection.dialect.name == "postgresql":
        elsewhere = text(
            "SELECT n.nspname, has_schema_privilege(n.oid, 'USAGE') FROM pg_class c JOIN pg_namespace n "
            "ON n.oid = c.relnamespace WHERE c.relname = :name AND c.relkind IN ('r', 'v', 'm', 'p', 'f') "
            "AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
        )
        what += f" Looked for in the schemas {', '.join(_schemas(connection)) or '(none)'}."
        for schema, usable in connection.execute(elsewhere, {"name": wanted.name}):
            what += f" There is one in {schema}."
            path = f"ALTER ROLE {role_of(connection)} SET search_path = …, {schema}, Laurel's own schema first"
            advice = path if usable else f"GRANT USAGE ON SCHEMA {schema} TO {role_of(connection)}"
            advice = f"If that is the one: {advice}; see docs/adopting.md, section 3."
    return Lack(where=wanted.name, what=what, advice=advice, stops=True)


def _columns(connection: Connection, name: str) -> dict[str, ReflectedColumn]:
    """Return a table's or view's columns, wherever on the search path it is."""
    schemas: Sequence[str | None] = _schemas(connection) or [None]
    for schema in schemas:
        try:
            return {one["name"]: one for one in inspect(connection).get_columns(name, schema=schema)}
        except NoSuchTableError:
            continue
    raise NoSuchTableError(name)


def _schemas(connection: Connection) -> Sequence[str]:
    if connection.dialect.name != "postgresql":
        return []
    return list(connection.execute(text("SELECT unnest(current_schemas(false))")).scalars())


def _fits(wanted: Column[object], there: TypeEngine[object], *, zoned: bool) -> bool:
    if isinstance(there, NullType):  # SQLite does not tell the types of a view's columns
        return True
    if isinstance(wanted.type, UtcDateTime):
        return isinstance(there, DateTime) and (there.timezone or not zoned)
    if isinstance(wanted.type, Boolean):
        return isinstance(there, Boolean)
    return isinstance(there, String)


def is_text(column: Column[object]) -> bool:
    """Say whether Laurel reads it as text, as it does keys and names."""
    return not isinstance(column.type, UtcDateTime | Boolean)


def _words(column: Column[object]) -> str:
    if isinstance(column.type, UtcDateTime):
        return "a time with its zone"
    return "true or false" if isinstance(column.type, Boolean) else "text"


def _cast(column: Column[object]) -> str:
    name = column.name
    if isinstance(column.type, UtcDateTime):
        return (
            f"Say in the view which zone its times are in: {name} AT TIME ZONE 'UTC' AS {name}. "
            "A cast to timestamptz would take the zone of whoever asks."
        )
    if isinstance(column.type, Boolean):
        return f"Compare it in the view: ({name} = 1) AS {name}, with 1 for what means yes."
    return f"Cast it in the view: CAST({name} AS text) AS {name}."
