"""How long calls and runs are kept, and removing what is older."""

from datetime import timedelta
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import TERMINAL_STATES

from models import calls as calls_log
from models import parts, run_log
from models.keeping import forget_attempts
from rules.told import Told, counted
from tasks.runtime.run import Run

RUNS_AT_MOST = 5_000
_PAGE = 200
TAG, _PART = "credly", "issue-organization"


async def remove_what_is_old(run: Run) -> Told:
    """Remove calls and Laurel's own runs that are older than the settings say, and tell how many."""
    configured = run.settings
    calls = runs = 0
    if configured.keep_attempts:
        calls = await forget_attempts(run.database, before=run.now() - timedelta(days=configured.keep_attempts))
    if configured.keep_runs:
        kept_for = timedelta(days=configured.keep_runs)
        # those that belong to no issuance
        calls += await run.database.write(calls_log.forget, before=run.now() - kept_for)
        await run.database.write(run_log.forget, before=run.now() - kept_for)
        runs = await _remove_runs(run, kept_for)
    await run.database.write(parts.forget, now=run.now())
    more = "; more are left for the next run" if runs >= RUNS_AT_MOST else ""
    kept = f"Calls are kept {_so_long(configured.keep_attempts)}, runs {_so_long(configured.keep_runs)}."
    return Told(sentence=f"{counted(calls, 'call')} and {counted(runs, 'run')} removed{more}. {kept}")


async def _remove_runs(run: Run, kept_for: timedelta) -> int:
    """Delete runs of ours that ended so long ago, and return how many; their logs go with them.

    Ours are those of our deployments, which have a tag for it, and the parts of a run that have a flow of their own.
    """
    ended = FlowRunFilterEndTime(before_=run.now() - kept_for)
    over = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(TERMINAL_STATES)))
    tagged = FlowRunFilter(end_time=ended, state=over, tags=FlowRunFilterTags(all_=[TAG]))
    parts = FlowFilter(name=FlowFilterName(any_=[_PART]))
    removed = await _remove(flow_run_filter=tagged)
    return removed + await _remove(flow_filter=parts, flow_run_filter=FlowRunFilter(end_time=ended, state=over))


async def _remove(**which: Any) -> int:
    removed = 0
    async with get_client() as client:
        while removed < RUNS_AT_MOST:
            portion = await client.read_flow_runs(**which, limit=_PAGE)
            if not portion:
                break
            for run in portion:
                await client.delete_flow_run(run.id)
            removed += len(portion)
    return removed


def _so_long(days: int) -> str:
    return counted(days, "day") if days else "for good"
