"""The final state of a run, and its pages in Prefect. Ids only."""

from collections.abc import Iterable, Sequence

from prefect import State
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from models import run_log
from models.planning.writing import PlanCounts
from models.standing import waiting
from rules.markup import plain
from rules.reasons import Reason
from rules.run_page import by_portal, in_portal, run_page, run_table, series_key, under_heads
from rules.run_summary import RunSummary
from tasks.health import emit_completed, emit_events
from tasks.run_log import Part, summary_of_parts
from tasks.runtime.run import Run
from tasks.token_end import tokens_that_end_soon

NEEDS_A_PERSON = "Needs a person"
_TAGS_AT_MOST = 50


async def name_run(name: str) -> None:
    """Give the running flow run a name that says what it works on."""
    async with get_client() as client:
        await client.update_flow_run(flow_run.id, name=name)


async def tag_run(names: Iterable[str]) -> None:
    """Add tags to the running flow run, so that it is found by what it worked on."""
    own = list(flow_run.tags)
    new = [name for name in sorted(set(names)) if name not in own][:_TAGS_AT_MOST]
    if new:
        async with get_client() as client:
            await client.update_flow_run(flow_run.id, tags=[*own, *new])


def say(sentence: str) -> State[None]:
    """Return a completed state with this message."""
    return Completed(message=sentence)


def final_state(done: RunSummary) -> State[None]:
    """Return a state whose message says what happened, and whose name shows if an operator has to act.

    Failed only where the work could not be done: Credly was not reachable. Refused badges do not fail a run.
    """
    sentence = done.sentence
    if done.stopped:
        sentence = f"{sentence}. Stopped: {done.stopped[0].sentence}"
    if Reason.NOT_REACHABLE in done.stopped:
        return Failed(message=sentence)
    return Completed(name=NEEDS_A_PERSON if done.needs_action else "Completed", message=sentence)


async def finish_run(
    run: Run, plan: PlanCounts, parts: Sequence[Part], *, portal: str = "", limit: int = 0
) -> State[None]:
    """Write the run's pages, emit events of what is wrong or well again, and return the run's final state.

    Failed if an organization's part could not do its work. A run of one portal or with a limit does not describe the
    whole: it leaves no finding for later runs to compare with.
    """
    portals = [portal] if portal else None
    total, organizations, stopped = await summary_of_parts(run, parts, portals)
    failures = [state for _, state in parts if not state.is_completed()]
    ending = await tokens_that_end_soon(run, portals)
    sentence = f"{total.sentence}. {ending}" if ending else total.sentence
    pending, moment = await run.database.read(waiting, portal_ids=portals), run.now()
    page = run_page(
        total, planned=_planned(plan), organizations=organizations, pending=pending, warning=ending, now=moment
    )
    await _write_pages(run, page, total, sentence=sentence)
    await emit_events(run, total, stopped, pending, whole=not portal and not limit)
    if failures:
        return Failed(message=f"{sentence}. {len(failures)} of {len(parts)} organizations had trouble, see their runs.")
    emit_completed(sentence)
    return Completed(name=NEEDS_A_PERSON if total.needs_action or ending else "Completed", message=sentence)


async def _write_pages(run: Run, page: str, total: RunSummary, *, sentence: str) -> None:
    described = plain(sentence, longest=2000)  # Prefect's pages read it as Markdown
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
        f"Planning entered {plan.entered} new issuances, took up {plan.taken_up_again} again, "
        f"cancelled {plan.cancelled} and unblocked {plan.unblocked}."
    )
