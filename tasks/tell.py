"""Telling people what a run did: the final state's words, and a page in the run's artifacts. Ids only."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from prefect import State
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from models.ledger.claiming import DueOrganization
from models.planning.writing import PlanCounts
from models.standing import standing, waiting
from rules.markup import plain
from rules.reasons import Reason
from rules.run_page import by_portal, in_portal, run_page, run_table, series_key
from rules.tally import Counts, Tally
from tasks.health import tell_completed, tell_events
from tasks.runtime.run import Run
from tasks.series import extend_series, rows_of_series
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


def final_state(tally: Tally) -> State[Tally]:
    """Return a state whose message says what happened, and whose name shows if a person is needed.

    Failed only where the work could not be done: Credly was not reachable. Refused badges do not fail a run.
    """
    sentence = tally.sentence
    if tally.stopped is not None:
        sentence = f"{sentence}. Stopped: {tally.stopped.sentence}"
    if tally.stopped is Reason.NOT_REACHABLE:
        return Failed(message=sentence, data=tally)
    name = NEEDS_A_PERSON if tally.needs_a_person else "Completed"
    return Completed(name=name, message=sentence, data=tally)


async def what_is_open(run: Run, portals: Sequence[str] | None = None) -> Tally:
    """Count what stands open in the ledger, of these portals or of all."""
    found = await run.database.read(standing, portal_ids=portals)
    counts: Counts = Counter()
    for each in found:
        counts[each.state, each.reason] += each.count
    return Tally(open=counts)


async def tell_run(
    run: Run,
    plan: PlanCounts,
    organizations: Sequence[DueOrganization],
    parts: Sequence[State[Any]],
    *,
    portal: str = "",
    limit: int = 0,
) -> State[None]:
    """Write the run's pages, tell what is wrong or well again, and return the run's final state.

    Failed if an organization's part could not do its work. A run of one portal or with a limit says nothing about the
    whole: it leaves no finding for later runs to compare with.
    """
    tallies = {each.organization_id: await _tally(part) for each, part in zip(organizations, parts, strict=False)}
    done = sum(tallies.values(), start=Tally())
    total = replace(done, open=(await what_is_open(run, [portal] if portal else None)).open)
    failures = [part for part in parts if not part.is_completed()]
    ending = await tokens_that_end_soon(run, [portal] if portal else None)
    sentence = f"{total.sentence}. {ending}" if ending else total.sentence
    pending, moment = await run.database.read(waiting, portal_ids=[portal] if portal else None), run.now()
    page = run_page(total, planned=_planned(plan), organizations=tallies, pending=pending, warning=ending, now=moment)
    await _write_pages(run, page, total, sentence=sentence)
    await tell_events(run, total, tallies, pending, whole=not portal and not limit)
    if failures:
        return Failed(message=f"{sentence}. {len(failures)} of {len(parts)} organizations had trouble, see their runs.")
    tell_completed(sentence)
    return Completed(name=NEEDS_A_PERSON if total.needs_a_person or ending else "Completed", message=sentence)


async def _tally(part: State[Any]) -> Tally:
    result = await part.aresult(raise_on_failure=False)
    return result if isinstance(result, Tally) else Tally()


async def _write_pages(run: Run, page: str, total: Tally, *, sentence: str) -> None:
    told = plain(sentence, longest=2000)  # Prefect's pages read it as Markdown
    await acreate_markdown_artifact(key="reconcile", markdown=page, description=told)
    if total.details.cells:
        await acreate_table_artifact(key="reconcile-table", table=run_table(total.details), description=told)
    for portal_id, sums in by_portal(total.details).items():
        key = series_key("issued", portal_id)
        row = {"at": run.now().isoformat(timespec="seconds"), **sums}
        words = in_portal(portal_id, sums)
        await extend_series(key, row, await rows_of_series(key), description=plain(words))


def _planned(plan: PlanCounts) -> str:
    return (
        f"Planning entered {plan.entered} new issuances, took up {plan.taken_up_again} again, "
        f"cancelled {plan.cancelled} and unblocked {plan.unblocked}."
    )
