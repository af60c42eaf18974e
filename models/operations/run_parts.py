"""A table that only workers of an earlier version still write: the results of their runs, for the parent run."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete

from models.base import Field, LaurelTable
from models.columns import UtcDateTime, own_id
from models.tables import table

_RETENTION = timedelta(days=7)


class RunPart(LaurelTable, table=True):
    """The results of one flow run of an earlier version. The next release drops the table."""

    __tablename__ = "run_parts"
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    flow_run_id: str = Field(unique=True, max_length=36)
    told: str
    told_at: datetime = Field(sa_type=UtcDateTime)


_parts = table(RunPart)


def forget(connection: Connection, *, now: datetime) -> None:
    # It contains ids of users, and no run reads it any more.
    connection.execute(delete(_parts).where(_parts.c.told_at < now - _RETENTION))
