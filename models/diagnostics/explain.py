"""Reads everything about one user and one achievement, for the explanation page."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from models.database import Database
from models.ledger.conditions import is_outstanding
from models.ledger.history import IssuanceTransition
from models.ledger.issuance_data import facts_of
from models.ledger.manual import ManualIssue, facts_of_request
from models.ledger.tables import BadgeIssuance, IssuanceAttempt
from models.planning.deletions import Deletions
from models.planning.moved import moved_to
from models.planning.pairs import setup_of
from models.platform.awards import Key, awards_of, awards_without_id
from models.platform.people import user_exists
from models.setup import lookups as lookups
from models.setup.history import SettingsChange
from models.setup.operator_runs import OperatorRun
from models.setup.tables import CredlyIntegration
from models.tables import table
from rules.badge.issuance_data import IssuanceFacts
from rules.badge.names import name_digest
from rules.badge.request import Prepared, prepare_request
from rules.explain.diagnosis import STANDING
from rules.explain.history import Call, History, Integration, LedgerRow, Operator, SettingsEntry, TransitionEntry
from rules.ledger.eligibility import Award, Coverage
from rules.ledger.reasons import AwardFault, UnusableAward
from rules.ledger.settings_changes import SettingsOf

issuances = table(BadgeIssuance)
attempts = table(IssuanceAttempt)
history = table(IssuanceTransition)
settings = table(SettingsChange)
runs = table(OperatorRun)


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The history, and the request that would be sent now, which names the user: not for run history."""

    history: History
    would_send: Prepared | None = None


async def history_of(database: Database, *, user_id: str, achievement_id: str, now: datetime) -> Explanation:
    """Return the history; empty if the user or the achievement is unknown. `now` is UTC."""
    key = (achievement_id, user_id)
    achievement = await lookups.achievement_setup(database, achievement_id)
    awards = (await database.platform.read(awards_of, [key], now=now))[key]
    rows, setup = await database.read(_rows, user_id, achievement_id), await database.read(setup_of)
    deletions = Deletions(database, setup, now=now)
    history = History(
        user_id=user_id,
        achievement_id=achievement_id,
        portal_id=achievement.portal_id if achievement else "",
        user_exists=await database.platform.read(user_exists, user_id),
        connected_at=achievement.connection.connected_at if achievement and achievement.connection else None,
        integration=_integration(achievement.integration if achievement else None, setup.coverages.get(achievement_id)),
        awards=tuple(awards),
        rows=rows,
        settings_changes=await database.read(
            _settings_changes,
            achievement_id,
            {row.portal_id for row in rows} | ({achievement.portal_id} if achievement else set()),
        ),
        connected_portals=setup.connected,
        deleted=await deletions.deleted({key: rows}, {key: awards}),
        moved=(await moved_to(database, {key: awards}, [key], now=now)).get(key),
        fault=await _fault(database, key, achievement, awards),
    )
    facts = await _facts(database, history, now)
    prepared = prepare_request(facts, now=now) if facts else None
    if not isinstance(prepared, Prepared):
        return Explanation(history=replace(history, cannot_be_sent=prepared))
    history = replace(history, present_fingerprint=prepared.request.fingerprint)
    # Of a badge that ended at Credly no name is read: it is not replaced.
    if facts is not None and history.row is not None and history.row.credly_state in STANDING:
        digest = name_digest(facts.issuance_id, facts.first_name, facts.last_name)
        history = replace(history, names={facts.issuance_id: digest} if digest else {})
    return Explanation(history=history, would_send=prepared)


async def _fault(
    database: Database, key: Key, achievement: lookups.AchievementSetup | None, awards: Sequence[Award]
) -> AwardFault | None:
    nameless = frozenset[UnusableAward]() if awards else await database.platform.read(awards_without_id, {key})
    if nameless:
        return AwardFault.WITHOUT_ID
    return AwardFault.WITHOUT_PORTAL if achievement and not achievement.portal_id else None


async def _facts(database: Database, history: History, now: datetime) -> IssuanceFacts | None:
    integration, row = history.integration, history.row
    if row is not None:
        return (await facts_of(database, [row.issuance_id], now=now))[0]
    if integration is None or not history.pair.valid_awards:
        return None
    request = ManualIssue(
        achievement_id=history.achievement_id,
        user_id=history.user_id,
        portal_id=history.portal_id,
        badge_template_id=integration.coverage.badge_template_id,
    )
    return await facts_of_request(database, request, now=now)


def _rows(connection: Connection, user_id: str, achievement_id: str) -> tuple[LedgerRow, ...]:
    own = [issuances.c[name] for name in _OF_ROW]
    query = (
        select(issuances.c.id, is_outstanding().label("outstanding"), *own)
        .where(issuances.c.achievement_id == achievement_id, issuances.c.user_id == user_id)
        .order_by(issuances.c.id)
    )
    found = list(connection.execute(query))
    ids = [row.id for row in found]
    calls, changes = _calls(connection, ids), _transitions(connection, ids)
    return tuple(
        LedgerRow(
            issuance_id=row.id,
            transitions=tuple(changes.get(row.id, [])),
            calls=tuple(calls.get(row.id, [])),
            **{name: getattr(row, name) for name in (*_OF_ROW, "outstanding")},
        )
        for row in found
    )


def _transitions(connection: Connection, issuance_ids: Sequence[int]) -> dict[int, list[TransitionEntry]]:
    own = [history.c[name] for name in _OF_TRANSITION]
    query = (
        select(history.c.issuance_id, *_OPERATOR, *own)
        .outerjoin(runs, runs.c.flow_run_id == history.c.flow_run_id)
        .where(history.c.issuance_id.in_(issuance_ids))
        .order_by(history.c.id)
    )
    found: dict[int, list[TransitionEntry]] = {}
    for row in connection.execute(query):
        values = {name: getattr(row, name) for name in _OF_TRANSITION}
        found.setdefault(row.issuance_id, []).append(TransitionEntry(operator=_operator(row), **values))
    return found


def _settings_changes(
    connection: Connection, achievement_id: str, portal_ids: Collection[str]
) -> tuple[SettingsEntry, ...]:
    own = [settings.c[name] for name in (*_OF_SETTINGS, "changes")]
    of_integration = and_(settings.c.settings_of == SettingsOf.INTEGRATION, settings.c.subject_id == achievement_id)
    of_connection = and_(settings.c.settings_of == SettingsOf.CONNECTION, settings.c.subject_id.in_(portal_ids))
    query = (
        select(*_OPERATOR, *own)
        .outerjoin(runs, runs.c.flow_run_id == settings.c.flow_run_id)
        .where(or_(of_integration, of_connection))
        .order_by(settings.c.id)
    )
    return tuple(
        SettingsEntry(
            operator=_operator(row),
            changes={name: tuple(pair) for name, pair in json.loads(row.changes).items()},
            **{name: getattr(row, name) for name in _OF_SETTINGS},
        )
        for row in connection.execute(query)
    )


def _operator(row: Any) -> Operator | None:
    return None if row.creator is None else Operator(creator=row.creator, operator_id=row.operator_id)


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


def _integration(stored: CredlyIntegration | None, coverage: Coverage | None) -> Integration | None:
    if stored is None or coverage is None:  # not there, or removed meanwhile
        return None
    return Integration(
        coverage=coverage, enabled_at=stored.enabled_at, paused_at=stored.paused_at, held_at=stored.held_at
    )


_OPERATOR = [runs.c.creator, runs.c.operator_id]
_READ_SEPARATELY = ("issuance_id", "calls", "transitions", "changes", "operator", "outstanding")
_OF_ROW = tuple(name for name in LedgerRow.__dataclass_fields__ if name not in _READ_SEPARATELY)
_OF_TRANSITION = tuple(name for name in TransitionEntry.__dataclass_fields__ if name not in _READ_SEPARATELY)
_OF_SETTINGS = tuple(name for name in SettingsEntry.__dataclass_fields__ if name not in _READ_SEPARATELY)
_OF_CALL = tuple(name for name in Call.__dataclass_fields__ if name != "duration")
