"""Planning: bringing the ledger up to what the platform says is owed, at a cost that follows what is new.

An award is looked at when its moment has come, when its integration is new or has changed, and in rounds through
everything, a bounded part in each run: so a row that arrives late or back-dated is found within a day, and in the very
next run where the platform is small (docs/decisions/0005-recent-awards-and-rounds.md).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.database import Database
from models.integrations import CredlyIntegration
from models.ledger import BadgeIssuance
from models.owed import Slice, after, awards, is_owed, slice_of, take_up
from models.planning.progress import Place, Round, place_of, put_place
from models.platform.tables import Achievement
from models.tables import table
from models.waiting import OPEN, restore_cancelled_replacements, settle, settle_newly_connected, to_be_settled
from rules.rounds import rows_for_run

issuances = table(BadgeIssuance)
integrations = table(CredlyIntegration)
achievements = table(Achievement)

AT_A_TIME = 10_000  # rows of a round that are looked at in one statement
_BY_ID = "INDEXED BY ix_badge_issuances_open"
_SETTINGS = ("badge_template_id", "enabled_at", "issue_since", "earned_again")


@dataclass(frozen=True, kw_only=True)
class PlanCounts:
    """How many issuances planning entered, took up again, cancelled and unblocked."""

    entered: int = 0
    taken_up_again: int = 0
    cancelled: int = 0
    unblocked: int = 0

    def __add__(self, other: "PlanCounts") -> "PlanCounts":
        return PlanCounts(**{name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What one run goes through: at the moment `now` (UTC), of one portal or all; everything if `full`."""

    now: datetime
    portal_id: str | None = None
    at_least: int = 50_000
    recent: timedelta = timedelta(days=7)
    full: bool = False


async def plan(connection: AsyncConnection, *, now: datetime, portal_id: str | None = None) -> PlanCounts:
    """Enter the awards whose moment has come since the last run, and settle what waited for a new connection.

    Runs in the caller's write transaction. `now` is UTC. Safe to run at any time and by several at once: the ledger's
    unique constraint decides. A plan of one portal leaves the place of all where it is.
    """
    await restore_cancelled_replacements(connection, now=now, portal_id=portal_id)
    settled = await settle_newly_connected(connection, now=now, portal_id=portal_id)
    place = await place_of(connection, Round.RECENT)
    newer = slice_of(awards.c.awarded_at > min(place.moved_at or now, now), awards.c.awarded_at <= now)
    counts = PlanCounts(cancelled=settled.cancelled, unblocked=settled.unblocked)
    counts += await _taken_up(connection, Slice(awards=newer, now=now, portal_id=portal_id))
    if portal_id is None:
        await put_place(connection, Round.RECENT, place, now=now)
    return counts


async def sweep(database: Database, wanted: Sweep) -> PlanCounts:
    """Look for what `plan` cannot see: what changed settings make owed, and what was written down late.

    Goes through integrations that are new or changed, the newest awards of the last days, and a bounded part of
    everything, reading only; where something is owed, a short transaction writes it. What is done stays done where
    something fails, and the next run goes on behind it.
    """
    counts = PlanCounts()
    for achievement_id in await _changed_integrations(database, wanted):
        counts += await _sweep_integration(database, achievement_id, wanted)
    counts += await _go_on(database, Round.OPEN, wanted)
    recent = slice_of(
        awards.c.awarded_at > wanted.now - wanted.recent, awards.c.awarded_at <= wanted.now, newest=wanted.at_least
    )
    counts += await _found_owed(database, Slice(awards=recent, now=wanted.now, portal_id=wanted.portal_id))
    return counts + await _go_on(database, Round.AWARDS, wanted)


async def _taken_up(connection: AsyncConnection, part: Slice) -> PlanCounts:
    if not await is_owed(connection, part):
        return PlanCounts()
    entered, again = await take_up(connection, part)
    return PlanCounts(entered=entered, taken_up_again=again)


async def _found_owed(database: Database, part: Slice) -> PlanCounts:
    """Look without the write lock, and take up what is owed if anything is."""
    async with database.reading() as connection:
        owed = await is_owed(connection, part)
    if not owed:
        return PlanCounts()
    async with database.writing() as connection:
        return await _taken_up(connection, part)


async def _found_contradicted(database: Database, wanted: Sweep, *among: Any, hint: str = "") -> PlanCounts:
    """Look without the write lock, and settle what has to be."""
    if wanted.portal_id is not None:
        among = (*among, issuances.c.portal_id == wanted.portal_id)
    async with database.reading() as connection:
        found = await to_be_settled(connection, *among, now=wanted.now, hint=hint)
    if not found.ids:
        return PlanCounts()
    async with database.writing() as connection:
        settled = await settle(connection, found)
    return PlanCounts(cancelled=settled.cancelled, unblocked=settled.unblocked)


async def _changed_integrations(database: Database, wanted: Sweep) -> list[str]:
    query = select(integrations.c.achievement_id).where(integrations.c.planned_at.is_(None))
    if wanted.portal_id is not None:
        query = query.join(achievements, achievements.c.id == integrations.c.achievement_id)
        query = query.where(achievements.c.portal_id == wanted.portal_id)
    async with database.reading() as connection:
        return list((await connection.execute(query.order_by(integrations.c.achievement_id))).scalars())


async def _sweep_integration(database: Database, achievement_id: str, wanted: Sweep) -> PlanCounts:
    """Look at all awards of one achievement, and note that this was done unless it was changed meanwhile."""
    mine = integrations.c.achievement_id == achievement_id
    async with database.reading() as connection:
        before = (await connection.execute(select(integrations).where(mine))).one_or_none()
    counts = await _found_contradicted(database, wanted, issuances.c.achievement_id == achievement_id)
    step: Step | None = None
    while step is None or step.following is not None:
        place = Place(after_achievement=achievement_id) if step is None else step.following
        step = await _next_awards(database, place or Place(), within=achievement_id)
        counts += await _found_owed(database, Slice(awards=slice_of(step.part), now=wanted.now))
    same = [] if before is None else [integrations.c[n].is_not_distinct_from(getattr(before, n)) for n in _SETTINGS]
    async with database.writing() as connection:
        await connection.execute(update(integrations).where(mine, *same).values(planned_at=wanted.now))
    return counts


async def _go_on(database: Database, which: Round, wanted: Sweep) -> PlanCounts:
    """Go on with a round for as many rows as this run has; one of a single portal begins anew and is not kept."""
    place, kept = Place(), wanted.portal_id is None
    if kept:
        async with database.reading() as connection:
            place = await place_of(connection, which)
    left = _rows_for_run(place, wanted)
    if wanted.full:
        place = Place(last_round=place.last_round)
    counts, ended = PlanCounts(), False
    while not ended and (left > 0 or wanted.full):
        if which is Round.OPEN:
            step = await _next_issuances(database, place)
            counts += await _found_contradicted(database, wanted, step.part, hint=_BY_ID)
        else:
            step = await _next_awards(database, place)
            part = Slice(awards=slice_of(step.part), now=wanted.now, portal_id=wanted.portal_id)
            counts += await _found_owed(database, part)
        ended, left = step.following is None, left - step.rows
        place = step.following or place.moved(rows=step.rows, after=None)
        if kept:
            async with database.writing() as connection:
                await put_place(connection, which, place, now=wanted.now)
    return counts


def _rows_for_run(place: Place, wanted: Sweep) -> int:
    since = None if place.moved_at is None else wanted.now - place.moved_at
    of_round = max(place.last_round, place.rows_looked_through)
    return rows_for_run(of_round=of_round, since=since, at_least=wanted.at_least)


@dataclass(frozen=True, kw_only=True)
class Step:
    """The next rows of a round: which, how many, and the place behind them; None where the round ends."""

    part: ColumnElement[bool]
    rows: int
    following: Place | None


async def _next_awards(database: Database, place: Place, *, within: str | None = None) -> Step:
    """Return the next awards in the order of achievement and user."""
    order = (awards.c.achievement_id, awards.c.user_id)
    behind = after(place.after_achievement, place.after_user)
    if within is not None:
        behind = and_(awards.c.achievement_id == within, awards.c.user_id > place.after_user)
    query = select(*order).where(behind).order_by(*order).offset(AT_A_TIME - 1).limit(1)
    async with database.reading() as connection:
        last = (await connection.execute(query)).one_or_none()
        if last is None:
            return Step(part=behind, rows=await _count(connection, awards, behind), following=None)
    reached = {"after_achievement": last.achievement_id, "after_user": last.user_id}
    upto = and_(behind, ~after(last.achievement_id, last.user_id))
    return Step(part=upto, rows=AT_A_TIME, following=place.moved(rows=AT_A_TIME, after=reached))


async def _next_issuances(database: Database, place: Place) -> Step:
    """Return the next open issuances in the order of their ids."""
    behind = and_(issuances.c.id > place.after_id, OPEN)
    query = select(issuances.c.id).where(behind).order_by(issuances.c.id).offset(AT_A_TIME - 1).limit(1)
    async with database.reading() as connection:
        last = await connection.scalar(query.with_hint(issuances, _BY_ID, "sqlite"))
        if last is None:
            return Step(part=behind, rows=await _count(connection, issuances, behind), following=None)
    upto = and_(behind, issuances.c.id <= last)
    return Step(part=upto, rows=AT_A_TIME, following=place.moved(rows=AT_A_TIME, after={"after_id": last}))


async def _count(connection: AsyncConnection, of: Table, condition: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(of).where(condition)
    hinted = query.with_hint(issuances, _BY_ID, "sqlite") if of is issuances else query
    return int(await connection.scalar(hinted) or 0)
