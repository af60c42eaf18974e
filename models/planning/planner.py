"""Planning: bringing the ledger up to what the platform has awarded, at a cost that follows what is new.

An award is looked at when its moment has come, when its integration is new or has changed, and in rounds through
everything, a bounded part in each run: so a row that arrives late or back-dated is found within a day, and in the very
next run where the platform is small (docs/decisions/0005-recent-awards-and-rounds.md).

Each look reads a page of the platform, asks the ledger which of it stands already, and reads the rest whole: awards,
rows and settings of each pair, on which rules/ledger/eligibility.py decides.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select, update

from models.by_key import portions
from models.database import Database
from models.integrations import CredlyConnection, CredlyIntegration
from models.ledger import BadgeIssuance
from models.planning.deletions import Deletions
from models.planning.pairs import (
    OPEN,
    Setup,
    ended_among,
    issuances_behind,
    open_behind,
    rows_of,
    setup_of,
    standing_among,
)
from models.planning.progress import Place, Round, place_of, put_place
from models.planning.writing import OfPlatform, PlanCounts, bring_up_to_date, pairs_of
from models.platform.awards import Key, Page, awarded_between, awards_of, page_behind, portals_of, start_of_newest
from models.tables import table
from rules.ledger.eligibility import Issuance, Pair, decide
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
class Look:
    """What one run plans: at the moment `now` (UTC), for one portal or for all."""

    database: Database
    now: datetime
    setup: Setup
    portals: dict[str, str]
    deletions: Deletions
    portal_id: str | None = None

    def concerns(self, achievement_id: str) -> bool:
        """Say whether awards of an achievement are looked at."""
        if achievement_id not in self.setup.coverages:
            return False
        return self.portal_id is None or self.portals.get(achievement_id) == self.portal_id


async def begin(database: Database, *, now: datetime, portal_id: str | None = None) -> Look:
    """Read what is set up, and look from there."""
    setup = await database.read(setup_of)
    return Look(
        database=database,
        now=now,
        setup=setup,
        portals=await database.platform.read(portals_of, setup.coverages),
        deletions=Deletions(database, setup, now=now),
        portal_id=portal_id,
    )


async def plan(database: Database, *, now: datetime, portal_id: str | None = None) -> PlanCounts:
    """Enter the awards whose moment has come since the last run, and settle what waited for a new connection.

    Safe to run at any time and by several at once: what is written is decided on what the ledger has then. A plan of
    one portal leaves the place of all where it is.
    """
    look = await begin(database, now=now, portal_id=portal_id)
    counts = await _settle_cancelled_replacements(look)
    counts += await _settle_newly_connected(look)
    place = await database.read(place_of, Round.RECENT)
    async for keys in _awarded(look, after=min(place.moved_at or now, now), until=now):
        counts += await _bring_up_to_date(look, keys)
    if portal_id is None:
        await database.write(put_place, Round.RECENT, place, now=now)
    return counts


async def sweep(database: Database, wanted: Sweep, *, now: datetime, portal_id: str | None = None) -> PlanCounts:
    """Look for what `plan` cannot see: what changed settings make eligible, and what was written down late.

    Goes through integrations that are new or changed, the newest awards of the last days, and a bounded part of
    everything, reading only; where something changes, a short transaction writes it. What is done stays done where
    something fails, and the next run goes on behind it.
    """
    look = await begin(database, now=now, portal_id=portal_id)
    counts = PlanCounts()
    for achievement_id in await database.read(_changed_integrations):
        if look.concerns(achievement_id):
            counts += await _sweep_integration(look, achievement_id)
    counts += await _go_on(look, Round.OPEN, wanted)
    start = await database.platform.read(start_of_newest, now - wanted.recent, now, count=wanted.at_least)
    async for keys in _awarded(look, after=start, until=now):
        counts += await _bring_up_to_date(look, keys)
    return counts + await _go_on(look, Round.AWARDS, wanted)


async def _awarded(look: Look, *, after: datetime, until: datetime) -> AsyncIterator[Collection[Key]]:
    """Yield the pairs to look at among what was awarded in a span, page by page."""
    since = look.setup.earliest
    reached: datetime | None = after
    while since is not None and reached is not None:
        page, reached = await look.database.platform.read(
            awarded_between, reached, until, size=AT_A_TIME, now=look.now, since=since
        )
        yield await _not_standing(look, page.awards)


async def _not_standing(look: Look, awards: Iterable[Row[str, str, datetime]]) -> Collection[Key]:
    """Return the pairs that an integration covers and for which nothing stands, or something that is replaced."""
    latest: dict[Key, datetime] = {}
    for achievement_id, user_id, awarded_at in awards:
        coverage = look.setup.coverages.get(achievement_id)
        if coverage is None or awarded_at < coverage.covers_from or not look.concerns(achievement_id):
            continue
        moment = latest.setdefault((achievement_id, user_id), awarded_at)
        if moment < awarded_at <= look.now:
            latest[achievement_id, user_id] = awarded_at
    if not latest:
        return ()
    standing = await look.database.read(standing_among, latest)
    return [
        key for key, moment in latest.items() if key not in standing or _is_replaced(look, key, standing[key], moment)
    ]


def _is_replaced(look: Look, key: Key, issued: datetime | None, latest: datetime) -> bool:
    return look.setup.coverages[key[0]].replaces and issued is not None and issued < latest <= look.now


async def _bring_up_to_date(look: Look, keys: Collection[Key]) -> PlanCounts:
    """Read what the platform has of these pairs, and let the ledger follow."""
    counts = PlanCounts()
    for part in portions(sorted(keys), _WRITTEN_TOGETHER):
        of_platform = OfPlatform(
            awards=await look.database.platform.read(awards_of, part, now=look.now), portals=look.portals
        )
        counting: Collection[str] = ()
        if look.setup.deletions_may_count:
            counting = await look.deletions.counting(await look.database.read(rows_of, part), of_platform.awards)
        counts += await look.database.write(bring_up_to_date, part, of_platform, deletions_count=counting, now=look.now)
    return counts


async def _settle_cancelled_replacements(look: Look) -> PlanCounts:
    """A badge that was to be replaced stands as it was where that was cancelled."""
    cancelled = issuances.c.replaces_badge_id.is_not(None), issuances.c.state == IssuanceState.CANCELLED
    return await _settle(look, *cancelled)


async def _settle_newly_connected(look: Look) -> PlanCounts:
    """What waited for connections that are new or were changed since the last run."""
    counts = PlanCounts()
    for portal_id in await look.database.read(_newly_connected, look.portal_id):
        not_connected = issuances.c.reason == Reason.PORTAL_NOT_CONNECTED
        waiting = issuances.c.state == IssuanceState.BLOCKED, not_connected, issuances.c.portal_id == portal_id
        counts += await _settle(look, *waiting)
        await look.database.write(_note_connection, portal_id, look.now)
    return counts


async def _settle(look: Look, *among: ColumnElement[bool]) -> PlanCounts:
    """Let rows of the ledger follow, page by page."""
    counts, after, full = PlanCounts(), 0, True
    if look.portal_id is not None:
        among = (*among, issuances.c.portal_id == look.portal_id)
    while full:
        rows = await look.database.read(issuances_behind, after, *among, size=AT_A_TIME)
        counts += await _bring_up_to_date(look, await _contradicted(look, rows))
        full = len(rows) == AT_A_TIME
        after = rows[-1][1].issuance_id if rows else after
    return counts


async def _contradicted(look: Look, rows: Sequence[tuple[Key, Issuance]]) -> Collection[Key]:
    """Return the pairs of those rows that change; nothing is written, and no lock is taken for what stays."""
    if not rows:
        return ()
    by_key: dict[Key, list[Issuance]] = {}
    for key, row in rows:
        by_key.setdefault(key, []).append(row)
    awards = await look.database.platform.read(awards_of, by_key, now=look.now)
    counting = await look.deletions.counting(by_key, awards) if look.setup.deletions_may_count else ()
    of_platform = OfPlatform(awards=awards, portals=look.portals)
    pairs = pairs_of(by_key, of_platform, look.setup, deletions_count=counting)
    return [key for key, pair in pairs.items() if any(each.changes and each.row for each in decide(pair, now=look.now))]


async def _sweep_integration(look: Look, achievement_id: str) -> PlanCounts:
    """Look at all awards of one achievement, and note that this was done unless it was changed meanwhile."""
    before = await look.database.read(_integration, achievement_id)
    counts = await _settle(look, issuances.c.achievement_id == achievement_id, OPEN)
    place: Key | None = (achievement_id, "")
    while place is not None:
        page = await _next_awards(look, place, within=achievement_id)
        counts += await _bring_up_to_date(look, await _not_standing(look, page.awards))
        place = page.following
    await look.database.write(_note_integration, achievement_id, before, look.now)
    return counts


async def _go_on(look: Look, which: Round, wanted: Sweep) -> PlanCounts:
    """Go on with a round for as many rows as this run has; one of a single portal starts over and is not kept."""
    place, kept = Place(), look.portal_id is None
    if kept:
        place = await look.database.read(place_of, which)
    left = _rows_for_run(place, wanted, now=look.now)
    if wanted.full:
        place = Place(last_round=place.last_round)
    counts, ended = PlanCounts(), False
    while not ended and (left > 0 or wanted.full):
        found, rows, following = await (_next_open if which is Round.OPEN else _next_covered)(look, place)
        counts += await _bring_up_to_date(look, found)
        ended, left = following is None, left - rows
        place = place.moved(rows=rows, after=following)
        if kept:
            await look.database.write(put_place, which, place, now=look.now)
    return counts


_Step = tuple[Collection[Key], int, dict[str, Any] | None]


async def _next_open(look: Look, place: Place) -> _Step:
    rows = await look.database.read(open_behind, place.after_id, size=AT_A_TIME, portal_id=look.portal_id)
    more = len(rows) == AT_A_TIME
    return await _contradicted(look, rows), len(rows), {"after_id": rows[-1][1].issuance_id} if more else None


async def _next_covered(look: Look, place: Place) -> _Step:
    page = await _next_awards(look, (place.after_achievement, place.after_user))
    following = None
    if page.following is not None:
        following = dict(zip(("after_achievement", "after_user"), page.following, strict=True))
    return await _not_standing(look, page.awards), page.rows, following


async def _next_awards(look: Look, after: Key, *, within: str | None = None) -> Page:
    since = look.setup.earliest or look.now
    return await look.database.platform.read(
        page_behind, after, size=AT_A_TIME, now=look.now, since=since, within=within
    )


def _rows_for_run(place: Place, wanted: Sweep, *, now: datetime) -> int:
    since = None if place.moved_at is None else now - place.moved_at
    of_round = max(place.last_round, place.rows_looked_through)
    return rows_for_run(of_round=of_round, since=since, at_least=wanted.at_least)


async def new_pairs(look: Look, *, within: str | None = None) -> AsyncIterator[tuple[Key, Pair]]:
    """Yield the pairs of covered awards for which nothing stands, whole: for a preview, nothing is written."""
    place: Key | None = (within or "", "")
    while place is not None:
        page = await _next_awards(look, place, within=within)
        keys = await _not_standing(look, page.awards)
        rows = await look.database.read(rows_of, keys)
        awards = await look.database.platform.read(awards_of, keys, now=look.now)
        of_platform = OfPlatform(awards=awards, portals=look.portals)
        for found in pairs_of(rows, of_platform, look.setup, deletions_count=()).items():
            yield found
        place = page.following


async def count_due_at_once(database: Database, achievement_id: str, *, now: datetime) -> int:
    """Count the users whom the present integration of an achievement makes due at once: awarded, no badge yet.

    A badge of an earlier template counts, as it does in planning.
    """
    look = await begin(database, now=now)
    due, place = 0, (achievement_id, "") if look.concerns(achievement_id) else None
    while place is not None:
        page = await _next_awards(look, place, within=achievement_id)
        coverage = look.setup.coverages[achievement_id]
        keys = {
            (row.achievement_id, row.user_id)
            for row in page.awards
            if coverage.covers_from <= row.awarded_at <= now and row.achievement_id == achievement_id
        }
        due += len(keys - await database.read(ended_among, keys, badge_template_id=coverage.badge_template_id))
        place = page.following
    return due


def _changed_integrations(connection: Connection) -> list[str]:
    query = select(integrations.c.achievement_id).where(integrations.c.planned_at.is_(None))
    return list(connection.execute(query.order_by(integrations.c.achievement_id)).scalars())


def _integration(connection: Connection, achievement_id: str) -> Row[Any] | None:
    mine = integrations.c.achievement_id == achievement_id
    return connection.execute(select(integrations).where(mine)).one_or_none()


def _note_integration(connection: Connection, achievement_id: str, before: Row[Any] | None, now: datetime) -> None:
    mine = integrations.c.achievement_id == achievement_id
    same = [] if before is None else [integrations.c[n].is_not_distinct_from(getattr(before, n)) for n in _SETTINGS]
    connection.execute(update(integrations).where(mine, *same).values(planned_at=now))


def _newly_connected(connection: Connection, portal_id: str | None) -> list[str]:
    query = select(connections.c.portal_id).where(connections.c.planned_at.is_(None))
    if portal_id is not None:
        query = query.where(connections.c.portal_id == portal_id)
    return list(connection.execute(query).scalars())


def _note_connection(connection: Connection, portal_id: str, now: datetime) -> None:
    connection.execute(update(connections).where(connections.c.portal_id == portal_id).values(planned_at=now))
