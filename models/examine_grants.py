"""Looking at what Laurel's role may do, on PostgreSQL: read the platform's tables and no more, and write its own."""

from collections.abc import Iterator

from sqlalchemy import Connection, text

from models.base import laurel_metadata
from models.lack import Lack
from models.platform.tables import platform_metadata


def too_few(connection: Connection) -> Iterator[Lack]:
    """Yield what Laurel's role may not do with its own tables."""
    if connection.dialect.name != "postgresql":
        return
    for name in laurel_metadata.tables:
        rights_needed = ("SELECT", "INSERT", "UPDATE", "DELETE")
        lacking = [right for right in rights_needed if may(connection, name, right) is False]
        if lacking:
            rights = ", ".join(lacking)
            yield Lack(
                where=name,
                what=f"Laurel's role may not {rights} in this table of its own.",
                advice=f"GRANT {rights} ON {name} TO {role_of(connection)}.",
                stops=True,
            )


def too_many(connection: Connection) -> Iterator[Lack]:
    """Yield what Laurel's role may do beyond reading the platform's tables."""
    if connection.dialect.name != "postgresql":
        return
    role = role_of(connection)
    if connection.execute(text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")).scalar():
        yield Lack(
            where=f"role {role}",
            what="It is a superuser, and may change and delete everything.",
            advice="Laurel needs a role that reads the platform and no more: docs/adopting.md, section 3.",
            needs_a_person=False,
        )
        return
    for wanted in platform_metadata.sorted_tables:
        if _owns(connection, wanted.name):
            yield Lack(
                where=wanted.name,
                what=f"The role {role} owns it, and may change it.",
                advice="Laurel only reads it: safer is a role of its own, as in docs/adopting.md, section 3.",
                needs_a_person=False,
            )
        elif may(connection, wanted.name, "INSERT, UPDATE, DELETE, TRUNCATE"):
            yield Lack(
                where=wanted.name,
                what="Laurel's role may write it.",
                advice=f"Laurel only reads it: REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {wanted.name} FROM {role} "
                "(or from PUBLIC, or a role that it belongs to).",
            )


def may(connection: Connection, name: str, rights: str) -> bool | None:
    """Say whether the role has one of the rights; None where there is no such table."""
    granted = text("SELECT has_table_privilege(to_regclass(:name), :rights)")
    return connection.execute(granted, {"name": name, "rights": rights}).scalar()


def _owns(connection: Connection, name: str) -> bool:
    owner = text("SELECT pg_get_userbyid(relowner) = current_user FROM pg_class WHERE oid = to_regclass(:name)")
    return bool(connection.execute(owner, {"name": name}).scalar())


def role_of(connection: Connection) -> str:
    """Return the role's name, as a statement has it."""
    return str(connection.execute(text("SELECT quote_ident(current_user)")).scalar())
