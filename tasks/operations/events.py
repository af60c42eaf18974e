"""Credly's events: hints at badges and templates to look at. What was hinted at is read, so no event can do harm."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from prefect import get_run_logger

from credly.errors import CredlyError, NotConnected, NotFound, NotSent, Refused, Unclear
from credly.wire import BadgeTemplate, Event
from models.ledger import claiming
from models.ledger.claiming import DueOrganization
from models.operations import audit
from models.operations.cursors import OrganizationCursor, cursor_of, put_cursor
from models.setup.templates import DELETED, put_template, read_moments
from rules.forms.inputs import InvalidInput
from rules.markdown import code, plain, table
from rules.wording import FormResult, counted, nothing_to_do
from tasks.forms.run_form import known_portal, no_connection, open_for_form
from tasks.menus.refresh import template_record
from tasks.operations.audit import GONE, WITHOUT_EVENTS, has_ended, read_states
from tasks.operations.token_renewal import renew_token
from tasks.runtime.organization import Organization
from tasks.runtime.run import Run

# Events that were delayed for so long, and clocks that differ.
_OVERLAP = timedelta(minutes=10)
_SKEW = timedelta(minutes=1)
_FIRST_TIME = timedelta(days=1)
# No further page is begun after so many requests; one page can take 100 more. With three calls a second, 2 700 badges
# are issued between two runs: each is an event, and they are 54 pages.
_MAX_REQUESTS = 150
# A page ends with so many events from before where all that follow are older: a late one may stand among new ones.
_LAST_ROWS = 5
_MAX_SHOWN = 50
_BADGE_EVENTS = {"badge.state.changed", "badge.deleted"}
_OLDEST_FIRST = "they are listed with the oldest first"


@dataclass
class Followed:
    organization_id: str
    events: int = 0
    states: dict[str, str] = field(default_factory=dict)
    templates: dict[str, str] = field(default_factory=dict)
    ended: list[int] = field(default_factory=list)
    no_events: str = ""
    more: bool = False
    token: str = ""
    fault: str = ""


async def follow_all(run: Run, portal: str) -> FormResult:
    """Read the events of each organization, and save the present states of what they name.

    Raises:
        InvalidInput: there is no such portal.
    """
    if portal:
        await known_portal(run, portal)
    organizations = await run.database.read(claiming.connected_organizations, portal_id=portal)
    if not organizations:
        return nothing_to_do(no_connection(portal))
    slots = asyncio.Semaphore(run.settings.organizations_at_once)
    return _result(await asyncio.gather(*(_follow(run, due, slots) for due in organizations)))


async def _follow(run: Run, due: DueOrganization, slots: asyncio.Semaphore) -> Followed:
    followed = Followed(due.organization_id)
    try:
        async with slots, open_for_form(run, due) as organization:
            followed.token = await renew_token(run, organization)
            await _follow_with_retries(run, organization, followed)
    except InvalidInput as fault:
        # What its earlier pages have shown stays in the result: it is reported only once.
        followed.fault = f"Organization {due.organization_id}: {fault}"
    return followed


async def _follow_with_retries(run: Run, organization: Organization, result: Followed) -> None:
    # A run each quarter of an hour would else fail, with an alert, for each connection that is dropped.
    for delay in run.settings.retry_delays:
        try:
            return await _follow_events(run, organization, result)
        except (NotSent, Unclear):
            await asyncio.sleep(delay)
    return await _follow_events(run, organization, result)


async def _follow_events(run: Run, organization: Organization, result: Followed) -> None:
    """Read the events since the last time, page by page, and look at what each page names before the next."""
    due = organization.due
    cursor = await run.database.read(cursor_of, base_url=due.base_url, organization_id=due.organization_id)
    since = (cursor.events_until or run.now() - _FIRST_TIME) - _OVERLAP
    while True:
        try:
            events, is_last = await organization.client.events(cursor.events_page)
        except (NotConnected, NotFound, Refused) as error:
            if not error.in_credly_form or await organization.confirm() is not None:
                raise
            cursor.events_fault = f"status {error.status}"
            # Not a further page again, which may be past the end of the list: the next run begins with the first one.
            cursor.events_from, cursor.events_page = None, 1
            await run.database.write(put_cursor, cursor, "events_fault", "events_from", "events_page")
            break
        if _is_oldest_first(events):
            cursor.events_fault = _OLDEST_FIRST
            await run.database.write(put_cursor, cursor, "events_fault")
            break
        is_new = [each.occurred_at is None or each.occurred_at > since for each in events]
        result.events += sum(is_new)
        # Also those from before: one may have come late.
        await _look(run, organization, events, result)
        # A page at a time, so that a run that is ended half-way goes on from there. New events move the others to later
        # pages: some are read twice, none is passed over.
        result.more = not is_last and any(is_new[-_LAST_ROWS:])
        _advance(cursor, events, finished=not result.more, now=run.now())
        names = ("events_until", "events_from", "events_page", "events_fault", "polled_at")
        await run.database.write(put_cursor, cursor, *names)
        requests = sum(each.requests for each in organization.client.log.records)
        if not result.more or requests >= _MAX_REQUESTS:
            break
    result.no_events = cursor.why_no_events(now=run.now())


def _is_oldest_first(events: Sequence[Event]) -> bool:
    moments = [each.occurred_at for each in events if each.occurred_at]
    return bool(moments) and moments[0] < moments[-1] - _OVERLAP


def _advance(cursor: OrganizationCursor, events: Sequence[Event], *, finished: bool, now: datetime) -> None:
    # Not past the present: an event of a wrong clock would hide all that follow.
    moments = [min(each.occurred_at, now) for each in events if each.occurred_at]
    cursor.events_from = cursor.events_from or max(moments, default=None)
    cursor.events_page += 1
    cursor.polled_at, cursor.events_fault = now, ""
    if finished:
        cursor.events_until = max(filter(None, (cursor.events_until, cursor.events_from)), default=None)
        cursor.events_from, cursor.events_page = None, 1


async def _look(run: Run, organization: Organization, events: Sequence[Event], result: Followed) -> None:
    badges: dict[str, Event] = {}
    templates: dict[str, Event] = {}
    for each in sorted(events, key=lambda event: event.occurred_at or run.now()):
        if each.badge and each.event_type in _BADGE_EVENTS:
            badges[each.badge.id] = each
        elif each.badge_template and (each.event_type or "").startswith("badge_template."):
            templates[each.badge_template.id] = each
    await _look_at_badges(run, organization, badges, result)
    key = {"base_url": organization.due.base_url, "organization_id": organization.due.organization_id}
    read = await run.database.read(read_moments, list(templates), **key)
    for template_id, event in templates.items():
        if not _was_read_since(read.get(template_id), event):
            state = await _look_at_template(run, organization, template_id)
            if state is not None:
                result.templates[template_id] = state


async def _look_at_badges(run: Run, organization: Organization, hints: dict[str, Event], result: Followed) -> None:
    known = await run.database.read(audit.known, list(hints), organization=organization.due.id)
    # What was read after the event shows it already, however often the event comes.
    new = [each for key, each in known.items() if not _was_read_since(each.audited_at, hints[key])]
    expected = {key: GONE if each.event_type == "badge.deleted" else _state_in(each) for key, each in hints.items()}
    moment = run.now()
    states = await read_states(organization, new, expected)
    await run.database.write(audit.note_states, states, now=moment)
    for key, state in states.items():
        if state != known[key].credly_state:
            result.states[key] = state
        if has_ended(known[key], state):
            result.ended.append(known[key].issuance_id)


def _was_read_since(read_at: datetime | None, event: Event) -> bool:
    return read_at is not None and (event.occurred_at is None or read_at > event.occurred_at + _SKEW)


def _state_in(event: Event) -> str:
    return (event.badge.state if event.badge else None) or ""


async def _look_at_template(run: Run, organization: Organization, template_id: str) -> str | None:
    """Save the template as it is now, and return its state; None without a usable answer about it."""
    due = organization.due
    try:
        template = await organization.client.template(template_id)
    except CredlyError as error:
        if isinstance(error, NotFound) and error.in_credly_form:
            template = BadgeTemplate(id=template_id, state=DELETED)
        elif await organization.ended_by(error):
            raise
        else:
            get_run_logger().warning("Template %s could not be read: %s", template_id, error)
            return None
    await run.database.write(put_template, template_record(due, template, now=run.now()))
    return template.state or ""


def _result(found: Sequence[Followed]) -> FormResult:
    events, badges = sum(each.events for each in found), sum(len(each.states) for each in found)
    sentence = f"{counted(events, 'event')} read; {counted(badges, 'badge')} changed"
    ended = sum(len(each.ended) for each in found)
    sentence += f", {ended} of them revoked, rejected or deleted" if ended else ""
    sentence = ". ".join([sentence, *(each.token for each in found if each.token)])
    lines = [f"# Events\n\n{sentence}."]
    for each in found:
        lines.append(f"## Organization {code(each.organization_id)}\n\n{counted(each.events, 'event')} read.")
        if each.fault:
            lines.append(f"**Ended early.** {plain(each.fault, longest=1000)}")
        if each.token:
            lines.append(plain(each.token, longest=500))
        if each.no_events:
            lines.append(plain(f"{WITHOUT_EVENTS}: {each.no_events}."))
        if each.ended:
            named = ", ".join(code(str(key)) for key in each.ended[:_MAX_SHOWN])
            more = f" and {len(each.ended) - _MAX_SHOWN} more" if len(each.ended) > _MAX_SHOWN else ""
            lines.append(f"**Revoked, rejected or deleted at Credly (issuances):** {named}{more}")
        if each.more:
            lines.append("There are more, which the next run reads.")
        rows = [(code(key), plain(state)) for key, state in [*each.states.items(), *each.templates.items()]][
            :_MAX_SHOWN
        ]
        if rows:
            lines.append(table(("badge or template", "state at Credly"), rows))
    faults = [each.fault for each in found if each.fault]
    sentence = " ".join([*faults, sentence])
    return FormResult(sentence=sentence, page="\n\n".join(lines), failed=bool(faults), needs_attention=bool(ended))
