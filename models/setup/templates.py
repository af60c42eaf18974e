"""The badge templates of connected organizations, as Credly listed them last. Only for menus and names."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, UniqueConstraint, delete, insert, select
from sqlmodel import Field

from models.base import LaurelTable
from models.columns import UtcDateTime, own_id
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


def replace_templates(
    connection: Connection, *, base_url: str, organization_id: str, found: Sequence[CredlyTemplate]
) -> None:
    """Store an organization's templates in place of those that were stored before."""
    of_organization = (templates.c.base_url == base_url, templates.c.organization_id == organization_id)
    connection.execute(delete(templates).where(*of_organization))
    if found:
        connection.execute(insert(templates), [each.model_dump(exclude={"id"}) for each in found])


def all_templates(connection: Connection) -> list[CredlyTemplate]:
    """Return the stored templates by name."""
    found = connection.execute(select(templates).order_by(templates.c.name, templates.c.template_id))
    return [CredlyTemplate(**row._mapping) for row in found]


def owner_of_template(connection: Connection, template_id: str) -> str:
    """Return the id of the organization that has this template, as far as it is stored; otherwise an empty text."""
    owner = select(templates.c.organization_id).where(templates.c.template_id == template_id).limit(1)
    return connection.execute(owner).scalar_one_or_none() or ""
