"""Reading everything known of one user and one achievement."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from models import directory
from models.by_hand import Request, facts_of_request
from models.database import Database
from models.facts import facts_of
from models.integrations import CredlyIntegration
from models.ledger.tables import BadgeIssuance, IssuanceAttempt
from models.planning.deletions import Deletions
from models.planning.pairs import setup_of
from models.platform.awards import awards_of
from models.platform.people import user_exists
from models.tables import table
from rules.badge_request import Prepared, prepare_request
from rules.choices import EarnedAgain
from rules.facts import IssuanceFacts
from rules.history import Call, History, Integration, LedgerRow

issuances = table(BadgeIssuance)
attempts = table(IssuanceAttempt)


@dataclass(frozen=True, kw_only=True)
class Found:
    """The history, and what would be sent now, which names the person: not for run history."""

    history: History
    would_send: Prepared | None = None


async def history_of(database: Database, *, user_id: str, achievement_id: str, now: datetime) -> Found:
    """Return all that is known; empty where user or achievement are unknown. `now` is UTC."""
    key = (achievement_id, user_id)
    place = await directory.place_of(database, achievement_id)
    awards = (await database.platform.read(awards_of, [key], now=now))[key]
    rows, setup = await database.read(_rows, user_id, achievement_id), await database.read(setup_of)
    deletions = Deletions(database, setup, now=now)
    history = History(
        user_id=user_id,
        achievement_id=achievement_id,
        portal_id=place.portal_id if place else "",
        user_exists=await database.platform.read(user_exists, user_id),
        connected_at=place.connection.connected_at if place and place.connection else None,
        integration=_integration(place.integration) if place and place.integration else None,
        awards=tuple(awards),
        rows=rows,
        connected_portals=setup.connected,
        deletions_count=await deletions.counting({key: rows}, {key: awards}),
    )
    facts = await _facts(database, history, now)
    prepared = prepare_request(facts, now=now) if facts else None
    if not isinstance(prepared, Prepared):
        return Found(history=replace(history, cannot_be_sent=prepared))
    return Found(history=replace(history, present_fingerprint=prepared.request.fingerprint), would_send=prepared)


async def _facts(database: Database, history: History, now: datetime) -> IssuanceFacts | None:
    """What a run would find now: of the row, or of an award that has none yet."""
    integration, row = history.integration, history.row
    if row is not None:
        return (await facts_of(database, [row.issuance_id], now=now))[0]
    if integration is None or not history.pair.valid_awards:
        return None
    request = Request(
        achievement_id=history.achievement_id,
        user_id=history.user_id,
        portal_id=history.portal_id,
        badge_template_id=integration.badge_template_id,
    )
    return await facts_of_request(database, request, now=now)


def _rows(connection: Connection, user_id: str, achievement_id: str) -> tuple[LedgerRow, ...]:
    own = [issuances.c[name] for name in _OF_ROW]
    query = (
        select(issuances.c.id, *own)
        .where(issuances.c.achievement_id == achievement_id, issuances.c.user_id == user_id)
        .order_by(issuances.c.id)
    )
    found = list(connection.execute(query))
    calls = _calls(connection, [row.id for row in found])
    return tuple(_row(row, calls.get(row.id, [])) for row in found)


def _row(row: Any, calls: Sequence[Call]) -> LedgerRow:
    values = {name: getattr(row, name) for name in _OF_ROW}
    return LedgerRow(issuance_id=row.id, calls=tuple(calls), **values)


def _calls(connection: Connection, issuance_ids: Sequence[int]) -> dict[int, list[Call]]:
    own = [attempts.c[name] for name in _OF_CALL]
    query = (
        select(attempts.c.issuance_id, attempts.c.duration_ms, *own)
        .where(attempts.c.issuance_id.in_(issuance_ids))
        .order_by(attempts.c.started_at, attempts.c.id)
    )
    found: dict[int, list[Call]] = {}
    for row in connection.execute(query):
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
        replaces=stored.earned_again is EarnedAgain.REPLACE,
    )


_OF_ROW = tuple(name for name in LedgerRow.__dataclass_fields__ if name not in ("issuance_id", "calls"))
_OF_CALL = tuple(name for name in Call.__dataclass_fields__ if name != "duration")
