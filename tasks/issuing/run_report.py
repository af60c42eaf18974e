"""The entry of a run in the run log, its summary from the ledger, its final state and its pages: ids and no names."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from prefect import State
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from models.ledger.claiming import DueOrganization
from models.operations import run_log, run_summary
from models.operations.cursors import without_events
from models.operations.open_counts import OpenCount, open_counts, pending_counts
from models.planning.writing import PlanCounts
from models.setup.templates import not_active
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from rules.markdown import plain
from rules.monitoring.alerts import health_words
from rules.monitoring.run_page import (
    HELD_NAMES_ADVICE,
    by_portal,
    held_names_words,
    in_portal,
    run_page,
    run_table,
    series_key,
    stopped_words,
    under_heads,
    unusable_words,
)
from rules.monitoring.run_summary import Counts, RunSummary
from rules.spans import change
from rules.wording import counted
from tasks.issuing.dispatch import Part
from tasks.operations.alerts import emit_completed, emit_events, emit_names_held, find_alerts
from tasks.operations.token_expiry import expiry_warning
from tasks.runtime.form_links import form_address
from tasks.runtime.run import NEEDS_ATTENTION, Run, name_run

if TYPE_CHECKING:
    from tasks.runtime.organization import Organization

_TAGS_AT_MOST = 50
_SERIES_AT_MOST = 50  # portals with an artifact of their own; each costs a request
_ROWS_AT_MOST = 1000


@dataclass
class RunEntry:
    organization: "Organization | None" = None
    stopped: Reason | None = None


async def starter_of_this_run() -> str:
    """Return the id of the flow run that started this one, or this one's own."""
    # In a thread, because this attribute is a blocking request to Prefect's server.
    return str(await asyncio.to_thread(lambda: flow_run.parent_flow_run_id) or flow_run.id)


@asynccontextmanager
async def run_entry(run: Run, due: DueOrganization, *, started_by: str) -> AsyncIterator[RunEntry]:
    """Log that this flow run works for the organization, and at its end why it was stopped."""
    row_id = await run.database.write(
        run_log.begin_organization,
        flow_run_id=flow_run.id,
        started_by=started_by,
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
    run: Run,
    plan: PlanCounts,
    parts: Sequence[Part],
    *,
    portal: str,
    whole: bool,
    unread: str,
    waiting: Sequence[DueOrganization],
) -> State[None]:
    """Write the pages of the run, emit its events, and return its final state.

    It is failed if the part of an organization failed, or if the platform could not be read; `unread` is why. Only a
    whole run, of everything, is compared with earlier ones. `waiting` are organizations left to the next whole run.
    """
    portals = [portal] if portal else None
    total, organizations, stopped = await summary_of_parts(run, parts, portals)
    failures = [state for _, state in parts if not state.is_completed()]
    expiring = await expiry_warning(run, portals)
    pending, moment = await run.database.read(pending_counts, portal_ids=portals), run.now()
    held = held_names_words(plan.held_names)
    if held:
        emit_names_held(held, badges=plan.held_names)
        held = f"HELD: {held}. {HELD_NAMES_ADVICE}"
    sentence = ". ".join(
        filter(None, (total.sentence, stopped_words(pending), held, unusable_words(plan.unusable), expiring))
    )
    issue_form = await form_address(run, "issue-badge") if total.named else ""
    alerts = await find_alerts(run, total, stopped, pending, whole=whole)
    notes = await _notes(run, portals)
    page = run_page(
        total,
        planned=_planned(plan),
        unusable=plan.unusable,
        organizations=organizations,
        pending=pending,
        warning=expiring,
        issue_form=issue_form,
        notes=[*(f"Alert: {each.sentence}" for each in alerts.raised), *filter(None, [held]), *notes],
        now=moment,
    )
    # Not after the moment of the alerts: the next whole run counts what runs have done since then.
    await _write_pages(run, page, total, sentence=sentence, now=moment)
    trouble = unread or (
        f"{len(failures)} of {len(parts)} {_parts_words(parts)} had trouble, see their runs." if failures else ""
    )
    message = ". ".join(filter(None, (sentence, trouble)))
    needs_attention = bool(total.needs_action or expiring or plan.held_names)
    health = health_words(
        alerts.raised, to_do=message if trouble or needs_attention else "", left=_left(plan, total), notes=notes
    )
    await emit_events(run, alerts, total, health=health, issue_form=issue_form)
    await name_run(f"reconcile · {total.title}")
    if trouble:
        return Failed(message=message)
    if not waiting:  # it would end the silence, and the failure, of an organization that is stopped
        emit_completed(sentence)
    return Completed(name=NEEDS_ATTENTION if needs_attention else "Completed", message=sentence)


def _parts_words(parts: Sequence[Part]) -> str:
    return "groups of organizations" if any(len(group) > 1 for group, _ in parts) else "organizations"


def _left(plan: PlanCounts, total: RunSummary) -> list[str]:
    failed = sum(count for (state, _), count in total.open.items() if state is IssuanceState.FAILED)
    earlier = f"{counted(failed, 'failed badge')} of earlier runs left" if failed else ""
    return [*filter(None, [earlier, unusable_words(plan.unusable)])]


async def _write_pages(run: Run, page: str, total: RunSummary, *, sentence: str, now: datetime) -> None:
    # Prefect renders descriptions as Markdown.
    described = plain(sentence, longest=2000)
    await acreate_markdown_artifact(key="reconcile", markdown=page, description=described)
    if total.results:
        await acreate_table_artifact(
            key="reconcile-table", table=run_table(total)[:_ROWS_AT_MOST], description=described
        )
    counts = by_portal(total)
    series = await run.database.write(run_log.keep_portals, counts, flow_run_id=flow_run.id, now=now)
    if counts:
        weeks = await run.database.read(run_log.weeks, now=now)
        rows = [each | {"change": change(each["issued"], each["issued_before"])} for each in weeks]
        described = "What was issued and failed in the last seven days, and in the seven before, by portal."
        await acreate_table_artifact(key="portals", table=rows, description=described)
    most = sorted(series, key=lambda each: -counts[each].total())[:_SERIES_AT_MOST]
    for portal_id, latest in ((each, series[each]) for each in most):
        rows = [{"at": at.isoformat(timespec="seconds"), **under_heads(by_state)} for at, by_state in latest]
        words = plain(in_portal(portal_id, counts[portal_id]))
        await acreate_table_artifact(key=series_key("issued", portal_id), table=rows, description=words)


async def _notes(run: Run, portals: Sequence[str] | None) -> list[str]:
    templates = await run.database.read(not_active, portal_ids=portals)
    no_events = await run.database.read(without_events, now=run.now(), portal_ids=portals)
    notes = [
        f"The badge template {template_id} of achievement {achievement_id} is {state} at Credly: no badge of it can be "
        "issued until it is active, or enable-credly chooses another one."
        for achievement_id, template_id, state in templates
    ]
    return notes + [
        f"Changes of badges are noticed by the nightly audit only, since Credly's events of organization "
        f"{organization_id} cannot be used: {why}."
        for organization_id, why in no_events.items()
    ]


def _planned(plan: PlanCounts) -> str:
    renamed = f" Of those revived, {plan.renamed} replace a badge whose earner's name was corrected."
    return (
        f"Planning entered {plan.entered} new issuances, revived {plan.revived}, "
        f"cancelled {plan.cancelled} and unblocked {plan.unblocked}.{renamed if plan.renamed else ''}"
    )


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
    worked_on: dict[str, set[str]] = {}
    for due, state in ((each, state) for group, state in parts for each in group):
        runs_of.setdefault(due.organization_id, set()).update(_run_of(state))
        portals_of.setdefault(due.organization_id, set()).update(due.portal_ids)
        worked_on.setdefault(due.organization_id, set()).update(due.all_portals)
    # From the run log and from Prefect's states, since workers of an earlier version write no run log.
    logged = await run.database.read(run_log.started_by, flow_run.id)
    ids = sorted(logged.union(*runs_of.values()))
    done = await run.database.read(run_summary.summary, ids)
    stopped = await run.database.read(run_log.stops, ids)
    opened = await run.database.read(open_counts, portal_ids=portals)
    organizations = {
        each: done.of_runs(flow_run_ids, open_now=_counts(opened, portals_of[each]), portal_ids=worked_on[each])
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
