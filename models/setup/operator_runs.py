"""Who started the runs of forms. The histories of issuances and settings contain the ids of these runs."""

from datetime import datetime

from sqlalchemy import Connection

from models.base import Field, LaurelTable
from models.columns import UtcDateTime, insert_into, own_id
from models.ledger.transitions import flow_run_of
from models.tables import table


class OperatorRun(LaurelTable, table=True):
    """A run of a form. `creator` is the user that Prefect recorded, `operator_id` the id entered in the form."""

    __tablename__ = "operator_runs"
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    flow_run_id: str = Field(unique=True, max_length=36)
    at: datetime = Field(sa_type=UtcDateTime)
    creator: str = Field(max_length=255)
    operator_id: str = Field(max_length=64)


def put_operator(connection: Connection, *, creator: str, operator_id: str, now: datetime) -> None:
    """Store who started this flow run."""
    values = {"flow_run_id": flow_run_of(connection), "at": now, "creator": creator, "operator_id": operator_id}
    # A retried flow run has the same id: its first row stays.
    connection.execute(insert_into(connection, table(OperatorRun)).values(values).on_conflict_do_nothing())
