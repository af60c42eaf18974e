"""Reading everything known of one user and one achievement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import and_, case, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models import directory
from models.by_hand import Request
from models.facts import facts_of, facts_of_wish
from models.integrations import CredlyIntegration
from models.ledger import BadgeIssuance, IssuanceAttempt
from models.platform.names import achievement_of
from models.platform.people import user_exists
from models.platform.tables import AchievementAward
from models.tables import table
from models.withdrawal import withdrawals, withdrawn
from rules.badge_request import Prepared, prepare_request
from rules.facts import IssuanceFacts
from rules.history import Award, Call, History, Integration, LedgerRow

issuances = table(BadgeIssuance)
attempts = table(IssuanceAttempt)
awards = table(AchievementAward)
_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Found:
    """The history, and what would be sent now, which names the person: not for run history."""

    history: History
    would_send: Prepared | None = None


async def history_of(connection: AsyncConnection, *, user_id: str, achievement_id: str, now: datetime) -> Found:
    """Return all that is known; empty where user or achievement are unknown. `now` is UTC."""
    named = await connection.run_sync(achievement_of, achievement_id)
    place = await connection.run_sync(directory.place_with, named) if named else None
    rows = await _rows(connection, user_id, achievement_id)
    mine = and_(issuances.c.achievement_id == achievement_id, issuances.c.user_id == user_id)
    counts = await withdrawals(connection, mine, now=now)
    history = History(
        user_id=user_id,
        achievement_id=achievement_id,
        portal_id=place.portal_id if place else "",
        user_exists=await connection.run_sync(user_exists, user_id),
        connected_at=place.connection.connected_at if place and place.connection else None,
        integration=_integration(place.integration) if place and place.integration else None,
        awards=await _awards(connection, user_id, achievement_id, now),
        rows=rows,
        deletion_withdraws=bool(counts.by_deletion),
    )
    facts = await _facts(connection, history, now)
    prepared = prepare_request(facts, now=now) if facts else None
    if not isinstance(prepared, Prepared):
        return Found(history=_with(history, cannot_be_sent=prepared))
    return Found(history=_with(history, present_fingerprint=prepared.request.fingerprint), would_send=prepared)


def _with(history: History, **changes: Any) -> History:
    return History(**vars(history) | changes)


async def _facts(connection: AsyncConnection, history: History, now: datetime) -> IssuanceFacts | None:
    """What a run would find now: of the row, or of an award that has none yet."""
    integration, row = history.integration, history.row
    if row is not None:
        return (await connection.run_sync(facts_of, [row.issuance_id], now=now))[0]
    if integration is None or not history.standing_awards:
        return None
    wish = Request(
        achievement_id=history.achievement_id,
        user_id=history.user_id,
        portal_id=history.portal_id,
        badge_template_id=integration.badge_template_id,
    )
    return await facts_of_wish(connection, wish, now=now)


async def _awards(connection: AsyncConnection, user_id: str, achievement_id: str, now: datetime) -> tuple[Award, ...]:
    # PostgreSQL has moments that Python has not: infinity, and years above 9999.
    shown = case((awards.c.withdrawn_at.between(_FIRST, _LAST), awards.c.withdrawn_at))
    query = (
        select(awards.c.id, awards.c.awarded_at, withdrawn(now=now).label("withdrawn"), shown.label("withdrawn_at"))
        .where(awards.c.achievement_id == achievement_id, awards.c.user_id == user_id)
        .order_by(awards.c.awarded_at, awards.c.id)
    )
    return tuple(
        Award(award_id=row.id, awarded_at=row.awarded_at, withdrawn=row.withdrawn, withdrawn_at=row.withdrawn_at)
        for row in await connection.execute(query)
    )


async def _rows(connection: AsyncConnection, user_id: str, achievement_id: str) -> tuple[LedgerRow, ...]:
    own = [issuances.c[name] for name in _OF_ROW]
    query = (
        select(issuances.c.id, *own)
        .where(issuances.c.achievement_id == achievement_id, issuances.c.user_id == user_id)
        .order_by(issuances.c.id)
    )
    found = list(await connection.execute(query))
    calls = await _calls(connection, [row.id for row in found])
    return tuple(_row(row, calls.get(row.id, [])) for row in found)


def _row(row: Any, calls: Sequence[Call]) -> LedgerRow:
    values = {name: getattr(row, name) for name in _OF_ROW}
    return LedgerRow(issuance_id=row.id, calls=tuple(calls), **values)


async def _calls(connection: AsyncConnection, issuance_ids: Sequence[int]) -> dict[int, list[Call]]:
    own = [attempts.c[name] for name in _OF_CALL]
    query = (
        select(attempts.c.issuance_id, attempts.c.duration_ms, *own)
        .where(attempts.c.issuance_id.in_(issuance_ids))
        .order_by(attempts.c.started_at, attempts.c.id)
    )
    found: dict[int, list[Call]] = {}
    for row in await connection.execute(query):
        values = {name: getattr(row, name) for name in _OF_CALL}
        found.setdefault(row.issuance_id, []).append(Call(duration=timedelta(milliseconds=row.duration_ms), **values))
    return found


def _integration(stored: CredlyIntegration) -> Integration:
    return Integration(
        badge_template_id=stored.badge_template_id,
        enabled_at=stored.enabled_at,
        issue_since=stored.issue_since,
        paused_at=stored.paused_at,
        held_at=stored.held_at,
    )


_OF_ROW = tuple(name for name in LedgerRow.__dataclass_fields__ if name not in ("issuance_id", "calls"))
_OF_CALL = tuple(name for name in Call.__dataclass_fields__ if name != "duration")
