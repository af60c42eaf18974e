"""The run log: which organizations a run works for, and the summary of a run from the ledger."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from prefect import State
from prefect.runtime import flow_run

from models.ledger.claiming import DueOrganization
from models.operations import run_log, run_summary
from models.operations.open_counts import OpenCount, open_counts
from rules.ledger.reasons import Reason
from rules.monitoring.run_summary import Counts, RunSummary
from tasks.runtime.organization import Organization
from tasks.runtime.run import Run

Part = tuple[DueOrganization, State[Any]]
"""An organization that reconcile started a flow run for, and the final state of that run."""


@dataclass
class RunEntry:
    organization: Organization | None = None
    stopped: Reason | None = None


@asynccontextmanager
async def run_entry(run: Run, due: DueOrganization) -> AsyncIterator[RunEntry]:
    """Log that this flow run works for the organization, and at its end why it was stopped."""
    # In a thread, because this attribute is a blocking request to Prefect's server.
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
    ids = [flow_run.id]
    done = await run.database.read(run_summary.summary, ids)
    stopped = await run.database.read(run_log.stops, ids)
    opened = await run.database.read(open_counts, portal_ids=portals)
    return replace(done, open=_counts(opened), stopped=tuple(stopped.values()))


async def summary_of_parts(
    run: Run, parts: Sequence[Part], portals: Sequence[str] | None
) -> tuple[RunSummary, dict[str, RunSummary], dict[str, Reason]]:
    """Summarize the flow runs that the current one started, in total and by organization, and which were stopped.

    Crashed ones are included. `portals` limits the open work that is counted; None counts all.
    """
    runs_of: dict[str, set[str]] = {}
    portals_of: dict[str, set[str]] = {}
    for due, state in parts:
        runs_of.setdefault(due.organization_id, set()).update(_run_of(state))
        portals_of.setdefault(due.organization_id, set()).update(due.portal_ids)
    # From the run log and from Prefect's states, since workers of an earlier version write no run log.
    logged = await run.database.read(run_log.started_by, flow_run.id)
    ids = sorted(logged.union(*runs_of.values()))
    done = await run.database.read(run_summary.summary, ids)
    stopped = await run.database.read(run_log.stops, ids)
    opened = await run.database.read(open_counts, portal_ids=portals)
    organizations = {
        each: done.of_runs(flow_run_ids, open_now=_counts(opened, portals_of[each]))
        for each, flow_run_ids in runs_of.items()
    }
    total = replace(done, open=_counts(opened), stopped=tuple(stopped.values()))
    return total, organizations, stopped


def _run_of(state: State[Any]) -> set[str]:
    flow_run_id = state.state_details.flow_run_id
    return {str(flow_run_id)} if flow_run_id else set()


def _counts(opened: Sequence[OpenCount], portals: Collection[str] | None = None) -> Counts:
    counts: Counts = Counter()
    for each in opened:
        if portals is None or each.portal_id in portals:
            counts[each.state, each.reason] += each.count
    return counts
