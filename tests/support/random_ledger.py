"""A ledger of many random issuances around midnights in UTC and around the days on which clocks change."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert

from models.database import Database
from models.ledger.tables import AttemptKind, AttemptOutcome, BadgeIssuance, IssuanceAttempt
from models.tables import table
from rules.ledger.reasons import BLOCKED_REASONS, CANCELLED_REASONS, DATA_REASONS, Reason
from rules.ledger.states import IssuanceState, Origin

# In Europe and in the United States, forwards and back; 29 February; the end of a year.
DAYS = ("2026-03-08", "2026-03-29", "2026-10-25", "2026-11-01", "2028-02-29", "2026-12-31")
PLACES = {"forklift": "northwind", "crane": "northwind", "boat": "aeolus"}
_REASONS: dict[IssuanceState, list[Reason | None]] = {
    IssuanceState.BLOCKED: [*sorted(BLOCKED_REASONS)],
    IssuanceState.FAILED: [*sorted(DATA_REASONS)],
    IssuanceState.CANCELLED: [*sorted(CANCELLED_REASONS)],
    IssuanceState.PENDING: [None, Reason.THROTTLED, Reason.AWARDED_IN_FUTURE],
}


async def fill(database: Database, *, rows: int, seed: int) -> None:
    """Put so many issuances into the ledger, each with up to three calls."""
    chance = random.Random(seed)  # noqa: S311 - the same rows each time
    issuances = [_issuance(chance, number) for number in range(1, rows + 1)]
    attempts = [
        _attempt(chance, issuance["id"], issuance["planned_at"])
        for issuance in issuances
        for _ in range(chance.randint(0, 3))
    ]

    def put(connection: Connection) -> None:
        if issuances:
            connection.execute(insert(table(BadgeIssuance)), issuances)
        if attempts:
            connection.execute(insert(table(IssuanceAttempt)), attempts)

    await database.write(put)


def a_moment(chance: random.Random) -> datetime:
    """A moment near one of the days, as a rule near its midnight."""
    midnight = datetime.fromisoformat(chance.choice(DAYS)).replace(tzinfo=UTC)
    near = chance.choice([timedelta(microseconds=1), timedelta(seconds=1), timedelta(minutes=59), timedelta(hours=13)])
    return midnight + chance.choice([-1, 0, 1]) * near


def _issuance(chance: random.Random, number: int) -> dict[str, Any]:
    state = chance.choice(list(IssuanceState))
    achievement = chance.choice(list(PLACES))
    entered = a_moment(chance)
    later = entered + chance.choice([-1, 1, 60, 3600, 90_000, 900_000]) * timedelta(seconds=1)
    awarded = chance.choice([None, a_moment(chance), entered])
    issued, issuing = state is IssuanceState.ISSUED, state is IssuanceState.ISSUING
    return {
        "id": number,
        "achievement_id": achievement,
        "portal_id": PLACES[achievement],
        "user_id": f"user-{number}",
        "badge_template_id": f"template-{chance.randint(1, 2)}",
        "awarded_at": awarded,
        "origin": Origin.AWARD if awarded else Origin.BY_HAND,
        "state": state,
        "reason": chance.choice(_REASONS.get(state, [None])),
        "planned_at": entered,
        "not_before": entered,
        "updated_at": later,
        "looked_again_at": entered,
        "recorded_at": later if issued else None,
        "issued_at": later if issued else None,
        "credly_badge_id": f"badge-{number}" if issued else None,
        "credly_state": chance.choice([None, "pending", "accepted", "revoked"]),
        "audited_at": chance.choice([None, entered, later, later + timedelta(days=1)]),
        "claim": "claim" if issuing else None,
        "lease_until": later if issuing else None,
        "attempts": 1,
        "adopted": False,
        "evidence_sent": "",
        "evidence_left_out": "",
        "flow_run_id": chance.choice([None, "run-1", "run-2"]),
    }


def _attempt(chance: random.Random, issuance: int, entered: datetime) -> dict[str, Any]:
    return {
        "issuance_id": issuance,
        "kind": chance.choice(list(AttemptKind)),
        "outcome": chance.choice(list(AttemptOutcome)),
        "started_at": entered + timedelta(seconds=chance.randint(0, 86_400)),
        "duration_ms": chance.randint(1, 30_000),
        "field_names": "",
        "flow_run_id": chance.choice([None, "run-1", "run-2", "run-3"]),
    }
