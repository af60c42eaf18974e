"""Audit: compare the ledger with Credly's state of each badge. Nothing is changed at Credly."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from math import ceil

from prefect import get_run_logger

from credly.errors import CredlyError, NotConnected, NotFound, Refused, Unclear, UnsafeFilterValue
from credly.wire import Badge
from models.ledger import claiming
from models.ledger.claiming import DueOrganization
from models.operations import audit
from models.operations.audit import KnownBadge
from models.operations.cursors import cursor_of, put_cursor
from models.operations.erasure import erased_badges
from models.planning.withdrawn import withdrawn_among
from rules.forms.inputs import InvalidInput
from rules.ledger.outcome import LIVE_STATES
from rules.markdown import code, plain, table
from rules.wording import FormResult, counted, nothing_to_do
from tasks.forms.run_form import known_portal, no_connection, open_for_form
from tasks.operations.alerts import emit_unclaimed
from tasks.runtime.organization import Organization, current_organization
from tasks.runtime.recorded_client import RecordedClient
from tasks.runtime.run import Run, current_run, laurel_task

_PAGE_ROWS = 50
_MAX_SHOWN = 50
# Badges that Credly's list omits are read one by one, each by a call.
_MAX_SINGLE_READS = 500
# An organization with more badges is read in parts, a part each night, where its events are read as well. A million
# badges are 625 pages a night, and 75 calls are left for new badges.
_READ_AS_A_WHOLE = 5_000
_ROUND_NIGHTS = 32
_MAX_NEW_BADGES = 2_000
# How many earners one list is asked for: with one badge each they fit on its page, and in its address.
_EARNERS_AT_ONCE = 40
_LONGEST_EARNERS = 2_000
# By then a badge must be in Credly's lists.
LISTED_AFTER = timedelta(hours=1)
GONE = "deleted"
WITHOUT_EVENTS = "Every badge is read each night, because changes are not read from Credly's events"


@dataclass
class Audited:
    due: DueOrganization
    badges: int = 0
    part: str = ""
    no_events: str = ""
    unknown: list[str] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    without_award: list[int] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    fault: str = ""


async def audit_all(run: Run, portal: str, *, full: bool = False) -> FormResult:
    """Audit each organization, and report the differences.

    Raises:
        InvalidInput: there is no such portal.
    """
    if portal:
        await known_portal(run, portal)
    organizations = await run.database.read(claiming.connected_organizations, portal_id=portal)
    if not organizations:
        return nothing_to_do(no_connection(portal))
    found = [Audited(due) for due in organizations]
    for each in found:
        try:
            async with open_for_form(run, each.due):
                await audit_organization(each, full=full)
        except InvalidInput as fault:
            each.fault = f"Organization {each.due.organization_id}: {fault}"
        else:
            await _emit_unclaimed(run, each.due.portal_ids)
        each.counts = await run.database.read(audit.counts, portal_ids=each.due.portal_ids)
    return _result(found)


async def _emit_unclaimed(run: Run, portal_ids: Sequence[str]) -> None:
    if days := run.settings.unclaimed_days:
        # Whole days, as the export counts them.
        until = datetime.combine(run.now().date() - timedelta(days=days - 1), time(), UTC)
        counts = await run.database.read(audit.unclaimed, portal_ids=portal_ids, before=until)
        for portal_id, badges in sorted(counts.items()):
            emit_unclaimed(portal_id, badges=badges, until_day=(until - timedelta(days=1)).date())


@laurel_task(name="audit organization")
async def audit_organization(result: Audited, *, full: bool = False) -> None:
    """Read the badges of the opened organization, or tonight's part of them, and save their states in the ledger.

    What was found is in the result, also if an error ends it.
    """
    run, current, due = current_run.get(), current_organization.get(), result.due
    began = run.now()
    cursor = await run.database.read(cursor_of, base_url=due.base_url, organization_id=due.organization_id)
    result.no_events = cursor.why_no_events(now=began)
    issued = await run.database.read(audit.issued_count, portal_ids=due.portal_ids)
    if full or result.no_events or issued <= _READ_AS_A_WHOLE or not await _read_part(run, current, result, issued):
        result.part, result.badges, result.unknown = "", 0, []
        async for badges in _pages(current):
            result.badges += len(badges)
            await _record_states(run, result, _states_of(badges), moment=began)
        await _read_unlisted(run, current, result, since=began, began=began)
    withdrawn = await withdrawn_among(run.database, audit.ISSUED_AND_VALID, portal_ids=due.portal_ids, now=run.now())
    result.without_award = withdrawn.ids[: _MAX_SHOWN + 1]


async def _read_part(run: Run, current: Organization, result: Audited, issued: int) -> bool:
    """Read the next part of the round, and what was issued since the last one. False if Credly refused the page."""
    due, began, rows = result.due, run.now(), max(_READ_AS_A_WHOLE, ceil(issued / _ROUND_NIGHTS))
    cursor = await run.database.read(cursor_of, base_url=due.base_url, organization_id=due.organization_id)
    cursor.round_began_at = cursor.round_began_at or began
    is_last = False
    while result.badges < rows and not is_last:
        moment = run.now()
        try:
            badges, is_last = await current.client.badge_page(cursor.round_page)
        except (NotConnected, NotFound, Refused) as error:
            if not error.in_credly_form or await current.confirm() is not None:
                raise
            # Some services end long lists early.
            cursor.round_page, cursor.round_began_at = 1, None
            await run.database.write(put_cursor, cursor, "round_page", "round_began_at")
            return False
        result.badges += len(badges)
        await _record_states(run, result, _states_of(badges), moment=moment)
        cursor.round_page += 1
        await run.database.write(put_cursor, cursor, "round_page", "round_began_at")
    result.part = f"up to page {cursor.round_page - 1} of the round that began on {cursor.round_began_at:%Y-%m-%d}"
    if not is_last:
        await _read_unlisted(run, current, result, since=None, began=began)
        return True
    result.part = f"the end of the round that began on {cursor.round_began_at:%Y-%m-%d}"
    await _read_unlisted(run, current, result, since=cursor.round_began_at, began=began)
    cursor.round_began_at, cursor.round_page = None, 1
    await run.database.write(put_cursor, cursor, "round_page", "round_began_at")
    return True


def _states_of(badges: Sequence[Badge]) -> dict[str, str]:
    # Without the rows that do not say it: those badges are read by their ids.
    return {badge.id: badge.state for badge in badges if badge.state}


async def _pages(current: Organization) -> AsyncIterator[Sequence[Badge]]:
    page: list[Badge] = []
    async for badge in _badges(current):
        page.append(badge)
        if len(page) == _PAGE_ROWS:
            yield page
            page = []
    yield page


async def _badges(current: Organization) -> AsyncIterator[Badge]:
    # The bulk list is faster, but some contracts and tokens exclude it.
    none_yet = True
    try:
        async for badge in current.client.high_volume_badges():
            none_yet = False
            yield badge
    except (NotConnected, NotFound):
        if not none_yet or await current.confirm() is not None:
            raise
        async for badge in current.client.badges():
            yield badge


async def _record_states(run: Run, result: Audited, states: dict[str, str], *, moment: datetime) -> None:
    known = await run.database.read(audit.known, list(states))
    await run.database.write(audit.note_states, {key: states[key] for key in known}, now=moment)
    if unknown := [key for key in states if key not in known]:
        erased = await run.database.read(erased_badges, unknown)
        result.unknown += [key for key in unknown if key not in erased]
    result.ended += [each.issuance_id for key, each in known.items() if has_ended(each, states[key])]


def has_ended(known: KnownBadge, state: str) -> bool:
    return state not in LIVE_STATES and state != known.credly_state


async def _read_unlisted(
    run: Run, current: Organization, result: Audited, *, since: datetime | None, began: datetime
) -> None:
    """Read the badges that no list had since then, one by one; without `since`, by lists those never read."""
    unseen = await run.database.read(
        audit.not_seen,
        portal_ids=result.due.portal_ids,
        since=since,
        recorded_before=began - LISTED_AFTER,
        limit=_MAX_SINGLE_READS if since else _MAX_NEW_BADGES,
        organization=result.due.id,
    )
    moment = run.now()
    states: dict[str, str] = {}
    try:
        if since is None:
            states = await _listed(current, unseen)
        else:
            await _read_each(current, [each.credly_badge_id for each in unseen], states)
    finally:
        await _record_states(run, result, states, moment=moment if since is None else began)


async def read_states(
    current: Organization, badges: Sequence[KnownBadge], expected: Mapping[str, str]
) -> dict[str, str]:
    """Return the present states of badges at Credly, by badge id.

    A list that shows the state that is expected is believed. Lists may lag: any other badge is read by its id. One that
    Credly gives no usable answer for is left out.
    """
    states = await _listed(current, badges) if len(badges) > 1 else {}
    keys = [each.credly_badge_id for each in badges]
    states = {key: state for key, state in states.items() if state == expected.get(key)}
    await _read_each(current, [key for key in keys if key not in states], states)
    return states


async def _read_each(current: Organization, badge_ids: Sequence[str], states: dict[str, str]) -> None:
    """Read badges by their ids, and add their states. One that Credly gives no usable answer for is left out.

    Raises:
        CredlyError: no further badge can be read.
    """
    for key in badge_ids:
        try:
            states[key] = await state_of(current.client, key)
        except CredlyError as error:
            if await current.ended_by(error):
                raise
            get_run_logger().warning("Badge %s could not be read: %s", key, error)


async def _listed(current: Organization, badges: Sequence[KnownBadge]) -> dict[str, str]:
    """Return the states of those badges that Credly lists for their earners, forty to a call."""
    wanted: set[str] = {each.credly_badge_id for each in badges}
    states: dict[str, str] = {}
    for group in _groups(badges):
        earners, templates = {each.user_id for each in group}, {each.badge_template_id for each in group}
        try:
            found = await current.client.badges_of(sorted(earners), sorted(templates))
        except (UnsafeFilterValue, CredlyError) as error:
            if isinstance(error, CredlyError) and await current.ended_by(error):
                raise
            continue
        states |= {badge.id: badge.state for badge in found if badge.id in wanted and badge.state}
    return states


def _groups(badges: Sequence[KnownBadge]) -> Iterator[list[KnownBadge]]:
    group: list[KnownBadge] = []
    for each in badges:
        length = sum(len(other.user_id) for other in group)
        if group and (len(group) == _EARNERS_AT_ONCE or length + len(each.user_id) > _LONGEST_EARNERS):
            yield group
            group = []
        group.append(each)
    if group:
        yield group


async def state_of(client: RecordedClient, badge_id: str) -> str:
    """Return the present state of a badge at Credly.

    Raises:
        CredlyError: it is not known.
    """
    try:
        state = (await client.badge(badge_id)).state
    except NotFound as error:
        if not error.in_credly_form:
            raise
        return GONE
    if state is None:
        raise Unclear(code="incomplete_reply", operation="badge")
    return state


def _result(found: Sequence[Audited]) -> FormResult:
    ended, unknown = sum(len(each.ended) for each in found), sum(len(each.unknown) for each in found)
    badges = counted(sum(each.badges for each in found), "badge")
    parts = [f"{badges} at Credly compared with the ledger"]
    parts += [f"{ended} revoked, rejected or deleted since the last audit"] if ended else []
    parts += [f"{unknown} that Laurel did not issue"] if unknown else []
    without = sum(len(each.without_award) for each in found)
    parts += (
        [f"{without if without <= _MAX_SHOWN else f'more than {_MAX_SHOWN}'} whose award was withdrawn"]
        if without
        else []
    )
    page = "\n\n".join(["# Audit", *(_section(each) for each in found)])
    faults = [each.fault for each in found if each.fault]
    sentence = " ".join([*faults, " · ".join(parts)])
    return FormResult(sentence=sentence, page=page, failed=bool(faults), needs_attention=bool(ended or without))


def _section(each: Audited) -> str:
    rows = [(plain(state), str(count)) for state, count in each.counts.items()]
    portals = ", ".join(code(portal) for portal in each.due.portal_ids)
    lines = [
        f"## {portals}",
        f"Organization {code(each.due.organization_id)}: {counted(each.badges, 'badge')} read at Credly"
        f"{f', {each.part}' if each.part else ''}.",
        "Of the badges that the ledger holds as issued, Credly says:",
        table(("state at Credly", "badges"), rows) if rows else "There are none.",
    ]
    if each.fault:
        lines.insert(1, f"**Ended early.** {plain(each.fault, longest=1000)}")
    if each.no_events:
        lines.insert(-2, plain(f"{WITHOUT_EVENTS}: {each.no_events}."))
    for heading, ids in (
        ("Revoked, rejected or deleted at Credly since the last audit (issuances)", each.ended),
        ("The award was withdrawn, the badge still stands (issuances)", each.without_award),
        ("At Credly, but not issued by Laurel (badge ids)", each.unknown),
    ):
        if ids:
            more = f" and {len(ids) - _MAX_SHOWN} more" if len(ids) > _MAX_SHOWN else ""
            lines += [f"**{heading}:** {', '.join(code(str(key)) for key in ids[:_MAX_SHOWN])}{more}"]
    return "\n\n".join(lines)
