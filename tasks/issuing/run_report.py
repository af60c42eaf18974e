"""The final state of a run, and its pages in Prefect. They hold ids and no names."""

from collections.abc import Iterable, Sequence

from prefect import State
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from models.operations import run_log
from models.operations.open_counts import pending_counts
from models.planning.writing import PlanCounts
from rules.ledger.reasons import Reason
from rules.markdown import plain
from rules.monitoring.run_page import (
    by_portal,
    in_portal,
    run_page,
    run_table,
    series_key,
    stopped_words,
    under_heads,
)
from rules.monitoring.run_summary import RunSummary
from tasks.issuing.run_log import Part, summary_of_parts
from tasks.operations.alerts import emit_completed, emit_events
from tasks.operations.token_expiry import expiry_warning
from tasks.runtime.run import Run

NEEDS_ATTENTION = "Needs attention"
_TAGS_AT_MOST = 50


async def name_run(name: str) -> None:
    async with get_client() as client:
        await client.update_flow_run(flow_run.id, name=name)


async def tag_run(names: Iterable[str]) -> None:
    # Tags make a run searchable by its achievements; Prefect's pages become slow with very many.
    own = list(flow_run.tags)
    new = [name for name in sorted(set(names)) if name not in own][:_TAGS_AT_MOST]
    if new:
        async with get_client() as client:
            await client.update_flow_run(flow_run.id, tags=[*own, *new])


def final_state(done: RunSummary) -> State[None]:
    """Return the state of a run. Its name shows if an operator has to act; refused badges do not fail a run."""
    sentence = done.sentence
    if done.stopped:
        sentence = f"{sentence}. Stopped: {done.stopped[0].sentence}"
    # The only case in which the work itself could not be done.
    if Reason.NOT_REACHABLE in done.stopped:
        return Failed(message=sentence)
    return Completed(name=NEEDS_ATTENTION if done.needs_action else "Completed", message=sentence)


async def finish_run(
    run: Run, plan: PlanCounts, parts: Sequence[Part], *, portal: str = "", limit: int = 0
) -> State[None]:
    """Write the pages of the run, emit its events, and return its final state.

    It is failed if the part of an organization failed.
    """
    portals = [portal] if portal else None
    total, organizations, stopped = await summary_of_parts(run, parts, portals)
    failures = [state for _, state in parts if not state.is_completed()]
    expiring = await expiry_warning(run, portals)
    pending, moment = await run.database.read(pending_counts, portal_ids=portals), run.now()
    sentence = ". ".join(filter(None, (total.sentence, stopped_words(pending), expiring)))
    page = run_page(
        total, planned=_planned(plan), organizations=organizations, pending=pending, warning=expiring, now=moment
    )
    await _write_pages(run, page, total, sentence=sentence)
    # A run of one portal or with a limit is no basis for comparing later runs with.
    await emit_events(run, total, stopped, pending, whole=not portal and not limit)
    if failures:
        return Failed(message=f"{sentence}. {len(failures)} of {len(parts)} organizations had trouble, see their runs.")
    emit_completed(sentence)
    return Completed(name=NEEDS_ATTENTION if total.needs_action or expiring else "Completed", message=sentence)


async def _write_pages(run: Run, page: str, total: RunSummary, *, sentence: str) -> None:
    # Prefect renders descriptions as Markdown.
    described = plain(sentence, longest=2000)
    await acreate_markdown_artifact(key="reconcile", markdown=page, description=described)
    if total.results:
        await acreate_table_artifact(key="reconcile-table", table=run_table(total), description=described)
    counts = by_portal(total)
    series = await run.database.write(run_log.keep_portals, counts, flow_run_id=flow_run.id, now=run.now())
    for portal_id, latest in series.items():
        rows = [{"at": at.isoformat(timespec="seconds"), **under_heads(by_state)} for at, by_state in latest]
        words = plain(in_portal(portal_id, counts[portal_id]))
        await acreate_table_artifact(key=series_key("issued", portal_id), table=rows, description=words)


def _planned(plan: PlanCounts) -> str:
    return (
        f"Planning entered {plan.entered} new issuances, revived {plan.revived}, "
        f"cancelled {plan.cancelled} and unblocked {plan.unblocked}."
    )
