"""Who started the runs of forms, for the histories of issuances and settings, which hold the runs' ids."""

from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Field

from models.base import LaurelTable
from models.columns import UtcDateTime, own_id
from models.ledger.transitions import flow_run_of
from models.tables import table


class OperatorRun(LaurelTable, table=True):
    """A run of a form. `creator` is what Prefect has of who started it, `operator_id` what was given in the form."""

    __tablename__ = "operator_runs"
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    flow_run_id: str = Field(unique=True, max_length=36)
    at: datetime = Field(sa_type=UtcDateTime)
    creator: str = Field(max_length=255)
    operator_id: str = Field(max_length=64)


def put_operator(connection: Connection, *, creator: str, operator_id: str, now: datetime) -> None:
    """Keep who started this flow run; what was kept when it was tried before stays."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    values = {"flow_run_id": flow_run_of(connection), "at": now, "creator": creator, "operator_id": operator_id}
    connection.execute(dialect.insert(table(OperatorRun)).values(values).on_conflict_do_nothing())
