"""Checks of the grants of Laurel's role on PostgreSQL: it should only read the platform's tables, and write its own."""

from collections.abc import Iterator

from sqlalchemy import Connection, text

from models.diagnostics.problem import OWNERS_STATEMENT, Problem
from models.metadata import laurel_metadata, views_metadata
from models.platform.tables import platform_metadata
from models.revision import VERSION_TABLE


def missing_grants(connection: Connection) -> Iterator[Problem]:
    """Yield the rights that Laurel's role needs on its own tables and does not have."""
    if connection.dialect.name != "postgresql":
        return
    to_read, to_write = (VERSION_TABLE, *views_metadata.tables), laurel_metadata.tables
    for name in (*to_read, *to_write):
        rights_needed = ("SELECT",) if name in to_read else ("SELECT", "INSERT", "UPDATE", "DELETE")
        missing = [right for right in rights_needed if may(connection, name, right) is False]
        if missing:
            rights = ", ".join(missing)
            yield Problem(
                where=name,
                what=f"Laurel's role may not {rights} in this table of its own.",
                advice=OWNERS_STATEMENT,
                statement=f"GRANT {rights} ON {qualified(connection, name)} TO {role_of(connection)};",
                stops=True,
            )
    yield from _missing_on_sequences(connection)


def _missing_on_sequences(connection: Connection) -> Iterator[Problem]:
    sequences = text(
        "SELECT format('%I.%I', n.nspname, s.relname) FROM pg_class s JOIN pg_namespace n ON n.oid = s.relnamespace "
        "JOIN pg_depend d ON d.objid = s.oid AND d.deptype = 'a' "
        "WHERE d.refobjid = to_regclass(:name) "
        "AND CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE') ELSE false END"
    )
    for name in laurel_metadata.tables:
        for sequence in connection.execute(sequences, {"name": name}).scalars():
            yield Problem(
                where=name,
                what="Laurel's role may not use the sequence of this table's keys.",
                advice=OWNERS_STATEMENT,
                statement=f"GRANT USAGE ON SEQUENCE {sequence} TO {role_of(connection)};",
                stops=True,
            )


def excess_grants(connection: Connection) -> Iterator[Problem]:
    """Yield the rights of Laurel's role beyond reading the platform's tables."""
    if connection.dialect.name != "postgresql":
        return
    role = role_of(connection)
    if connection.execute(text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")).scalar():
        yield Problem(
            where=f"role {role}",
            what="It is a superuser, and may change and delete everything.",
            advice="Laurel needs a role that reads the platform and no more: docs/how-to/adopting.md, section 3.",
            needs_attention=False,
        )
        return
    for wanted in platform_metadata.sorted_tables:
        if _owns(connection, wanted.name):
            yield Problem(
                where=wanted.name,
                what=f"The role {role} owns it, and may change it.",
                advice="Laurel only reads it: safer is a role of its own, as in docs/how-to/adopting.md, section 3.",
                needs_attention=False,
            )
        elif may(connection, wanted.name, "INSERT, UPDATE, DELETE, TRUNCATE"):
            yield Problem(
                where=wanted.name,
                what="Laurel's role may write it.",
                advice="Laurel only reads it. The owner runs the statement below; rights of PUBLIC, or of a role that "
                f"{role} belongs to, are revoked there.",
                statement="REVOKE INSERT, UPDATE, DELETE, TRUNCATE "
                f"ON {qualified(connection, wanted.name)} FROM {role};",
            )


def may(connection: Connection, name: str, rights: str) -> bool | None:
    """Return whether the role has one of the rights; None if there is no such table."""
    granted = text("SELECT has_table_privilege(to_regclass(:name), :rights)")
    return connection.execute(granted, {"name": name, "rights": rights}).scalar()


def qualified(connection: Connection, name: str) -> str:
    """Return a table's name with its schema, quoted for a statement: who runs that may have another search path."""
    found = text(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.oid = to_regclass(:name)"
    )
    return str(connection.execute(found, {"name": name}).scalar_one())


def _owns(connection: Connection, name: str) -> bool:
    owner = text("SELECT pg_get_userbyid(relowner) = current_user FROM pg_class WHERE oid = to_regclass(:name)")
    return bool(connection.execute(owner, {"name": name}).scalar())


def role_of(connection: Connection) -> str:
    """Return the role's name, quoted for a statement."""
    return str(connection.execute(text("SELECT quote_ident(current_user)")).scalar())
