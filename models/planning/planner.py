"""Planning: updates the ledger from the platform's awards, at a cost that depends on what is new.

An award is read when its moment has come, when its integration is new or has changed, and in scans through everything,
a bounded part in each run. So an award that was written late or back-dated is found within a day, and in the next run
on a small platform (docs/decisions/0005-recent-awards-and-rounds.md).

Each step reads a page of the platform and removes the pairs that have an active issuance. For the others it reads
awards, rows and settings, on which rules/ledger/eligibility.py decides.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any

from sqlalchemy import ColumnElement, Row

from models.by_key import portions
from models.columns import is_key, platform_moment
from models.database import Database
from models.ledger.tables import BadgeIssuance
from models.operations.erasure import erased_digests
from models.planning.deletions import Deletions
from models.planning.moved import moved_to
from models.planning.pairs import (
    OPEN,
    Setup,
    active_among,
    active_between,
    active_of,
    by_key,
    have_active,
    issuance_pages,
    open_after,
    rows_of,
    setup_of,
)
from models.planning.progress import (
    Cursor,
    Round,
    changed_integrations,
    cursor_of,
    mark_connection_planned,
    mark_integration_planned,
    newly_connected,
    put_cursor,
)
from models.planning.writing import PlanCounts, PlatformRows, apply_decisions, pairs_of
from models.platform.awards import Key, awards_of, awards_without_id, portals_of, valid_among, without_portal
from models.platform.isolation import Budget, RelationUnreadable
from models.platform.pages import Awarded, Page, awarded_between, newest_awards, page_after
from models.tables import table
from rules.ledger.eligibility import BEGINNING, Award, Coverage, Issuance, decide
from rules.ledger.erasure import is_erased
from rules.ledger.reasons import MOMENT_REASONS, AwardFault, Reason, UnusableAward
from rules.ledger.states import IssuanceState
from rules.ledger.sweep import HOLD_NAMES_ABOVE, rows_for_run, settings_contradict

issuances = table(BadgeIssuance)

SEARCH_AT_MOST = 1_000  # statements of a planning that search for awards which cannot be read
# Awards become visible when the platform's transaction ends, after the moment that it wrote, perhaps in whole seconds.
_WRITTEN_WITHIN = timedelta(minutes=5)
_PAIRS_PER_TRANSACTION = 1_000  # few enough that other writers do not wait long


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What one run reads besides new awards: the newest awards of the last days, and a part of everything.

    With `full` it is everything. If more than `hold_above` badges would be replaced for corrected names, none is.
    """

    at_least: int = 50_000
    recent: timedelta = timedelta(days=7)
    full: bool = False
    hold_above: int = HOLD_NAMES_ABOVE


@dataclass(frozen=True, kw_only=True)
class Planning:
    """The state of one planning run at the moment `now` (UTC), for one portal or for all."""

    database: Database
    now: datetime
    setup: Setup
    portals: dict[str, str]
    deletions: Deletions
    erased: frozenset[str] = frozenset()  # digests of erased users
    portal_id: str | None = None
    page: int  # rows
    budget: Budget = field(default_factory=lambda: Budget(left=SEARCH_AT_MOST))

    @cached_property
    def covered(self) -> dict[str, Coverage]:
        """The coverage of the achievements that this run plans."""
        every, portal_id = self.setup.coverages, self.portal_id
        return {key: each for key, each in every.items() if portal_id in (None, self.portals.get(key))}

    def concerned(self, unusable: Collection[UnusableAward]) -> PlanCounts:
        """Count those awards that an integration covers, or may cover because their achievement is not known."""
        return PlanCounts(
            unusable=frozenset(
                each
                for each in unusable
                if each.achievement_id in self.covered
                or (each.fault is AwardFault.WITHOUT_ACHIEVEMENT and self.portal_id is None)
            )
        )


StepResult = tuple[Mapping[Key, Sequence[Issuance]], int, dict[str, Any] | None, frozenset[UnusableAward]]
Step = Callable[[Planning, Cursor], Awaitable[StepResult]]


async def begin(database: Database, *, now: datetime, portal_id: str | None = None) -> Planning:
    setup = await database.read(setup_of)
    return Planning(
        database=database,
        now=now,
        setup=setup,
        portals=await database.platform.read(portals_of, setup.coverages),
        deletions=Deletions(database, setup, now=now),
        erased=await database.read(erased_digests),
        portal_id=portal_id,
        page=database.rows_per_page,
    )


async def plan(database: Database, *, now: datetime, portal_id: str | None = None) -> PlanCounts:
    """Create issuances for awards whose moment has come since the last run; unblock those of new connections.

    May run at any time and concurrently: what is written is decided on locked rows. Planning one portal does not move
    the cursor of all portals.
    """
    connected = await database.read(newly_connected, portal_id)  # before the settings, which then include them
    planning = await begin(database, now=now, portal_id=portal_id)
    return await as_far_as_possible(
        planning,
        _restore_cancelled_replacements,
        *(partial(_plan_connection, portal_id=portal, connected_at=moment) for portal, moment in connected),
        _plan_recent,
    )


async def as_far_as_possible(planning: Planning, *steps: Callable[[Planning], Awaitable[PlanCounts]]) -> PlanCounts:
    """Take each step, even if another one could not read what it needs."""
    counts = PlanCounts()
    for step in steps:
        try:
            counts += await step(planning)
        except RelationUnreadable as unreadable:
            counts += PlanCounts(unread=(str(unreadable),))
    return counts


async def _plan_connection(planning: Planning, *, portal_id: str, connected_at: datetime) -> PlanCounts:
    counts = await _unblock(planning, portal_id)
    await planning.database.write(mark_connection_planned, portal_id, connected_at, planning.now)
    return counts


async def _plan_recent(planning: Planning) -> PlanCounts:
    database, now = planning.database, planning.now
    cursor = await database.read(cursor_of, Round.RECENT)
    counts = await _reconcile_awarded(planning, after=min(cursor.moved_at or now, now) - _WRITTEN_WITHIN)
    if planning.portal_id is None:
        await database.write(put_cursor, Round.RECENT, cursor, now=now)
    return counts


async def sweep(database: Database, options: Sweep, *, now: datetime, portal_id: str | None = None) -> PlanCounts:
    """Find what `plan` cannot see: awards that changed settings make eligible, and awards that were written late.

    Scans new and changed integrations, the newest awards of the last days, and a bounded part of everything. It only
    reads; short transactions write the changes. After an error the next run continues behind the last page.
    """
    changed = await database.read(changed_integrations)  # before the settings, which then include these
    planning = await begin(database, now=now, portal_id=portal_id)
    planning = replace(planning, page=min(database.rows_per_page, max(options.at_least, 1)))
    without = await database.platform.read(without_portal, planning.setup.coverages.keys() - planning.portals.keys())
    counts = PlanCounts(unusable=without if portal_id is None else frozenset())
    return counts + await as_far_as_possible(
        planning,
        *(partial(_sweep_integration, before=each) for each in changed if each.achievement_id in planning.covered),
        partial(continue_round, which=Round.OPEN, step=_next_open, options=options),
        partial(_reconcile_awarded, after=now - options.recent, newest=options.at_least),
        partial(continue_round, which=Round.AWARDS, step=_next_covered, options=options),
    )


async def _reconcile_awarded(planning: Planning, *, after: datetime, newest: int | None = None) -> PlanCounts:
    """Plan the awards made since a moment, or the newest of them, page by page."""
    since, following, platform = planning.setup.earliest, None, planning.database.platform
    counts, until = PlanCounts(), planning.now
    if since is not None and newest is not None:
        found = await platform.read(newest_awards, after, until, count=newest, now=planning.now, since=since)
        if found is not None:
            return planning.concerned(found[1]) + await _reconcile_keys(
                planning, await _without_issuance(planning, found[0])
            )
    while since is not None:
        awards, reached, unusable = await platform.read(
            awarded_between, after, until, following=following, size=planning.page, now=planning.now, since=since
        )
        counts += planning.concerned(unusable)
        counts += await _reconcile_keys(planning, await _without_issuance(planning, awards))
        if (following := reached) is None:
            break
    return counts


async def _without_issuance(
    planning: Planning, awards: Iterable[Awarded], known_active: Collection[Key] = ()
) -> Collection[Key]:
    """Return the covered pairs that have no active issuance, or one that is to be replaced."""
    latest: dict[Key, datetime] = {}
    mapping = planning.database.platform.mapping
    for achievement_id, user_id, stored in awards:
        coverage = planning.covered.get(achievement_id)
        if coverage is None or (not coverage.replaces and (achievement_id, user_id) in known_active):
            continue
        awarded_at = platform_moment(stored, mapping)  # after the checks above: it is slow, and most pairs are active
        if awarded_at < coverage.covers_from:
            continue
        known = latest.get((achievement_id, user_id))
        if known is None or (awarded_at <= planning.now and not awarded_at <= known <= planning.now):
            latest[achievement_id, user_id] = awarded_at  # the latest that is not in the future, if there is one
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


async def keys_of_page(planning: Planning, page: Page) -> Collection[Key]:
    # Most pairs of a page have an active issuance. One range of the ledger's index finds them faster than the keys.
    database, active, at_most = planning.database, set[Key](), 2 * planning.page
    if page.following is not None and database.platform.mapping.orders_as_text:
        active = await database.read(active_between, page.after, page.following, at_most=at_most)
    elif page.following is not None:
        active = await database.read(active_of, sorted({award[0] for award in page.awards}), at_most=at_most)
    return await _without_issuance(planning, page.awards, active)


def _is_replaced(planning: Planning, key: Key, issued: datetime | None, latest: datetime) -> bool:
    return planning.setup.coverages[key[0]].replaces and issued is not None and issued < latest <= planning.now


async def _reconcile_keys(planning: Planning, keys: Collection[Key]) -> PlanCounts:
    return await reconcile(planning, await planning.database.read(rows_of, keys)) if keys else PlanCounts()


async def reconcile(
    planning: Planning, rows: Mapping[Key, Sequence[Issuance]], names: Mapping[int, str] | None = None
) -> PlanCounts:
    """Decide on these pairs and write the changes. `names` are digests of present names by issuance."""
    counts, database = PlanCounts(), planning.database
    for part in portions(sorted(rows), _PAIRS_PER_TRANSACTION):
        awards = await database.platform.read(awards_of, part, now=planning.now, budget=planning.budget)
        batch = {key: rows[key] for key in part if key in awards}
        counts += await _unusable(planning, part, batch, awards)
        platform_rows = PlatformRows(awards=awards, portals=planning.portals, names=names or {})
        deleted = await planning.deletions.deleted(batch, awards)
        pairs = pairs_of(batch, platform_rows, planning.setup, deleted=deleted)
        # Decided here without locks, since most pairs do not change; `apply_decisions` decides again on locked rows.
        decided = {key: decide(pair, now=planning.now) for key, pair in pairs.items()}
        changing = [key for key, of_key in decided.items() if any(each.changes for each in of_key)]
        begun = [key for key in changing if any(each.action in BEGINNING for each in decided[key])]
        moved = await moved_to(database, awards, begun, now=planning.now) if begun else {}
        if changing:
            counts += await database.write(
                apply_decisions, changing, platform_rows, deleted=deleted, moved=moved, now=planning.now
            )
    return counts


async def _unusable(
    planning: Planning,
    keys: Collection[Key],
    batch: Mapping[Key, Sequence[Issuance]],
    awards: Mapping[Key, Sequence[Award]],
) -> PlanCounts:
    """Count the awards that were not read, and those without an id of pairs that have nothing else."""
    counts = PlanCounts(
        unusable=frozenset(
            UnusableAward(fault=AwardFault.NOT_READ, achievement_id=key[0], identity=hash(key))
            for key in keys
            if key not in batch
        )
    )
    nameless = {key for key, rows in batch.items() if not rows and not awards[key]}
    if nameless:
        counts += planning.concerned(await planning.database.platform.read(awards_without_id, nameless))
    return counts


async def _restore_cancelled_replacements(planning: Planning) -> PlanCounts:
    # The old badge stays valid if its replacement was cancelled.
    cancelled = issuances.c.replaces_badge_id.is_not(None), issuances.c.state == IssuanceState.CANCELLED
    return await _reconcile_issuances(planning, *cancelled)


async def _unblock(planning: Planning, portal_id: str) -> PlanCounts:
    not_connected = issuances.c.reason == Reason.PORTAL_NOT_CONNECTED
    waiting = issuances.c.state == IssuanceState.BLOCKED, not_connected, issuances.c.portal_id == portal_id
    return await _reconcile_issuances(planning, *waiting)


async def _reconcile_issuances(planning: Planning, *among: ColumnElement[bool]) -> PlanCounts:
    counts = PlanCounts()
    if planning.portal_id is not None:
        among = (*among, issuances.c.portal_id == planning.portal_id)
    async for rows in issuance_pages(planning.database, *among, size=planning.page):
        counts += await reconcile(planning, by_key(rows))
    return counts


async def _sweep_integration(planning: Planning, before: Row[Any]) -> PlanCounts:
    achievement_id = before.achievement_id
    counts = await _reconcile_issuances(planning, issuances.c.achievement_id == achievement_id, OPEN)
    cursor: Key | None = (achievement_id, "")
    while cursor is not None:
        page = await next_awards(planning, cursor, within=achievement_id)
        counts += planning.concerned(page.unusable)
        counts += await _reconcile_keys(planning, await keys_of_page(planning, page))
        cursor = page.following
    await planning.database.write(mark_integration_planned, before, planning.now)
    return counts


async def continue_round(planning: Planning, which: Round, step: Step, options: Sweep) -> PlanCounts:
    """Continue a scan within this run's budget of rows. The scan of one portal starts over and is not stored."""
    cursor, kept = Cursor(), planning.portal_id is None
    if kept:
        cursor = await planning.database.read(cursor_of, which)
    since = None if cursor.moved_at is None else planning.now - cursor.moved_at
    of_round = max(cursor.last_round, cursor.rows_looked_through)
    budget = rows_for_run(of_round=of_round, since=since, at_least=options.at_least)
    if options.full:
        cursor = Cursor(last_round=cursor.last_round)
    counts, ended = PlanCounts(), False
    while not ended and (budget > 0 or options.full):
        found, rows, following, unusable = await step(planning, cursor)
        counts += planning.concerned(unusable)
        counts += await reconcile(planning, found)
        ended, budget = following is None, budget - rows
        cursor = cursor.moved(rows=rows, after=following)
        if kept and all(is_key(each) for each in (cursor.after_achievement, cursor.after_user) if each != ""):
            await planning.database.write(put_cursor, which, cursor, now=planning.now)
    return counts


async def _next_open(planning: Planning, cursor: Cursor) -> StepResult:
    rows = await planning.database.read(open_after, cursor.after_id, size=planning.page, portal_id=planning.portal_id)
    by_settings: dict[tuple[Any, ...], list[str]] = {}  # thousands of rows have few distinct combinations
    for row in rows:
        by_settings.setdefault(row[2:], []).append(row[1])
    changing, others, setup = set[Key](), set[Key](), planning.setup
    for settings, users in by_settings.items():
        achievement_id, portal_id, template, state, reason, to_be_replaced, outstanding, former = settings
        present = portal_id if to_be_replaced else planning.portals.get(achievement_id, portal_id)
        # An award whose moment has not come, or is none, may have been corrected.
        changes = reason in MOMENT_REASONS or settings_contradict(
            setup.coverages.get(achievement_id),
            badge_template_id=template,
            state=state,
            reason=reason,
            connected=present in setup.connected,
            elsewhere=present != portal_id,
            to_be_replaced=to_be_replaced,
            outstanding=outstanding,
            former=former,
        )
        (changing if changes else others).update((achievement_id, user_id) for user_id in users)
    # Of rows that the settings leave as they are, those without a valid award change too.
    changing |= others - await planning.database.platform.read(valid_among, others, now=planning.now)
    found = await planning.database.read(rows_of, changing) if changing else {}
    return found, len(rows), {"after_id": rows[-1][0]} if len(rows) == planning.page else None, frozenset()


async def _next_covered(planning: Planning, cursor: Cursor) -> StepResult:
    page = await next_awards(planning, (cursor.after_achievement, cursor.after_user))
    following = page.following and dict(zip(("after_achievement", "after_user"), page.following, strict=True))
    keys = await keys_of_page(planning, page)
    return await planning.database.read(rows_of, keys) if keys else {}, page.rows, following, page.unusable


async def next_awards(planning: Planning, after: Key, *, within: str | None = None) -> Page:
    since = planning.setup.earliest or planning.now
    return await planning.database.platform.read(
        page_after, after, size=planning.page, now=planning.now, since=since, within=within
    )
