"""Records the results of claimed issuances and the calls that were made for them.

Recording requires the claim token, so that a run which lost its lease cannot overwrite the result of another run.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, Connection, and_, bindparam, case, func, insert, null, or_, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from models.database import Database
from models.ledger import transitions
from models.ledger.tables import LONGEST_STATE, AttemptKind, AttemptOutcome, BadgeIssuance, IssuanceAttempt
from models.tables import table
from rules.ledger.outcome import Outcome, failed
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState

issuances = table(BadgeIssuance)
attempts = table(IssuanceAttempt)


@dataclass(frozen=True, kw_only=True)
class RunIds:
    """The Prefect runs that wrote a row, so that the ledger leads to the run history and back."""

    flow_run_id: str | None = None
    task_run_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One call made to Credly, without personal data."""

    issuance_id: int
    kind: AttemptKind
    outcome: AttemptOutcome
    started_at: datetime
    duration: timedelta
    status: int | None = None
    code: str | None = None
    credly_message: str | None = None
    request_id: str | None = None
    credly_request_id: str | None = None
    request_fingerprint: str | None = None
    field_names: str = ""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What was sent, stored with the result: the fingerprint and the kinds of evidence, no values."""

    fingerprint: str
    issued_at: datetime
    evidence_sent: str
    evidence_left_out: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of one claimed issuance, its claim token, and the calls that were made for it.

    `name_digest` is of the name on the badge.
    """

    issuance_id: int
    outcome: Outcome
    token: str
    now: datetime
    runs: RunIds
    calls: Sequence[Attempt] = ()
    sent: Sent | None = None
    name_digest: str | None = field(default=None, repr=False)


def record(connection: Connection, result: Result) -> Outcome | None:
    """Write the outcome of a claimed issuance, and its calls; return the outcome, or None if the claim is lost.

    The calls are recorded in either case. A badge belongs to one issuance: if another one has adopted the badge that a
    look-up found, this one is looked up again; if another one has the badge of Credly's response, this one fails.
    """
    keep_calls(connection, result.calls, result.runs)
    badge = result.outcome.badge
    if badge is None:
        return _write_outcome(connection, result.outcome, result)
    try:
        if not (result.outcome.adopted and owned_by_others(connection, result.issuance_id, [badge.id])):
            # A savepoint: after a violated constraint PostgreSQL rejects every other statement of the transaction.
            with connection.begin_nested():
                return _write_outcome(connection, result.outcome, result)
    except IntegrityError:  # another run has recorded the same badge since
        if not owned_by_others(connection, result.issuance_id, [badge.id]):
            raise
    if result.outcome.adopted:
        again = Outcome(state=IssuanceState.PENDING, reason=Reason.ANSWER_UNCLEAR, uses_attempt=False, unclear=True)
        return _write_outcome(connection, again, result)
    # Unclear, because this issuance's own badge may have been created: a retry begins with a look-up.
    return _write_outcome(connection, failed(Reason.DUPLICATE_ELSEWHERE, unclear=True), result)


def record_together(connection: Connection, results: Sequence[Result]) -> list[Outcome | None]:
    """Record several results as `record` does, in fewer statements; return the outcomes in their order.

    Raises:
        IntegrityError: two of them have one badge, or another run has recorded one of these badges since. Record each
            in a transaction of its own.
    """
    # Adopted badges need the check and the savepoint of `record`; the others are written in three statements.
    made = [result for result in results if not result.outcome.adopted]
    held = {
        row.id: row.claim for row in connection.execute(_LOCK_CLAIMED, {"ids": [each.issuance_id for each in made]})
    }
    kept = [result for result in made if held.get(result.issuance_id) == result.token]
    if kept:
        connection.execute(_WRITE_OUTCOME, [_outcome_parameters(result.outcome, result) for result in kept])
    _insert_calls(connection, [_attempt_values(call, result.runs) for result in made for call in result.calls])
    written = {result.issuance_id: result.outcome for result in kept}
    return [
        record(connection, result) if result.outcome.adopted else written.get(result.issuance_id) for result in results
    ]


def keep_calls(connection: Connection, calls: Sequence[Attempt], runs: RunIds) -> None:
    """Record calls that were made for issuances, without an outcome."""
    _insert_calls(connection, [_attempt_values(call, runs) for call in calls])


def _insert_calls(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(_INSERT_CALLS, rows)


def _write_outcome(connection: Connection, outcome: Outcome, result: Result) -> Outcome | None:
    # No row matches if the claim was lost.
    written = connection.execute(_WRITE_OUTCOME, _outcome_parameters(outcome, result))
    return outcome if written.rowcount == 1 else None


def _new_value(column: str) -> BindParameter[Any]:
    return bindparam(f"new_{column}", type_=issuances.c[column].type)


def _outcome_statement() -> Any:
    # One statement for every outcome, so that results of different outcomes are one executemany. A parameter that an
    # outcome does not set leaves its column unchanged.
    columns = issuances.c
    has_badge = _new_value("credly_badge_id").is_not(None)
    # What is known of an earlier badge at Credly does not hold for the new one.
    was_read = or_(columns.credly_state.is_not(None), _new_value("adopted"))
    given = ("reason", "credly_message", "updated_at", "flow_run_id", "task_run_id")
    optional = ("not_before", "request_fingerprint", "evidence_sent", "evidence_left_out")
    with_badge = ("credly_badge_id", "issued_at", "recorded_at")
    keeps_open: BindParameter[bool | None] = bindparam("keeps_open", type_=columns.former.type)
    held = and_(columns.id == bindparam("issuance"), columns.claim == bindparam("token"))
    return (
        transitions.recording()
        .where(held)
        .values(
            {name: _new_value(name) for name in given}
            | {name: func.coalesce(_new_value(name), columns[name]) for name in (*optional, *with_badge)}
            | {name: case((has_badge, _new_value(name)), else_=columns[name]) for name in _OF_BADGE}
            | {
                "attempts": columns.attempts + bindparam("used", type_=columns.attempts.type),
                "unclear_at": case(
                    (has_badge, null()),
                    (bindparam("settled", type_=columns.former.type), _new_value("unclear_at")),
                    else_=func.coalesce(_new_value("unclear_at"), columns.unclear_at),
                ),
                "sent_to": case((func.coalesce(keeps_open, columns.unclear_at.is_not(None)), columns.sent_to)),
                "issued_by": case((has_badge, columns.sent_to), else_=columns.issued_by),
                "replaces_badge_id": case((has_badge, null()), else_=columns.replaces_badge_id),
                "sent_at": case((has_badge, null()), else_=columns.sent_at),
                "credly_state": case(
                    (and_(has_badge, was_read), _new_value("credly_state")), else_=columns.credly_state
                ),
            }
        )
    )


def _outcome_parameters(outcome: Outcome, result: Result) -> dict[str, Any]:
    badge, sent, now = outcome.badge, result.sent, result.now
    issued_at = (badge.issued_at or (sent.issued_at if sent else now)) if badge else None
    return {
        "issuance": result.issuance_id,
        "token": result.token,
        "used": int(outcome.uses_attempt),
        **transitions.recorded(outcome.state),
        "new_reason": outcome.reason,
        "new_credly_message": outcome.credly_message,
        "new_updated_at": now,
        "new_flow_run_id": result.runs.flow_run_id,
        "new_task_run_id": result.runs.task_run_id,
        "new_not_before": outcome.not_before,
        "new_unclear_at": now if outcome.unclear else None,
        "settled": outcome.settled,
        "keeps_open": outcome.keeps_call_open,
        "new_request_fingerprint": sent.fingerprint if sent else None,
        "new_evidence_sent": sent.evidence_sent if sent else None,
        "new_evidence_left_out": sent.evidence_left_out if sent else None,
        "new_name_digest": result.name_digest,
        "new_credly_badge_id": badge.id if badge else None,
        "new_badge_url": badge.url if badge else None,
        "new_adopted": outcome.adopted,
        "new_credly_state": badge.state[:LONGEST_STATE] if badge and badge.state else None,
        "new_former_address": outcome.former_address,
        "new_issued_at": issued_at,
        "new_recorded_at": now if badge else None,
    }


def owned_by_others(connection: Connection, issuance_id: int, badge_ids: Sequence[str]) -> set[str]:
    """Return those of Credly's badges that another issuance has or is about to replace."""
    query = select(issuances.c.credly_badge_id, issuances.c.replaces_badge_id).where(
        or_(issuances.c.credly_badge_id.in_(badge_ids), issuances.c.replaces_badge_id.in_(badge_ids)),
        issuances.c.id != issuance_id,
    )
    return {badge_id for row in connection.execute(query) for badge_id in row if badge_id in badge_ids}


def _attempt_values(call: Attempt, runs: RunIds) -> dict[str, Any]:
    return {
        "issuance_id": call.issuance_id,
        "kind": call.kind,
        "outcome": call.outcome,
        "started_at": call.started_at,
        "duration_ms": round(call.duration.total_seconds() * 1000),
        "status": call.status,
        "code": call.code,
        "credly_message": call.credly_message,
        "request_id": call.request_id,
        "credly_request_id": call.credly_request_id,
        "request_fingerprint": call.request_fingerprint,
        "field_names": call.field_names,
        "flow_run_id": runs.flow_run_id,
        "task_run_id": runs.task_run_id,
    }


_OF_BADGE = ("badge_url", "adopted", "former_address", "name_digest")
_WRITE_OUTCOME = _outcome_statement()
_INSERT_CALLS = insert(attempts)
# Locked in the order of ids, as in `claim`.
_LOCK_CLAIMED = (
    select(issuances.c.id, issuances.c.claim)
    .where(issuances.c.id.in_(bindparam("ids", expanding=True)), issuances.c.state == IssuanceState.ISSUING)
    .order_by(issuances.c.id)
    .with_for_update()
)


@dataclass(eq=False)
class _Entry:
    result: Result
    done: bool = False
    recorded: Outcome | None = None


class Recorder:
    """Records results for every slot of a process. A slot continues only after its own result is committed.

    Results that arrive during a transaction are collected for the next one: under low load each has a transaction of
    its own, under high load they share its cost.
    """

    def __init__(self) -> None:
        self._waiting: list[_Entry] = []
        self._transaction = asyncio.Lock()

    async def record(self, database: Database, result: Result) -> Outcome | None:
        """Record a result as `record` does, and return once it is committed.

        Raises:
            SQLAlchemyError, ValueError: this result could not be written; the others are not affected.
        """
        entry = _Entry(result)
        self._waiting.append(entry)
        async with self._transaction:
            # While this slot waited for the lock, another one may have recorded its entry with its own.
            if not entry.done and len(self._waiting) > 1:
                await self._record_together(database)
            if not entry.done:
                self._waiting.remove(entry)
                return await database.write(record, result)
        return entry.recorded

    async def _record_together(self, database: Database) -> None:
        group = self._waiting.copy()
        try:
            recorded = await database.write(record_together, [each.result for each in group])
        except (SQLAlchemyError, ValueError):
            # The error does not identify the result that caused it: each slot then records its own.
            return
        for entry, outcome in zip(group, recorded, strict=True):
            entry.done, entry.recorded = True, outcome
        self._waiting = [entry for entry in self._waiting if not entry.done]
