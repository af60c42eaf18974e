"""Checks of the grants of Laurel's role on PostgreSQL: it should only read the platform's tables, and write its own."""

from collections.abc import Iterator

from sqlalchemy import Connection, text

from models.base import laurel_metadata
from models.diagnostics.problem import Problem
from models.platform.tables import platform_metadata


def missing_grants(connection: Connection) -> Iterator[Problem]:
    """Yield the rights that Laurel's role needs on its own tables and does not have."""
    if connection.dialect.name != "postgresql":
        return
    for name in laurel_metadata.tables:
        rights_needed = ("SELECT", "INSERT", "UPDATE", "DELETE")
        missing = [right for right in rights_needed if may(connection, name, right) is False]
        if missing:
            rights = ", ".join(missing)
            yield Problem(
                where=name,
                what=f"Laurel's role may not {rights} in this table of its own.",
                advice=f"GRANT {rights} ON {name} TO {role_of(connection)}.",
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
                advice=f"Laurel only reads it: REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {wanted.name} FROM {role} "
                "(or from PUBLIC, or a role that it belongs to).",
            )


def may(connection: Connection, name: str, rights: str) -> bool | None:
    """Return whether the role has one of the rights; None if there is no such table."""
    granted = text("SELECT has_table_privilege(to_regclass(:name), :rights)")
    return connection.execute(granted, {"name": name, "rights": rights}).scalar()


def _owns(connection: Connection, name: str) -> bool:
    owner = text("SELECT pg_get_userbyid(relowner) = current_user FROM pg_class WHERE oid = to_regclass(:name)")
    return bool(connection.execute(owner, {"name": name}).scalar())


def role_of(connection: Connection) -> str:
    """Return the role's name, quoted for a statement."""
    return str(connection.execute(text("SELECT quote_ident(current_user)")).scalar())
