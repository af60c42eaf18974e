"""Calls to Credly without an issuance: the organization, its templates and tokens, pages of the audit.

Calls for an issuance are in `issuance_attempts` (models/ledger/tables.py).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Index, delete, insert

from models.base import Field, LaurelTable
from models.columns import UtcDateTime, enum_by_value, own_id
from models.ledger.tables import AttemptOutcome
from models.tables import table


class CredlyCall(LaurelTable, table=True):
    """One call; the pages of a list are one row. Contains no personal data."""

    __tablename__ = "credly_calls"
    __table_args__ = (Index("ix_credly_calls_started_at", "started_at"),)
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    organization_id: str = Field(max_length=64)
    operation: str = Field(max_length=40)
    outcome: AttemptOutcome = Field(sa_type=enum_by_value(AttemptOutcome, name="call_outcome"))
    started_at: datetime = Field(sa_type=UtcDateTime)
    duration_ms: int
    requests: int
    status: int | None = None
    code: str | None = Field(default=None, max_length=60)
    credly_message: str | None = Field(default=None, max_length=500)
    request_id: str | None = Field(default=None, max_length=64)
    credly_request_id: str | None = Field(default=None, max_length=64)
    flow_run_id: str | None = Field(default=None, max_length=36)


calls = table(CredlyCall)


def keep(
    connection: Connection, records: Sequence[dict[str, Any]], *, organization_id: str, flow_run_id: str | None
) -> None:
    """Record calls; a record has the names of the columns, and its `duration` as a timedelta."""
    rows = []
    for record in records:
        duration_ms = round(record["duration"].total_seconds() * 1000)
        values = {name: value for name, value in record.items() if name != "duration"}
        rows.append(
            values | {"duration_ms": duration_ms, "organization_id": organization_id, "flow_run_id": flow_run_id}
        )
    connection.execute(insert(calls), rows)


def forget(connection: Connection, *, before: datetime) -> int:
    """Delete the calls before a moment (UTC); return how many."""
    return connection.execute(delete(calls).where(calls.c.started_at < before)).rowcount
