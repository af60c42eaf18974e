"""What a run notes of itself in the ledger, and what the ledger counts of it at its end."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from prefect import State
from prefect.runtime import flow_run

from models import run_log
from models.ledger import run_summary
from models.ledger.claiming import DueOrganization
from models.standing import Standing, standing
from rules.reasons import Reason
from rules.run_summary import Counts, RunSummary
from tasks.runtime.organization import Organization
from tasks.runtime.run import Run

Part = tuple[DueOrganization, State[Any]]
"""An organization that reconcile started a flow run for, and the state in which that ended."""


@dataclass
class RunEntry:
    """The entry of an organization in the run log, while the run works for it."""

    organization: Organization | None = None
    stopped: Reason | None = None


@asynccontextmanager
async def run_entry(run: Run, due: DueOrganization) -> AsyncIterator[RunEntry]:
    """Keep in the run log that this flow run works for the organization, and at the end why it was stopped."""
    # In a thread: Prefect asks its server and waits for the answer.
    started_by = await asyncio.to_thread(lambda: flow_run.parent_flow_run_id)
    row_id = await run.database.write(
        run_log.begin_organization,
        flow_run_id=flow_run.id,
        started_by=started_by or flow_run.id,
        organization_id=due.organization_id,
        base_url=due.base_url,
        now=run.now(),
    )
    entry = RunEntry()
    try:
        yield entry
    finally:
        stopped = entry.stopped or (entry.organization.stopped if entry.organization else None)
        await run.database.write(run_log.end_organization, row_id, stopped=stopped, now=run.now())


async def summary_of_this_run(run: Run, portals: Sequence[str]) -> RunSummary:
    """Return what the running flow run did, and what is open of these portals."""
    ids = [flow_run.id]
    done = await run.database.read(run_summary.summary, ids)
    stopped = await run.database.read(run_log.stops, ids)
    opened = await run.database.read(standing, portal_ids=portals)
    return replace(done, open=_counts(opened), stopped=tuple(stopped.values()))


async def summary_of_parts(
    run: Run, parts: Sequence[Part], portals: Sequence[str] | None
) -> tuple[RunSummary, dict[str, RunSummary], dict[str, Reason]]:
    """Return what the flow runs did that the running one has started: in all, by organization, and which were stopped.

    Also of those that crashed. `portals`: those whose open work counts; all if None.
    """
    runs_of: dict[str, set[str]] = {}
    portals_of: dict[str, set[str]] = {}
    for due, state in parts:
        runs_of.setdefault(due.organization_id, set()).update(_run_of(state))
        portals_of.setdefault(due.organization_id, set()).update(due.portal_ids)
    # Those in the run log, and those that Prefect returned: workers of an earlier version write no run log.
    logged = await run.database.read(run_log.started_by, flow_run.id)
    ids = sorted(logged.union(*runs_of.values()))
    done = await run.database.read(run_summary.summary, ids)
    stopped = await run.database.read(run_log.stops, ids)
    opened = await run.database.read(standing, portal_ids=portals)
    organizations = {
        each: done.of_runs(flow_run_ids, open_now=_counts(opened, portals_of[each]))
        for each, flow_run_ids in runs_of.items()
    }
    total = replace(done, open=_counts(opened), stopped=tuple(stopped.values()))
    return total, organizations, stopped


def _run_of(state: State[Any]) -> set[str]:
    flow_run_id = state.state_details.flow_run_id
    return {str(flow_run_id)} if flow_run_id else set()


def _counts(opened: Sequence[Standing], portals: Collection[str] | None = None) -> Counts:
    counts: Counts = Counter()
    for each in opened:
        if portals is None or each.portal_id in portals:
            counts[each.state, each.reason] += each.count
    return counts
