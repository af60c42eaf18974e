"""Audit: compare the ledger with Credly's state of each badge. Nothing is changed at Credly."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from credly.errors import NotConnected, NotFound
from credly.wire import Badge
from models.ledger import claiming
from models.ledger.claiming import DueOrganization
from models.operations import audit
from models.operations.audit import KnownBadge
from models.operations.erasure import erased_badges
from models.planning.withdrawn import withdrawn_among
from rules.markdown import code, plain, table
from rules.wording import FormResult, counted, nothing_to_do
from tasks.forms.run_form import known_portal, no_connection, open_for_form
from tasks.runtime.organization import Organization, current_organization
from tasks.runtime.run import Run, current_run, laurel_task

_PAGE_ROWS = 50
_MAX_SHOWN = 50
# Badges that Credly's list omits are read one by one, each by a call.
_MAX_SINGLE_READS = 500
# By then a badge must be in Credly's lists.
LISTED_AFTER = timedelta(hours=1)
GONE = "deleted"
_VALID_STATES = ("pending", "accepted")


@dataclass
class Audited:
    due: DueOrganization
    badges: int = 0
    unknown: list[str] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    without_award: list[int] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


async def audit_all(run: Run, portal: str) -> FormResult:
    """Audit each organization, and report the differences.

    Raises:
        InvalidInput: there is no such portal, or Credly refused an organization; those before it are audited.
    """
    if portal:
        await known_portal(run, portal)
    organizations = await run.database.read(claiming.connected_organizations, portal_id=portal)
    if not organizations:
        return nothing_to_do(no_connection(portal))
    found = []
    for due in organizations:
        async with open_for_form(run, due):
            found.append(await audit_organization(due))
    return _result(found)


@laurel_task(name="audit organization")
async def audit_organization(due: DueOrganization) -> Audited:
    """Read every badge of the opened organization, and save the state of those in the ledger."""
    run, current = current_run.get(), current_organization.get()
    began = run.now()
    result = Audited(due=due)
    async for badges in _pages(current):
        result.badges += len(badges)
        await _record_states(run, result, {badge.id: badge.state or "" for badge in badges}, moment=began)
    await _read_unlisted(run, current, result, began)
    withdrawn = await withdrawn_among(run.database, audit.ISSUED_AND_VALID, portal_ids=due.portal_ids, now=run.now())
    result.without_award = withdrawn.ids[: _MAX_SHOWN + 1]
    result.counts = await run.database.read(audit.counts, portal_ids=due.portal_ids)
    return result


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
    result.ended += [each.issuance_id for key, each in known.items() if _has_ended(each, states[key])]


def _has_ended(known: KnownBadge, state: str) -> bool:
    return state not in _VALID_STATES and state != known.credly_state


async def _read_unlisted(run: Run, current: Organization, result: Audited, began: datetime) -> None:
    unseen = await run.database.read(
        audit.not_seen,
        portal_ids=result.due.portal_ids,
        since=began,
        recorded_before=began - LISTED_AFTER,
        limit=_MAX_SINGLE_READS,
    )
    states = {}
    for each in unseen:
        try:
            states[each.credly_badge_id] = (await current.client.badge(each.credly_badge_id)).state or ""
        except NotFound as error:
            if not error.in_credly_form:
                raise
            states[each.credly_badge_id] = GONE
    await _record_states(run, result, states, moment=began)


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
    return FormResult(sentence=" · ".join(parts), page=page, needs_attention=bool(ended or without))


def _section(each: Audited) -> str:
    rows = [(plain(state), str(count)) for state, count in each.counts.items()]
    portals = ", ".join(code(portal) for portal in each.due.portal_ids)
    lines = [
        f"## {portals}",
        f"Organization {code(each.due.organization_id)} has {counted(each.badges, 'badge')} at Credly.",
        "Of the badges that the ledger holds as issued, Credly says:",
        table(("state at Credly", "badges"), rows) if rows else "There are none.",
    ]
    for heading, ids in (
        ("Revoked, rejected or deleted at Credly since the last audit (issuances)", each.ended),
        ("The award was withdrawn, the badge still stands (issuances)", each.without_award),
        ("At Credly, but not issued by Laurel (badge ids)", each.unknown),
    ):
        if ids:
            more = f" and {len(ids) - _MAX_SHOWN} more" if len(ids) > _MAX_SHOWN else ""
            lines += [f"**{heading}:** {', '.join(code(str(key)) for key in ids[:_MAX_SHOWN])}{more}"]
    return "\n\n".join(lines)
