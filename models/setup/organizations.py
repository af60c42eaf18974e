"""The Credly organizations that were called. Rows stay after the last portal was disconnected.

A call whose outcome is unknown is settled where it was made, with the token of that organization.
"""

from sqlalchemy import Connection, UniqueConstraint, select

from models.base import Field, LaurelTable
from models.columns import insert_into, own_id
from models.setup import rate_limit
from models.tables import table


class CredlyOrganization(LaurelTable, table=True):
    """How to call an organization: with the token in the Secret block that was configured for it last."""

    __tablename__ = "credly_organizations"
    __table_args__ = (UniqueConstraint("base_url", "organization_id", name="uq_credly_organizations_organization"),)
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    base_url: str = Field(max_length=500)
    organization_id: str = Field(max_length=64)
    token_block: str = Field(max_length=255)
    calls_per_second: float


organizations = table(CredlyOrganization)


def put(
    connection: Connection, *, base_url: str, organization_id: str, token_block: str, calls_per_second: float
) -> int:
    """Store how to call an organization, and return its row's id."""
    key = {"base_url": base_url, "organization_id": organization_id}
    values = {"token_block": token_block, "calls_per_second": calls_per_second}
    new = insert_into(connection, organizations).values(**key, **values)
    stored = new.on_conflict_do_update(index_elements=list(key), set_=values).returning(organizations.c.id)
    return int(connection.execute(stored).scalar_one())


def forget_other_pace(connection: Connection, *, base_url: str, organization_id: str, calls_per_second: float) -> None:
    """Drop the turns that were reserved at another pace than this one: they may be hours away."""
    columns = organizations.c
    same = (columns.base_url == base_url, columns.organization_id == organization_id)
    at_this_pace = select(columns.id).where(*same, columns.calls_per_second == calls_per_second)
    if connection.execute(at_this_pace).first() is None:
        rate_limit.forget(connection, rate_limit.key_of(base_url, organization_id))
