"""Failed issuances that an administrator makes due again, many at once, after their cause is gone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, literal, select, true

from models.integrations import CredlyConnection, CredlyIntegration
from models.ledger.tables import BadgeIssuance
from models.ledger.transitions import move
from models.tables import table
from rules.ledger.transitions import Transition
from rules.reasons import Reason
from rules.states import IssuanceState

issuances = table(BadgeIssuance)
connections = table(CredlyConnection)
integrations = table(CredlyIntegration)
_FAILED = issuances.c.state == IssuanceState.FAILED


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which failed issuances are meant; each part that is given narrows it. `start` is included, `end` is not."""

    achievement_id: str | None = None
    portal_id: str | None = None
    reason: Reason | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Matching:
    """How many failed issuances match: those that can be made due, and those that planning would not let go out."""

    ready: int = 0
    without_integration: int = 0
    unconnected: int = 0


@dataclass(frozen=True, kw_only=True)
class Retryable:
    """A failed issuance that can be made due, why it failed, and what it then waits for."""

    id: int
    achievement_id: str
    reason: Reason
    stop: Literal["", "paused", "held"] = ""


def preview(connection: Connection, selection: Selection, *, limit: int) -> tuple[Matching, list[Retryable]]:
    """Count what matches, and return what `retry` would make due."""
    return count(connection, selection), choose(connection, selection, limit=limit)


def count(connection: Connection, selection: Selection) -> Matching:
    """Count what matches the selection."""
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
    """Return what would be made due: what failed first comes first, so that what fails again does not come twice.

    With `lock`, they cannot change until the transaction ends; those that another one is changing are left out.
    """
    stop = case(
        (_integration_is(integrations.c.paused_at.is_not(None)), literal("paused")),
        (_integration_is(integrations.c.held_at.is_not(None)), literal("held")),
        else_=literal(""),
    )
    query = (
        select(issuances.c.id, issuances.c.achievement_id, issuances.c.reason, stop.label("stop"))
        .where(_matches(selection), _is_enabled(), _is_connected())
        .order_by(issuances.c.updated_at, issuances.c.id)
        .limit(limit)
    )
    if lock:
        query = query.with_for_update(skip_locked=True)
    return [Retryable(**row) for row in connection.execute(query).mappings()]


def retry(
    connection: Connection, selection: Selection, *, limit: int, now: datetime
) -> tuple[Matching, list[Retryable]]:
    """Count what matches the selection, make it due, at most `limit`, and return it as it was before."""
    matching = count(connection, selection)
    # Chosen first, not in the update: what an update returns has lost the reason, which the page counts by.
    chosen = choose(connection, selection, limit=limit, lock=True)
    make_due(connection, [each.id for each in chosen], now=now)
    return matching, chosen


def make_due(connection: Connection, ids: Sequence[int], *, now: datetime) -> int:
    """Make those of these issuances due that are failed still, and return how many; `unclear_at` stays.

    So Credly is asked first where an earlier answer was unclear.
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
    return _integration_is(true())


def _integration_is(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(integrations.c.achievement_id == issuances.c.achievement_id, condition)


def _is_connected() -> ColumnElement[bool]:
    return exists().where(connections.c.portal_id == issuances.c.portal_id)
