"""Retention: removing calls and runs that are older than the settings allow."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from models.operations import run_log
from models.operations import run_parts as parts
from models.operations.retention import forget_answers, forget_attempts
from models.setup import calls as calls_log
from rules.wording import FormResult, counted
from tasks.runtime.errors import only_warned
from tasks.runtime.run import Run

MAX_RUNS = 5_000
_PAGE = 200
TAG, _PART = "credly", "issue-organization"
PREFECTS_TAG = "auto-scheduled"  # which Prefect's scheduler gives its runs
NOTHING_DUE = "Nothing due"
"""The state of a scheduled run that had nothing to do."""
UNEVENTFUL_FOR = timedelta(hours=12)  # how long such a run is kept


async def remove_expired(run: Run) -> FormResult:
    configured = run.settings
    calls = runs = 0
    if configured.keep_attempts:
        calls = await forget_attempts(run.database, before=run.now() - timedelta(days=configured.keep_attempts))
    if configured.keep_runs:
        kept_for = timedelta(days=configured.keep_runs)
        # Calls that belong to no issuance.
        calls += await run.database.write(calls_log.forget, before=run.now() - kept_for)
        await run.database.write(run_log.forget, before=run.now() - kept_for)
        runs = await _remove_runs(run, kept_for)
    await run.database.write(parts.forget, now=run.now())
    more = "; more are left for the next run" if runs >= MAX_RUNS else ""
    kept = f"Calls are kept {_duration(configured.keep_attempts)}, runs {_duration(configured.keep_runs)}."
    if configured.keep_answers:
        old = run.now() - timedelta(days=configured.keep_answers)
        cleared = await forget_answers(run.database, before=old)
        kept += f" Links and messages of Credly are kept {_duration(configured.keep_answers)}: "
        kept += f"{counted(cleared, 'row')} cleared of them."
    if configured.archive_after:
        # Not above: every run of reconcile imports this module, and an archive needs pyarrow.
        from reports.archive import archive

        kept += f" {await archive(run.database, configured, now=run.now())}"
    return FormResult(sentence=f"{counted(calls, 'call')} and {counted(runs, 'run')} removed{more}. {kept}")


async def remove_uneventful(run: Run) -> None:
    """Remove scheduled runs that had nothing to do, or that found another run in their place, once they are old.

    A run does not fail for it.
    """
    ended = FlowRunFilterEndTime(before_=run.now() - UNEVENTFUL_FOR)
    names = FlowRunFilterState(name=FlowRunFilterStateName(any_=[NOTHING_DUE, "Cancelled"]))
    old = FlowRunFilter(end_time=ended, state=names, tags=FlowRunFilterTags(all_=[TAG, PREFECTS_TAG]))
    with only_warned("Runs with nothing due were not removed"):
        async with get_client() as client:
            for each in await client.read_flow_runs(flow_run_filter=old, sort=FlowRunSort.END_TIME_DESC, limit=_PAGE):
                # Not those that somebody cancelled after they had begun.
                if each.state_name == NOTHING_DUE or each.start_time in (None, each.end_time):
                    await _delete(client, each)


async def _remove_runs(run: Run, kept_for: timedelta) -> int:
    # Laurel's own runs: those of its deployments, which have a tag, and the sub-flows of reconcile. Prefect deletes the
    # logs together with a run.
    ended = FlowRunFilterEndTime(before_=run.now() - kept_for)
    over = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(TERMINAL_STATES)))
    tagged = FlowRunFilter(end_time=ended, state=over, tags=FlowRunFilterTags(all_=[TAG]))
    parts = FlowFilter(name=FlowFilterName(any_=[_PART]))
    removed = await _remove(flow_run_filter=tagged)
    return removed + await _remove(flow_filter=parts, flow_run_filter=FlowRunFilter(end_time=ended, state=over))


async def _remove(**which: Any) -> int:
    removed = 0
    async with get_client() as client:
        while removed < MAX_RUNS:
            page = await client.read_flow_runs(**which, limit=_PAGE)
            if not page:
                break
            for run in page:
                await _delete(client, run)
            removed += len(page)
    return removed


async def _delete(client: PrefectClient, run: FlowRun) -> None:
    with suppress(ObjectNotFound):  # another run removed it meanwhile
        await client.delete_flow_run(run.id)


def _duration(days: int) -> str:
    return counted(days, "day") if days else "permanently"
