"""What the run of one organization tells the run that started it, where the two may be on different machines."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert
from sqlmodel import Field

from models.base import LaurelTable
from models.columns import UtcDateTime, own_id
from models.tables import table

_KEPT_FOR = timedelta(days=7)


class RunPart(LaurelTable, table=True):
    """What one flow run did, as `rules.portable` packs it; gone when the run that started it has read it."""

    __tablename__ = "run_parts"
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    flow_run_id: str = Field(unique=True, max_length=36)
    told: str
    told_at: datetime = Field(sa_type=UtcDateTime)


_parts = table(RunPart)


def leave(connection: Connection, flow_run_id: str, told: str, *, now: datetime) -> None:
    """Leave what a run did for the run that started it; what nobody has read within a week is forgotten."""
    stale = _parts.c.told_at < now - _KEPT_FOR
    connection.execute(delete(_parts).where(stale | (_parts.c.flow_run_id == flow_run_id)))
    connection.execute(insert(_parts).values(flow_run_id=flow_run_id, told=told, told_at=now))


def take(connection: Connection, flow_run_id: str) -> str | None:
    """Return what a run has left, once; None where it left nothing."""
    mine = delete(_parts).where(_parts.c.flow_run_id == flow_run_id).returning(_parts.c.told)
    return connection.execute(mine).scalar_one_or_none()
