"""The badge templates of connected organizations as Credly showed them last, for menus, names and the run's page.

Whether a template can be issued is asked before each run's badges (tasks/issuing/preflight.py).
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, UniqueConstraint, delete, insert, select, update

from models.base import Field, LaurelTable
from models.columns import UtcDateTime, insert_into, own_id
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table


class CredlyTemplate(LaurelTable, table=True):
    """A badge template of an organization, with its state at Credly and the address of its image."""

    __tablename__ = "credly_templates"
    __table_args__ = (
        UniqueConstraint("base_url", "organization_id", "template_id", name="uq_credly_templates_template"),
    )
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    base_url: str = Field(max_length=500)
    organization_id: str = Field(max_length=64)
    template_id: str = Field(max_length=64)
    name: str = Field(max_length=255)
    state: str = Field(max_length=40)
    image_url: str = Field(max_length=1000)
    read_at: datetime = Field(sa_type=UtcDateTime)


templates = table(CredlyTemplate)
integrations, connections = table(CredlyIntegration), table(CredlyConnection)
DELETED = "deleted"
_NOT_ISSUED = ("draft", "archived", DELETED)


def replace_templates(
    connection: Connection, *, base_url: str, organization_id: str, found: Sequence[CredlyTemplate]
) -> None:
    """Store an organization's templates in place of those that were stored before. Those not found are deleted ones."""
    of_organization = (templates.c.base_url == base_url, templates.c.organization_id == organization_id)
    connection.execute(update(templates).where(*of_organization).values({templates.c.state: DELETED}))
    listed = templates.c.template_id.in_([each.template_id for each in found])
    connection.execute(delete(templates).where(*of_organization, listed))
    if found:
        connection.execute(insert(templates), [each.model_dump(exclude={"id"}) for each in found])


def put_template(connection: Connection, found: CredlyTemplate) -> None:
    """Store one template, in place of what was stored of it before."""
    values = found.model_dump(exclude={"id"})
    key = ["base_url", "organization_id", "template_id"]
    new = insert_into(connection, templates).values(values)
    connection.execute(new.on_conflict_do_update(index_elements=key, set_=values))


def read_moments(
    connection: Connection, template_ids: Sequence[str], *, base_url: str, organization_id: str
) -> dict[str, datetime]:
    """Return when each of these templates was read last, of those that are stored."""
    same = (templates.c.base_url == base_url, templates.c.organization_id == organization_id)
    query = select(templates.c.template_id, templates.c.read_at).where(*same, templates.c.template_id.in_(template_ids))
    return {row.template_id: row.read_at for row in connection.execute(query)}


def not_active(connection: Connection, *, portal_ids: Sequence[str] | None) -> list[tuple[str, str, str]]:
    """Return achievement, template and state where an integration's template cannot be issued, as far as stored."""
    query = (
        select(integrations.c.achievement_id, templates.c.template_id, templates.c.state)
        .join(templates, templates.c.template_id == integrations.c.badge_template_id)
        .join(
            connections,
            (connections.c.base_url == templates.c.base_url)
            & (connections.c.organization_id == templates.c.organization_id),
        )
        .where(templates.c.state.in_(_NOT_ISSUED), integrations.c.paused_at.is_(None))
        .distinct()
        .order_by(integrations.c.achievement_id)
    )
    if portal_ids is not None:
        query = query.where(connections.c.portal_id.in_(portal_ids))
    return [(row.achievement_id, row.template_id, row.state) for row in connection.execute(query)]


def all_templates(connection: Connection) -> list[CredlyTemplate]:
    """Return the stored templates by name, without deleted ones."""
    there = select(templates).where(templates.c.state != DELETED)
    found = connection.execute(there.order_by(templates.c.name, templates.c.template_id))
    return [CredlyTemplate(**row._mapping) for row in found]


def owner_of_template(connection: Connection, template_id: str) -> str:
    """Return the id of the organization that has this template, as far as it is stored; otherwise an empty text."""
    owner = select(templates.c.organization_id).where(templates.c.template_id == template_id).limit(1)
    return connection.execute(owner).scalar_one_or_none() or ""
