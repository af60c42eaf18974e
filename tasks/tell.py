"""Telling people what a run did: the final state's words, and a page in the run's artifacts. Ids only."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from prefect import State
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from models.claiming import DueOrganization
from models.planning import PlanCounts
from models.standing import standing
from rules.markup import plain
from rules.reasons import Reason
from rules.tally import Counts, Tally
from tasks.resources import database
from tasks.token_end import tokens_that_end_soon

NEEDS_A_PERSON = "Needs a person"


async def name_run(name: str) -> None:
    """Give the running flow run a name that says what it works on."""
    async with get_client() as client:
        await client.update_flow_run(flow_run.id, name=name)


def say(sentence: str) -> State[None]:
    """Return a completed state with this message."""
    return Completed(message=sentence)


def final_state(tally: Tally, *, stopped: Reason | None = None) -> State[Tally]:
    """Return a state whose message says what happened, and whose name shows if a person is needed.

    Failed only where the work could not be done: Credly was not reachable. Refused badges do not fail a run.
    """
    sentence = tally.sentence
    if stopped is not None:
        sentence = f"{sentence}. Stopped: {stopped.sentence}"
    if stopped is Reason.NOT_REACHABLE:
        return Failed(message=sentence, data=tally)
    name = NEEDS_A_PERSON if tally.needs_a_person else "Completed"
    return Completed(name=name, message=sentence, data=tally)


async def what_is_open(portals: Sequence[str] | None = None) -> Tally:
    """Count what stands open in the ledger, of these portals or of all."""
    async with database().reading() as connection:
        found = await standing(connection, portal_ids=portals)
    counts: Counts = Counter()
    for each in found:
        counts[each.state, each.reason] += each.count
    return Tally(open=counts)


async def tell_run(
    plan: PlanCounts, organizations: Sequence[DueOrganization], parts: Sequence[State[Any]], *, portal: str = ""
) -> State[None]:
    """Write the run's page and return its final state: failed if an organization's part could not do its work."""
    tallies = {each.organization_id: await _tally(part) for each, part in zip(organizations, parts, strict=False)}
    done = sum(tallies.values(), start=Tally())
    total = Tally(done=done.done, adopted=done.adopted) + await what_is_open([portal] if portal else None)
    failures = [part for part in parts if not part.is_completed()]
    ending = await tokens_that_end_soon([portal] if portal else None)
    sentence = f"{total.sentence}. {ending}" if ending else total.sentence
    page = _page(plan, tallies, total, warning=ending)
    await acreate_markdown_artifact(key="reconcile", markdown=page, description=plain(sentence, longest=2000))
    if failures:
        return Failed(message=f"{sentence}. {len(failures)} of {len(parts)} organizations had trouble, see their runs.")
    return Completed(name=NEEDS_A_PERSON if total.needs_a_person or ending else "Completed", message=sentence)


async def _tally(part: State[Any]) -> Tally:
    result = await part.aresult(raise_on_failure=False)
    return result if isinstance(result, Tally) else Tally()


def _page(plan: PlanCounts, tallies: Mapping[str, Tally], total: Tally, *, warning: str) -> str:
    lines = [
        "# What this run did",
        "",
        f"**{total.sentence}**",
        "",
        *([f"**{warning}**: afterwards nothing is issued. docs/how-to.md says how.", ""] if warning else []),
        f"Planning entered {plan.entered} new issuances, took up {plan.taken_up_again} again, "
        f"cancelled {plan.cancelled} and unblocked {plan.unblocked}.",
        "",
    ]
    if total.open:
        lines += ["## Not issued, and why", "", *_reasons(total), ""]
    if tallies:
        lines += ["## By organization", "", *_organizations(tallies), ""]
    return "\n".join(lines)


def _reasons(total: Tally) -> list[str]:
    rows = [
        [str(count), state, f"`{reason}`", reason.sentence, reason.advice]
        if reason
        else [str(count), state, "", state.sentence, ""]
        for (state, reason), count in total.open.most_common()
    ]
    head = ["badges", "state", "reason", "what it means", "what to do"]
    return [_row(head), _row(["--:", "---", "---", "---", "---"]), *(_row(row) for row in rows)]


def _organizations(tallies: Mapping[str, Tally]) -> list[str]:
    rows = [[f"`{organization_id}`", tally.sentence] for organization_id, tally in tallies.items()]
    return [_row(["organization", "what happened"]), _row(["---", "---"]), *(_row(row) for row in rows)]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
