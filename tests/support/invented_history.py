"""A ledger with a history of many transitions, each a legal one, over a year."""

import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert

from models.database import Database
from models.ledger.history import IssuanceTransition
from models.ledger.tables import AttemptKind, AttemptOutcome, BadgeIssuance, IssuanceAttempt
from models.setup.history import SettingsChange
from models.setup.operator_runs import OperatorRun
from models.tables import table
from rules.ledger.reasons import BLOCKED_REASONS, CANCELLED_REASONS, FAILED_REASONS, Reason
from rules.ledger.states import IssuanceState, Origin
from rules.ledger.transitions import Transition

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
PLACES = {"forklift": "northwind", "crane": "northwind", "boat": "aeolus"}
_P, _G, _I = IssuanceState.PENDING, IssuanceState.ISSUING, IssuanceState.ISSUED
_B, _F, _C = IssuanceState.BLOCKED, IssuanceState.FAILED, IssuanceState.CANCELLED
# By state: the transition, the state before as the history has it, and the state afterwards.
_NEXT: dict[IssuanceState, list[tuple[Transition, IssuanceState, IssuanceState]]] = {
    _P: [
        *[(Transition.ISSUE, _G, _I)] * 6,
        *[(Transition.FAIL, _G, _F)] * 2,
        (Transition.DEFER, _G, _P),
        (Transition.BLOCK, _P, _B),
        (Transition.CANCEL, _P, _C),
    ],
    _B: [*[(Transition.UNBLOCK, _B, _P)] * 3, (Transition.CANCEL, _B, _C)],
    _F: [*[(Transition.RETRY, _F, _P)] * 3, (Transition.CANCEL, _F, _C)],
    _I: [(Transition.REVOKE, _I, _C), (Transition.REPLACE, _I, _P)],
    _C: [(Transition.REVIVE, _C, _P)],
}
_REASONS: dict[IssuanceState, list[Reason | None]] = {
    _B: [*sorted(BLOCKED_REASONS)],
    _F: [*sorted(FAILED_REASONS)],
    _C: [*sorted(CANCELLED_REASONS)],
    _P: [None, Reason.THROTTLED],
}
_OPERATORS = {"run-1": "op-7", "run-2": None}


async def invent(database: Database, *, rows: int, seed: int) -> None:
    """Put so many issuances with their histories, a call for each badge, and settings that change, into the ledger."""
    chance = random.Random(seed)  # noqa: S311 - the same rows each time
    histories = [list(_history(chance, number)) for number in range(1, rows + 1)]
    issuances = [_issuance(chance, history) for history in histories]
    attempts = [_attempt(each) for history in histories for each in history if each["transition"] is Transition.ISSUE]

    def put(connection: Connection) -> None:
        connection.execute(insert(table(OperatorRun)), [_operator(*each) for each in _OPERATORS.items()])
        connection.execute(insert(table(BadgeIssuance)), issuances)
        connection.execute(delete(table(IssuanceTransition)))  # those of the trigger
        # In the order in which they happened, as the ledger writes them.
        connection.execute(insert(table(IssuanceTransition)), sorted((e for h in histories for e in h), key=_moment))
        connection.execute(insert(table(IssuanceAttempt)), attempts)
        connection.execute(insert(table(SettingsChange)), list(_settings()))

    await database.write(put)


def _moment(entry: Mapping[str, Any]) -> datetime:
    moment: datetime = entry["at"]
    return moment


def _operator(run: str, operator: str | None) -> dict[str, Any]:
    return {"flow_run_id": run, "creator": "USER: somebody", "operator_id": operator or "", "at": BEGIN}


def _history(chance: random.Random, number: int) -> Iterator[dict[str, Any]]:
    at = BEGIN + timedelta(seconds=chance.randint(0, 300 * 86_400))
    template = f"template-{chance.randint(1, 2)}"
    entry: dict[str, Any] = {"issuance_id": number, "badge_template_id": template, "reconstructed": number % 10 == 0}
    state = chance.choice([_P, _P, _P, _B])
    if entry["reconstructed"]:
        # As the upgrade to the history wrote them: its entry, and the state of that day without the one before.
        first = {"transition": Transition.ENQUEUE, "from_state": None, "to_state": _P, "reason": None}
        yield entry | first | {"at": at, "flow_run_id": None}
        state = chance.choice([_I, _F, _C, _B])
        last = {"transition": Transition.UNKNOWN, "from_state": None, "to_state": state}
        at += timedelta(hours=1)
        yield entry | last | {"reason": _reason(chance, state), "at": at, "flow_run_id": "run-1"}
    else:
        first = {"transition": Transition.ENQUEUE, "from_state": None, "to_state": state}
        yield entry | first | {"reason": _reason(chance, state), "at": at, "flow_run_id": "run-0"}
    entry = entry | {"reconstructed": False}
    for _ in range(chance.choice([0, 1, 1, 1, 2, 3, 6])):
        transition, before, state = chance.choice(_NEXT[state])
        at += timedelta(seconds=chance.choice([3, 60, 3_599, 40_000, 86_400, 900_000]))
        moved = {"transition": transition, "from_state": before, "to_state": state, "reason": _reason(chance, state)}
        yield entry | moved | {"at": at, "flow_run_id": chance.choice(["run-1", "run-2", None])}


def _reason(chance: random.Random, state: IssuanceState) -> Reason | None:
    return chance.choice(_REASONS.get(state, [None]))


def _issuance(chance: random.Random, history: list[dict[str, Any]]) -> dict[str, Any]:
    first, last = history[0], history[-1]
    number, issued = first["issuance_id"], last["to_state"] is _I
    achievement = chance.choice(list(PLACES))
    return {
        "id": number,
        "achievement_id": achievement,
        "portal_id": PLACES[achievement],
        "user_id": f"user-{number}",
        "badge_template_id": last["badge_template_id"],
        "awarded_at": first["at"] - timedelta(minutes=5),
        "origin": Origin.AWARD,
        "state": last["to_state"],
        "reason": last["reason"],
        "planned_at": first["at"],
        "not_before": first["at"],
        "updated_at": last["at"],
        "looked_again_at": first["at"],
        "recorded_at": last["at"] if issued else None,
        "issued_at": last["at"] if issued else None,
        "credly_badge_id": f"badge-{number}" if issued else None,
        "credly_state": chance.choice(["pending", "accepted"]) if issued else None,
        "audited_at": chance.choice([None, last["at"] + timedelta(days=1)]) if issued else None,
        "attempts": 1,
        "adopted": False,
        "evidence_sent": "",
        "evidence_left_out": "",
        "flow_run_id": last["flow_run_id"],
    }


def _attempt(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "issuance_id": entry["issuance_id"],
        "kind": AttemptKind.ISSUE,
        "outcome": AttemptOutcome.ISSUED,
        "started_at": entry["at"] - timedelta(seconds=2),
        "duration_ms": 1_900,
        "field_names": "",
        "flow_run_id": entry["flow_run_id"],
    }


def _settings() -> Iterator[dict[str, Any]]:
    first = '{"locale": [null, "en"], "badge_template_id": [null, "template-1"], "suppress_notification": [null, true]}'
    connected = '{"calls_per_second": [null, 5.0], "missing_name": [null, ""]}'
    removed = '{"locale": ["en", null], "badge_template_id": ["template-1", null]}'
    changes = [
        ("integration", "forklift", "enabled", 0, first, "run-1"),
        ("integration", "boat", "enabled", 10, first, "run-1"),
        ("connection", "northwind", "connected", 1, connected, None),
        ("integration", "forklift", "changed", 100, '{"locale": ["en", "de"]}', "run-2"),
        ("integration", "forklift", "paused", 150, '{"paused_at": [null, "2026-05-31T00:00:00+00:00"]}', "run-2"),
        ("integration", "forklift", "resumed", 160, '{"paused_at": ["2026-05-31T00:00:00+00:00", null]}', "run-1"),
        ("integration", "boat", "disabled", 200, removed, None),
    ]
    for settings_of, subject, action, days, change, run in changes:
        yield {
            "settings_of": settings_of,
            "subject_id": subject,
            "action": action,
            "at": BEGIN + timedelta(days=days),
            "changes": change,
            "flow_run_id": run,
        }
