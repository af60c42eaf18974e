"""How far each organization's events, and its badges in the audit's round, have been read."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, UniqueConstraint, select, text

from models.base import Field, LaurelTable
from models.columns import UtcDateTime, insert_into, own_id
from models.setup.tables import CredlyConnection
from models.tables import table

_POLLED_WITHIN = timedelta(days=1)
_EVENTS_WITHIN = timedelta(days=30)


class OrganizationCursor(LaurelTable, table=True):
    """The cursors of one organization.

    Events are read from the newest to the oldest, over several runs where they are many: all up to `events_until` have
    been read; `events_page` is the next page of a reading that began when `events_from` was the newest.
    """

    __tablename__ = "organization_cursors"
    __table_args__ = (UniqueConstraint("base_url", "organization_id", name="uq_organization_cursors_organization"),)
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    base_url: str = Field(max_length=500)
    organization_id: str = Field(max_length=64)
    events_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    events_from: datetime | None = Field(default=None, sa_type=UtcDateTime)
    events_page: int = Field(default=1, sa_column_kwargs={"server_default": text("1")})
    events_fault: str = Field(default="", max_length=60, sa_column_kwargs={"server_default": ""})
    polled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    round_began_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    round_page: int = Field(default=1, sa_column_kwargs={"server_default": text("1")})

    def why_no_events(self, *, now: datetime) -> str:
        """Return why the ledger cannot rely on this organization's events, or an empty string."""
        if self.events_fault:
            return f"Credly does not show them ({self.events_fault})"
        if self.polled_at is None or self.polled_at < now - _POLLED_WITHIN:
            return "they were not read for a day"
        if self.events_until is None or self.events_until < now - _EVENTS_WITHIN:
            return f"there was none in {_EVENTS_WITHIN.days} days"
        return ""


cursors = table(OrganizationCursor)
connections = table(CredlyConnection)


def cursor_of(connection: Connection, *, base_url: str, organization_id: str) -> OrganizationCursor:
    """Return the organization's cursors, new ones if it has none."""
    same = (cursors.c.base_url == base_url, cursors.c.organization_id == organization_id)
    found = connection.execute(select(cursors).where(*same)).one_or_none()
    if found is None:
        return OrganizationCursor(base_url=base_url, organization_id=organization_id)
    return OrganizationCursor(**found._mapping)


def put_cursor(connection: Connection, cursor: OrganizationCursor, *names: str) -> None:
    """Store these columns of the cursor. The others belong to another flow, which may run at the same time."""
    key = {"base_url": cursor.base_url, "organization_id": cursor.organization_id}
    values = {name: getattr(cursor, name) for name in names}
    new = insert_into(connection, cursors).values(**key, **values)
    connection.execute(new.on_conflict_do_update(index_elements=list(key), set_=values))


def without_events(connection: Connection, *, now: datetime, portal_ids: Sequence[str] | None) -> dict[str, str]:
    """Return the connected organizations that were polled and whose events cannot be relied on, and why."""
    same: Any = (connections.c.base_url == cursors.c.base_url) & (
        connections.c.organization_id == cursors.c.organization_id
    )
    query = select(cursors).join(connections, same).order_by(cursors.c.organization_id)
    if portal_ids is not None:
        query = query.where(connections.c.portal_id.in_(portal_ids))
    found = [OrganizationCursor(**row._mapping) for row in connection.execute(query)]
    return {each.organization_id: why for each in found if (why := each.why_no_events(now=now))}
