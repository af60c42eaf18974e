"""The log of runs beside their transitions: organizations, results by portal, and findings."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Index, case, delete, func, insert, select, update

from models.base import Field, LaurelTable
from models.columns import LONGEST_KEY, UtcDateTime, enum_by_value, own_id
from models.setup.tables import CredlyConnection
from models.tables import table
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from rules.monitoring.alerts import RunHealth

LATEST = 100
_WEEK = timedelta(days=7)
_PORTALS_AT_MOST = 1_000
_COUNTED = ("issued", "failed", "blocked", "pending", "cancelled")


class RunOrganization(LaurelTable, table=True):
    """An organization that a flow run worked for, and why its calls were stopped, if they were.

    `started_by` is the flow run that started this one, perhaps in another process; else it is the same id. `ended_at`
    is None while the run works for it, and permanently if the process was killed.
    """

    __tablename__ = "run_organizations"
    __table_args__ = (
        Index("ix_run_organizations_run", "flow_run_id"),
        Index("ix_run_organizations_started_by", "started_by"),
        Index("ix_run_organizations_ended_at", "ended_at"),
    )
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    flow_run_id: str = Field(max_length=36)
    started_by: str = Field(max_length=36)
    organization_id: str = Field(max_length=64)
    base_url: str = Field(max_length=500)
    begun_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    stopped: Reason | None = Field(default=None, sa_type=enum_by_value(Reason, name="stopped"))


class RunFinding(LaurelTable, table=True):
    """What a whole run of reconcile found, for comparison by the next one. `alarms` are their keys, comma-separated."""

    __tablename__ = "run_findings"
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    at: datetime = Field(sa_type=UtcDateTime)
    flow_run_id: str | None = Field(default=None, max_length=36)
    issued: int
    failed: int
    backlog: int
    alarms: str = ""


class RunPortal(LaurelTable, table=True):
    """How many issuances of a portal a run of reconcile left in which state.

    Counted from the history at the run's end and stored, because the history has no index by portal.
    """

    __tablename__ = "run_portals"
    __table_args__ = (Index("ix_run_portals_portal", "portal_id", "id"),)
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    at: datetime = Field(sa_type=UtcDateTime)
    flow_run_id: str | None = Field(default=None, max_length=36)
    portal_id: str = Field(max_length=LONGEST_KEY)
    issued: int
    failed: int
    blocked: int
    pending: int
    cancelled: int


organizations, findings, portals = table(RunOrganization), table(RunFinding), table(RunPortal)
connections = table(CredlyConnection)


def begin_organization(
    connection: Connection, *, flow_run_id: str, started_by: str, organization_id: str, base_url: str, now: datetime
) -> int:
    values = {"flow_run_id": flow_run_id, "started_by": started_by, "organization_id": organization_id}
    statement = insert(organizations).values(values | {"base_url": base_url, "begun_at": now})
    return int(connection.execute(statement.returning(organizations.c.id)).scalar_one())


def end_organization(connection: Connection, row_id: int, *, stopped: Reason | None, now: datetime) -> None:
    mine = update(organizations).where(organizations.c.id == row_id)
    connection.execute(mine.values(ended_at=now, stopped=stopped))


def started_by(connection: Connection, flow_run_id: str) -> set[str]:
    """Return the ids of the flow runs that this one started for organizations."""
    query = select(organizations.c.flow_run_id).where(organizations.c.started_by == flow_run_id)
    return set(connection.execute(query).scalars())


def stops(connection: Connection, flow_run_ids: Sequence[str]) -> dict[str, Reason]:
    """Return the organizations for which these flow runs stopped making calls, and why."""
    columns = (organizations.c.flow_run_id, organizations.c.organization_id, organizations.c.stopped)
    query = select(*columns).where(organizations.c.flow_run_id.in_(flow_run_ids)).order_by(organizations.c.id)
    # The last row of each: when Prefect runs a flow run again, it has the same id.
    last = {(row.flow_run_id, row.organization_id): row.stopped for row in connection.execute(query)}
    return {organization_id: stopped for (_, organization_id), stopped in last.items() if stopped is not None}


def earlier_findings(connection: Connection) -> list[RunHealth]:
    query = select(findings).order_by(findings.c.id.desc()).limit(LATEST)
    return [
        RunHealth(
            at=row.at,
            issued=row.issued,
            failed=row.failed,
            backlog=row.backlog,
            alarms=tuple(filter(None, row.alarms.split(", "))),
        )
        for row in connection.execute(query)
    ]


def last_finding_at(connection: Connection) -> datetime | None:
    return connection.execute(select(findings.c.at).order_by(findings.c.id.desc()).limit(1)).scalar()


def results_since(connection: Connection, since: datetime) -> tuple[int, int]:
    """Return how many badges runs have issued and how many were refused since a moment (UTC)."""
    # By id from the end, since `at` has no index.
    last_before = select(portals.c.id).where(portals.c.at <= since).order_by(portals.c.id.desc()).limit(1)
    sums = [func.coalesce(func.sum(portals.c[name]), 0) for name in ("issued", "failed")]
    query = select(*sums).where(portals.c.id > func.coalesce(last_before.scalar_subquery(), 0))
    issued, failed = connection.execute(query).one()
    return int(issued), int(failed)


def recently_stopped(connection: Connection, *, since: datetime) -> set[tuple[str, str]]:
    """Return the organizations whose calls a run stopped since a moment (UTC), unless they were connected again since.

    Each as its id and base URL. Connections count once they are planned.
    """
    names = ("organization_id", "base_url", "ended_at", "stopped", "id")
    query = select(*(organizations.c[name] for name in names)).where(organizations.c.ended_at >= since)
    # Sorted here: ORDER BY id would make SQLite read the whole table in that order.
    rows = sorted(connection.execute(query), key=lambda row: row.id)
    last = {tuple(row[:2]): row for row in rows}
    stopped = {key: row.ended_at for key, row in last.items() if row.stopped is not None}
    of_connections = select(connections.c.organization_id, connections.c.base_url, connections.c.planned_at)
    for organization_id, base_url, planned_at in connection.execute(of_connections) if stopped else ():
        ended_at = stopped.get((organization_id, base_url))
        if ended_at is not None and planned_at is not None and planned_at > ended_at:
            del stopped[organization_id, base_url]
    return set(stopped)


def keep_finding(connection: Connection, found: RunHealth, *, flow_run_id: str | None) -> None:
    values = vars(found) | {"alarms": ", ".join(found.alarms), "flow_run_id": flow_run_id}
    connection.execute(insert(findings).values(values))


def keep_portals(
    connection: Connection,
    counts: Mapping[str, Mapping[IssuanceState, int]],
    *,
    flow_run_id: str | None,
    now: datetime,
) -> dict[str, list[tuple[datetime, dict[IssuanceState, int]]]]:
    """Store the results of a run by portal; return for each of them its latest runs, the latest first."""
    if counts:
        connection.execute(
            insert(portals),
            [
                {name: by_state.get(IssuanceState(name), 0) for name in _COUNTED}
                | {"portal_id": portal_id, "flow_run_id": flow_run_id, "at": now}
                for portal_id, by_state in counts.items()
            ],
        )
    return {portal_id: _series(connection, portal_id) for portal_id in counts}


def weeks(connection: Connection, *, now: datetime) -> list[dict[str, Any]]:
    """Return what runs issued and failed by portal in the last seven days and in the seven before."""
    since, before = now - _WEEK, now - 2 * _WEEK
    sums = [
        func.sum(case((condition, portals.c[name]), else_=0)).label(f"{name}{suffix}")
        for name in ("issued", "failed")
        for suffix, condition in (("", portals.c.at >= since), ("_before", portals.c.at < since))
    ]
    query = select(portals.c.portal_id, *sums).where(portals.c.at >= before)
    query = query.group_by(portals.c.portal_id).order_by(portals.c.portal_id).limit(_PORTALS_AT_MOST)
    return [
        {name: value if name == "portal_id" else int(value) for name, value in row._mapping.items()}
        for row in connection.execute(query)
    ]


def _series(connection: Connection, portal_id: str) -> list[tuple[datetime, dict[IssuanceState, int]]]:
    query = select(portals).where(portals.c.portal_id == portal_id).order_by(portals.c.id.desc()).limit(LATEST)
    return [
        (row.at, {IssuanceState(name): getattr(row, name) for name in _COUNTED}) for row in connection.execute(query)
    ]


def forget(connection: Connection, *, before: datetime) -> None:
    """Delete the log of runs before a moment (UTC)."""
    connection.execute(delete(organizations).where(organizations.c.begun_at < before))
    for each in (findings, portals):
        connection.execute(delete(each).where(each.c.at < before))
