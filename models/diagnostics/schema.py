"""Checks of tables, views and columns: missing ones, other types, and ones that cannot be read."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Column, Connection, String, Table, false, inspect, literal, select, text
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.exc import DBAPIError, NoSuchTableError
from sqlalchemy.types import Boolean, DateTime, NullType, TypeEngine

from models.columns import UtcDateTime
from models.diagnostics.grants import may, qualified, role_of
from models.diagnostics.problem import OWNERS_STATEMENT, Problem
from models.errors import driver_message
from models.metadata import laurel_metadata, views_metadata
from models.migrate import newest_revision, revision_of
from models.platform.tables import platform_metadata
from models.revision import VERSION_TABLE


def platform_shape(connection: Connection) -> list[Problem]:
    """Return the platform's tables and columns that are missing, unreadable or of another type."""
    return [problem for one in platform_metadata.sorted_tables for problem in _table_problems(connection, one)]


def ledger_shape(connection: Connection) -> Iterator[Problem]:
    """Yield Laurel's own tables and views that are missing, or that have another revision."""
    there = inspect(connection)
    missing = sorted(set(laurel_metadata.tables) - set(there.get_table_names()))
    missing += sorted(set(views_metadata.tables) - set(there.get_view_names()))
    where, again = "Laurel's own tables", "Run `python -m scripts.setup_deployment` with LAUREL_DATABASE_URL set."
    if missing:
        schemas = _schemas(connection)
        searched = f" Looked for in the schemas {', '.join(schemas)}: is Laurel's own the first?" if schemas else ""
        yield Problem(where=where, what=f"{', '.join(missing)} are missing.{searched}", advice=again, stops=True)
        return
    if connection.dialect.name == "postgresql" and may(connection, VERSION_TABLE, "SELECT") is False:
        return  # which the check of grants reports
    revision = revision_of(connection)
    if revision != newest_revision():
        what = f"They are of revision {revision}, and this Laurel needs {newest_revision()}."
        yield Problem(where=where, what=what, advice=again, stops=True)


def _table_problems(connection: Connection, wanted: Table) -> Iterator[Problem]:
    try:
        columns = _columns(connection, wanted.name)
    except NoSuchTableError:
        yield _missing_table(connection, wanted)
        return
    for column in wanted.c:
        there = columns.get(column.name)
        if there is None:
            yield Problem(
                where=f"{wanted.name}.{column.name}",
                what="The column is missing.",
                advice=f"Add it to the view; it is {_type_name(column)}"
                + (", NULL where you have no such thing." if column.nullable else ", and never NULL."),
                stops=True,
            )
        elif not _has_type(column, there["type"], zoned=connection.dialect.name == "postgresql"):
            yield Problem(
                where=f"{wanted.name}.{column.name}",
                what=f"It is {there['type']}, and must be {_type_name(column)}.",
                advice=_cast_advice(column),
                stops=True,
            )
    yield from _unreadable(connection, wanted)


def _unreadable(connection: Connection, wanted: Table) -> Iterator[Problem]:
    if connection.dialect.name == "postgresql" and not may(connection, wanted.name, "SELECT"):
        yield Problem(
            where=wanted.name,
            what="Laurel's role may not read it.",
            advice=f"{OWNERS_STATEMENT} See docs/how-to/adopting.md, section 3.",
            statement=f"GRANT SELECT ON {qualified(connection, wanted.name)} TO {role_of(connection)};",
            stops=True,
        )
        return
    try:
        # A savepoint, because an error ends the transaction on PostgreSQL.
        with connection.begin_nested():
            connection.execute(select(literal(1)).select_from(wanted).where(false()))
    except DBAPIError as error:
        yield Problem(
            where=wanted.name,
            what=f"It cannot be read: {driver_message(error.orig)}.",
            advice="A view is read with its owner's rights: its owner needs SELECT on every table in it.",
            stops=True,
        )


def _missing_table(connection: Connection, wanted: Table) -> Problem:
    columns = ", ".join(wanted.c.keys())
    advice = f"Create a view {wanted.name} with the columns {columns}; see docs/how-to/adopting.md."
    what, statement, quote = "There is no such table or view.", "", connection.dialect.identifier_preparer.quote
    if connection.dialect.name == "postgresql":
        # A table in a schema that is not on the search path is reported as such, not as missing.
        elsewhere = text(
            "SELECT n.nspname, has_schema_privilege(n.oid, 'USAGE') FROM pg_class c JOIN pg_namespace n "
            "ON n.oid = c.relnamespace WHERE c.relname = :name AND c.relkind IN ('r', 'v', 'm', 'p', 'f') "
            "AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
        )
        what += f" Looked for in the schemas {', '.join(_schemas(connection)) or '(none)'}."
        for schema, usable in connection.execute(elsewhere, {"name": wanted.name}):
            what += f" There is one in {schema}."
            path = ", ".join(dict.fromkeys(map(quote, (*_schemas(connection), schema))))
            statement = f"ALTER ROLE {role_of(connection)} SET search_path = {path};"
            statement = statement if usable else f"GRANT USAGE ON SCHEMA {quote(schema)} TO {role_of(connection)};"
            advice = f"If that is the one: {OWNERS_STATEMENT} See docs/how-to/adopting.md, section 3."
    return Problem(where=wanted.name, what=what, advice=advice, statement=statement, stops=True)


def _columns(connection: Connection, name: str) -> dict[str, ReflectedColumn]:
    # In the order of the search path, as PostgreSQL resolves the name.
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


def _has_type(wanted: Column[object], there: TypeEngine[object], *, zoned: bool) -> bool:
    if isinstance(there, NullType):  # SQLite has no types for the columns of a view
        return True
    if isinstance(wanted.type, UtcDateTime):
        return isinstance(there, DateTime) and (there.timezone or not zoned)
    if isinstance(wanted.type, Boolean):
        return isinstance(there, Boolean)
    return isinstance(there, String)


def _type_name(column: Column[object]) -> str:
    if isinstance(column.type, UtcDateTime):
        return "a time with its zone"
    return "true or false" if isinstance(column.type, Boolean) else "text"


def _cast_advice(column: Column[object]) -> str:
    name = column.name
    if isinstance(column.type, UtcDateTime):
        return (
            f"Say in the view which zone its times are in: {name} AT TIME ZONE 'UTC' AS {name}. "
            "A cast to timestamptz would take the zone of whoever asks."
        )
    if isinstance(column.type, Boolean):
        return f"Compare it in the view: ({name} = 1) AS {name}, with 1 for what means yes."
    return f"Cast it in the view: CAST({name} AS text) AS {name}."
