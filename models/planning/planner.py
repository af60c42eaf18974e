"""Planning: bringing the ledger up to what the platform has awarded, at a cost that follows what is new.

An award is looked at when its moment has come, when its integration is new or has changed, and in rounds through
everything, a bounded part in each run: so a row that arrives late or back-dated is found within a day, and in the very
next run where the platform is small (docs/decisions/0005-recent-awards-and-rounds.md).

Each step reads a page of the platform, asks the ledger which of it has an active issuance, and reads the rest whole:
awards, rows and settings of each pair, on which rules/ledger/eligibility.py decides.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select, update

from models.by_key import portions
from models.columns import moment_of
from models.database import Database
from models.integrations import CredlyConnection, CredlyIntegration
from models.ledger.erasure import erased_digests
from models.ledger.tables import BadgeIssuance
from models.planning.deletions import Deletions
from models.planning.moved import moved_to
from models.planning.pairs import (
    OPEN,
    Setup,
    active_among,
    active_between,
    by_key,
    ended_among,
    have_active,
    open_behind,
    rows_of,
    setup_of,
    walk,
)
from models.planning.progress import Cursor, Round, cursor_of, put_cursor
from models.planning.writing import OfPlatform, PlanCounts, apply_decisions, pairs_of
from models.platform.awards import (
    Awarded,
    Key,
    Page,
    awarded_between,
    awards_of,
    page_behind,
    portals_of,
    start_of_newest,
    valid_among,
)
from models.tables import table
from rules.erasure import is_erased
from rules.ledger.eligibility import BEGINNING, Coverage, Issuance, Pair, decide, settings_contradict
from rules.reasons import Reason
from rules.rounds import rows_for_run
from rules.states import IssuanceState

issuances = table(BadgeIssuance)
integrations = table(CredlyIntegration)
connections = table(CredlyConnection)

AT_A_TIME = 10_000  # rows that are looked at together
_WRITTEN_TOGETHER = 1_000  # pairs: a transaction that others wait for stays short
_SETTINGS = ("badge_template_id", "enabled_at", "issue_since", "earned_again")


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What one run goes through besides what is new: the newest awards of the last days, and a part of everything.

    With `full` it is everything.
    """

    at_least: int = 50_000
    recent: timedelta = timedelta(days=7)
    full: bool = False


@dataclass(frozen=True, kw_only=True)
class Planning:
    """What a run plans: at the moment `now` (UTC), for one portal or for all."""

    database: Database
    now: datetime
    setup: Setup
    portals: dict[str, str]
    deletions: Deletions
    erased: frozenset[str] = frozenset()  # digests of erased users
    portal_id: str | None = None

    @cached_property
    def covered(self) -> dict[str, Coverage]:
        """What the integrations cover of the achievements whose awards are looked at."""
        every, portal_id = self.setup.coverages, self.portal_id
        return {key: each for key, each in every.items() if portal_id in (None, self.portals.get(key))}


async def begin(database: Database, *, now: datetime, portal_id: str | None = None) -> Planning:
    """Read what is set up."""
    setup = await database.read(setup_of)
    return Planning(
        database=database,
        now=now,
        setup=setup,
        portals=await database.platform.read(portals_of, setup.coverages),
        deletions=Deletions(database, setup, now=now),
        erased=await database.read(erased_digests),
        portal_id=portal_id,
    )


async def plan(database: Database, *, now: datetime, portal_id: str | None = None) -> PlanCounts:
    """Enter the awards whose moment has come since the last run, and unblock what waited for a new connection.

    Safe to run at any time and by several at once: what is written is decided on what the ledger has then. A plan of
    one portal leaves the cursor of all portals where it is.
    """
    connected = await database.read(_newly_connected, portal_id)  # before what is set up, which then has them
    planning = await begin(database, now=now, portal_id=portal_id)
    counts = await _restore_cancelled_replacements(planning)
    for portal, connected_at in connected:
        counts += await _unblock(planning, portal)
        await database.write(_note_connection, portal, connected_at, now)
    cursor = await database.read(cursor_of, Round.RECENT)
    async for keys in _awarded(planning, after=min(cursor.moved_at or now, now), until=now):
        counts += await _update(planning, keys)
    if portal_id is None:
        await database.write(put_cursor, Round.RECENT, cursor, now=now)
    return counts


async def sweep(database: Database, wanted: Sweep, *, now: datetime, portal_id: str | None = None) -> PlanCounts:
    """Look for what `plan` cannot see: what changed settings make eligible, and what was written down late.

    Goes through integrations that are new or changed, the newest awards of the last days, and a bounded part of
    everything, reading only; where something changes, a short transaction writes it. What is done stays done where
    something fails, and the next run goes on behind it.
    """
    changed = await database.read(_changed_integrations)  # before what is set up, which then has their settings
    planning = await begin(database, now=now, portal_id=portal_id)
    counts = PlanCounts()
    for integration in changed:
        if integration.achievement_id in planning.covered:
            counts += await _sweep_integration(planning, integration)
    counts += await _continue_round(planning, Round.OPEN, wanted)
    start = await database.platform.read(start_of_newest, now - wanted.recent, now, count=wanted.at_least)
    async for keys in _awarded(planning, after=start, until=now):
        counts += await _update(planning, keys)
    return counts + await _continue_round(planning, Round.AWARDS, wanted)


async def _awarded(planning: Planning, *, after: datetime, until: datetime) -> AsyncIterator[Collection[Key]]:
    """Yield the pairs to look at among what was awarded in a span, page by page."""
    since, following = planning.setup.earliest, None
    while since is not None:
        awards, following = await planning.database.platform.read(
            awarded_between, after, until, following=following, size=AT_A_TIME, now=planning.now, since=since
        )
        yield await _without_issuance(planning, awards)
        if following is None:
            return


async def _without_issuance(
    planning: Planning, awards: Iterable[Awarded], known_active: Collection[Key] = ()
) -> Collection[Key]:
    """Return the pairs that an integration covers and that have no active issuance, or one that is replaced."""
    latest: dict[Key, datetime] = {}
    for achievement_id, user_id, stored in awards:
        coverage = planning.covered.get(achievement_id)
        if coverage is None or (not coverage.replaces and (achievement_id, user_id) in known_active):
            continue
        awarded_at = moment_of(stored)  # of the others only: most are active
        if awarded_at < coverage.covers_from:
            continue
        known = latest.get((achievement_id, user_id))
        if known is None or (awarded_at <= planning.now and not awarded_at <= known <= planning.now):
            latest[achievement_id, user_id] = awarded_at  # the last one whose moment has come, if one's has
    if not latest:
        return ()
    replaces = any(planning.setup.coverages[achievement_id].replaces for achievement_id, _ in latest)
    active = await planning.database.read(active_among if replaces else have_active, latest)
    return [
        key
        for key, moment in latest.items()
        if (key not in active or _is_replaced(planning, key, active[key], moment))
        and not is_erased(key[1], planning.erased)
    ]


async def _of_page(planning: Planning, page: Page) -> Collection[Key]:
    """Return those pairs of a page. Most have an active issuance, so the ledger is read in the order of the page."""
    active: Collection[Key] = ()
    if page.following is not None:
        active = await planning.database.read(active_between, page.after, page.following, at_most=2 * AT_A_TIME)
    return await _without_issuance(planning, page.awards, active)


def _is_replaced(planning: Planning, key: Key, issued: datetime | None, latest: datetime) -> bool:
    return planning.setup.coverages[key[0]].replaces and issued is not None and issued < latest <= planning.now


async def _update(planning: Planning, keys: Collection[Key]) -> PlanCounts:
    """Read what there is of these pairs, and let the ledger follow."""
    return await _follow(planning, await planning.database.read(rows_of, keys)) if keys else PlanCounts()


async def _follow(planning: Planning, rows: Mapping[Key, Sequence[Issuance]]) -> PlanCounts:
    """Write what changes of these pairs; for the others nothing is written, and no lock is taken."""
    counts, database = PlanCounts(), planning.database
    for part in portions(sorted(rows), _WRITTEN_TOGETHER):
        mine = {key: rows[key] for key in part}
        awards = await database.platform.read(awards_of, part, now=planning.now)
        of_platform = OfPlatform(awards=awards, portals=planning.portals)
        deleted = await planning.deletions.deleted(mine, awards)
        pairs = pairs_of(mine, of_platform, planning.setup, deleted=deleted)
        decided = {key: decide(pair, now=planning.now) for key, pair in pairs.items()}
        changing = [key for key, of_key in decided.items() if any(each.changes for each in of_key)]
        begun = [key for key in changing if any(each.action in BEGINNING for each in decided[key])]
        moved = await moved_to(database, awards, begun, now=planning.now) if begun else {}
        if changing:
            counts += await database.write(
                apply_decisions, changing, of_platform, deleted=deleted, moved=moved, now=planning.now
            )
    return counts


async def _restore_cancelled_replacements(planning: Planning) -> PlanCounts:
    """A badge that was to be replaced stays as it was where that was cancelled."""
    cancelled = issuances.c.replaces_badge_id.is_not(None), issuances.c.state == IssuanceState.CANCELLED
    return await _update_rows(planning, *cancelled)


async def _unblock(planning: Planning, portal_id: str) -> PlanCounts:
    """What waited for a connection that is new or was changed since the last run."""
    not_connected = issuances.c.reason == Reason.PORTAL_NOT_CONNECTED
    waiting = issuances.c.state == IssuanceState.BLOCKED, not_connected, issuances.c.portal_id == portal_id
    return await _update_rows(planning, *waiting)


async def _update_rows(planning: Planning, *among: ColumnElement[bool]) -> PlanCounts:
    """Let rows of the ledger follow, page by page."""
    counts = PlanCounts()
    if planning.portal_id is not None:
        among = (*among, issuances.c.portal_id == planning.portal_id)
    async for rows in walk(planning.database, *among, size=AT_A_TIME):
        counts += await _follow(planning, by_key(rows))
    return counts


async def _sweep_integration(planning: Planning, before: Row[Any]) -> PlanCounts:
    """Look at all awards of one achievement, and note that this was done unless it was changed meanwhile."""
    achievement_id = before.achievement_id
    counts = await _update_rows(planning, issuances.c.achievement_id == achievement_id, OPEN)
    cursor: Key | None = (achievement_id, "")
    while cursor is not None:
        page = await _next_awards(planning, cursor, within=achievement_id)
        counts += await _update(planning, await _of_page(planning, page))
        cursor = page.following
    await planning.database.write(_note_integration, before, planning.now)
    return counts


async def _continue_round(planning: Planning, which: Round, wanted: Sweep) -> PlanCounts:
    """Go on with a round for as many rows as this run has; one of a single portal starts over and is not kept."""
    cursor, kept = Cursor(), planning.portal_id is None
    if kept:
        cursor = await planning.database.read(cursor_of, which)
    left = _rows_for_run(cursor, wanted, now=planning.now)
    if wanted.full:
        cursor = Cursor(last_round=cursor.last_round)
    counts, ended = PlanCounts(), False
    while not ended and (left > 0 or wanted.full):
        found, rows, following = await (_next_open if which is Round.OPEN else _next_covered)(planning, cursor)
        counts += await _follow(planning, found)
        ended, left = following is None, left - rows
        cursor = cursor.moved(rows=rows, after=following)
        if kept:
            await planning.database.write(put_cursor, which, cursor, now=planning.now)
    return counts


_Step = tuple[Mapping[Key, Sequence[Issuance]], int, dict[str, Any] | None]


async def _next_open(planning: Planning, cursor: Cursor) -> _Step:
    rows = await planning.database.read(open_behind, cursor.after_id, size=AT_A_TIME, portal_id=planning.portal_id)
    by_settings: dict[tuple[Any, ...], list[str]] = {}  # a few different ones, of thousands of rows
    for row in rows:
        by_settings.setdefault(row[2:], []).append(row[1])
    changing, others, setup = set[Key](), set[Key](), planning.setup
    for settings, users in by_settings.items():
        achievement_id, portal_id, template, state, reason, to_be_replaced, outstanding, former = settings
        changes = settings_contradict(
            setup.coverages.get(achievement_id),
            badge_template_id=template,
            state=state,
            reason=reason,
            connected=portal_id in setup.connected,
            to_be_replaced=to_be_replaced,
            outstanding=outstanding,
            former=former,
        )
        (changing if changes else others).update((achievement_id, user_id) for user_id in users)
    changing |= others - await planning.database.platform.read(valid_among, others, now=planning.now)
    found = await planning.database.read(rows_of, changing) if changing else {}
    return found, len(rows), {"after_id": rows[-1][0]} if len(rows) == AT_A_TIME else None


async def _next_covered(planning: Planning, cursor: Cursor) -> _Step:
    page = await _next_awards(planning, (cursor.after_achievement, cursor.after_user))
    following = None
    if page.following is not None:
        following = dict(zip(("after_achievement", "after_user"), page.following, strict=True))
    keys = await _of_page(planning, page)
    return await planning.database.read(rows_of, keys) if keys else {}, page.rows, following


async def _next_awards(planning: Planning, after: Key, *, within: str | None = None) -> Page:
    since = planning.setup.earliest or planning.now
    return await planning.database.platform.read(
        page_behind, after, size=AT_A_TIME, now=planning.now, since=since, within=within
    )


def _rows_for_run(cursor: Cursor, wanted: Sweep, *, now: datetime) -> int:
    since = None if cursor.moved_at is None else now - cursor.moved_at
    of_round = max(cursor.last_round, cursor.rows_looked_through)
    return rows_for_run(of_round=of_round, since=since, at_least=wanted.at_least)


async def new_pairs(planning: Planning, *, within: str | None = None) -> AsyncIterator[tuple[Key, Pair]]:
    """Yield the pairs of covered awards without an active issuance, whole: for a preview, nothing is written."""
    cursor: Key | None = (within or "", "")
    while cursor is not None:
        page = await _next_awards(planning, cursor, within=within)
        keys = await _of_page(planning, page)
        rows = await planning.database.read(rows_of, keys)
        awards = await planning.database.platform.read(awards_of, keys, now=planning.now)
        of_platform = OfPlatform(awards=awards, portals=planning.portals)
        moved = await moved_to(planning.database, awards, keys, now=planning.now)
        for key, pair in pairs_of(rows, of_platform, planning.setup, deleted=()).items():
            yield key, replace(pair, moved=moved.get(key))
        cursor = page.following


async def count_due_at_once(database: Database, achievement_id: str, *, now: datetime) -> int:
    """Count the users whom the present integration of an achievement makes due at once: awarded, no badge yet.

    A badge of an earlier template counts, as it does in planning.
    """
    planning = await begin(database, now=now)
    due, cursor = 0, (achievement_id, "") if achievement_id in planning.covered else None
    while cursor is not None:
        page = await _next_awards(planning, cursor, within=achievement_id)
        coverage = planning.setup.coverages[achievement_id]
        keys = {
            (of_award, user_id)
            for of_award, user_id, stored in page.awards
            if coverage.covers_from <= moment_of(stored) <= now
            and of_award == achievement_id
            and not is_erased(user_id, planning.erased)
        }
        due += len(keys - await database.read(ended_among, keys))
        cursor = page.following
    return due


def _changed_integrations(connection: Connection) -> Sequence[Row[Any]]:
    query = select(integrations).where(integrations.c.planned_at.is_(None))
    return connection.execute(query.order_by(integrations.c.achievement_id)).all()


def _note_integration(connection: Connection, before: Row[Any], now: datetime) -> None:
    same = [integrations.c[name].is_not_distinct_from(getattr(before, name)) for name in _SETTINGS]
    mine = integrations.c.achievement_id == before.achievement_id
    connection.execute(update(integrations).where(mine, *same).values(planned_at=now))


def _newly_connected(connection: Connection, portal_id: str | None) -> list[tuple[str, datetime]]:
    query = select(connections.c.portal_id, connections.c.connected_at).where(connections.c.planned_at.is_(None))
    if portal_id is not None:
        query = query.where(connections.c.portal_id == portal_id)
    return [(row.portal_id, row.connected_at) for row in connection.execute(query)]


def _note_connection(connection: Connection, portal_id: str, connected_at: datetime, now: datetime) -> None:
    same = connections.c.portal_id == portal_id, connections.c.connected_at == connected_at
    connection.execute(update(connections).where(*same).values(planned_at=now))
