"""Failed issuances that an administrator makes due again in bulk, after their cause was fixed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, literal, select, true

from models.ledger.conditions import integration_has
from models.ledger.tables import BadgeIssuance
from models.ledger.transitions import move
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from rules.ledger.transitions import Transition

issuances = table(BadgeIssuance)
connections = table(CredlyConnection)
integrations = table(CredlyIntegration)
_FAILED = issuances.c.state == IssuanceState.FAILED


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which failed issuances to retry; every given field narrows it. `start` is inclusive, `end` is exclusive."""

    achievement_id: str | None = None
    portal_id: str | None = None
    reason: Reason | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Matching:
    """How many failed issuances match: those that can become due, and those that planning would cancel or block."""

    ready: int = 0
    without_integration: int = 0
    unconnected: int = 0


@dataclass(frozen=True, kw_only=True)
class Retryable:
    """A failed issuance that can become due, why it failed, and what it then waits for."""

    id: int
    achievement_id: str
    reason: Reason
    stop: Literal["", "paused", "held"] = ""


def preview(connection: Connection, selection: Selection, *, limit: int) -> tuple[Matching, list[Retryable]]:
    return count(connection, selection), choose(connection, selection, limit=limit)


def count(connection: Connection, selection: Selection) -> Matching:
    counts = (
        func.count().filter(_is_enabled(), _is_connected()),
        func.count().filter(~_is_enabled()),
        func.count().filter(_is_enabled(), ~_is_connected()),
    )
    ready, without, unconnected = (
        connection.execute(select(*counts).select_from(issuances).where(_matches(selection)))
    ).one()
    return Matching(ready=ready, without_integration=without, unconnected=unconnected)


def choose(connection: Connection, selection: Selection, *, limit: int, lock: bool = False) -> list[Retryable]:
    """Return what `retry` would make due, the oldest failures first.

    With `lock`, the rows are locked; those that another transaction is changing are left out.
    """
    stop = case(
        (integration_has(integrations.c.paused_at.is_not(None)), literal("paused")),
        (integration_has(integrations.c.held_at.is_not(None)), literal("held")),
        else_=literal(""),
    )
    query = (
        select(issuances.c.id, issuances.c.achievement_id, issuances.c.reason, stop.label("stop"))
        .where(_matches(selection), _is_enabled(), _is_connected())
        # Oldest failure first, so that one that fails again is not retried twice before the others once.
        .order_by(issuances.c.updated_at, issuances.c.id)
        .limit(limit)
    )
    if lock:
        query = query.with_for_update(skip_locked=True)
    return [Retryable(**row) for row in connection.execute(query).mappings()]


def retry(
    connection: Connection, selection: Selection, *, limit: int, now: datetime
) -> tuple[Matching, list[Retryable]]:
    """Make at most `limit` matching issuances due; return the counts and the issuances as they were before."""
    matching = count(connection, selection)
    # Selected before the update: its RETURNING would not have the reason any more, which the page counts by.
    chosen = choose(connection, selection, limit=limit, lock=True)
    make_due(connection, [each.id for each in chosen], now=now)
    return matching, chosen


def make_due(connection: Connection, ids: Sequence[int], *, now: datetime) -> int:
    """Make those of these issuances due that are still failed, and return how many.

    `unclear_at` stays, so Credly is searched first where the outcome of a call is unknown.
    """
    return move(connection, Transition.RETRY, issuances.c.id.in_(ids), now=now, not_before=now)


def _matches(selection: Selection) -> ColumnElement[bool]:
    columns, given = issuances.c, selection
    conditions = [
        None if given.achievement_id is None else columns.achievement_id == given.achievement_id,
        None if given.portal_id is None else columns.portal_id == given.portal_id,
        None if given.reason is None else columns.reason == given.reason,
        None if given.start is None else columns.updated_at >= given.start,
        None if given.end is None else columns.updated_at < given.end,
    ]
    return and_(_FAILED, *(each for each in conditions if each is not None))


def _is_enabled() -> ColumnElement[bool]:
    return integration_has(true())


def _is_connected() -> ColumnElement[bool]:
    return exists().where(connections.c.portal_id == issuances.c.portal_id)
