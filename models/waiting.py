"""What waits or has failed: cancelled, blocked or unblocked when awards, integrations or connections change."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, exists, literal, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.integrations import CredlyConnection, CredlyIntegration
from models.ledger import BadgeIssuance
from models.owed import rows_of
from models.tables import table
from models.withdrawal import Withdrawals, is_withdrawn, withdrawals
from rules.reasons import Reason
from rules.states import IssuanceState

issuances = table(BadgeIssuance)
integrations = table(CredlyIntegration)
connections = table(CredlyConnection)


_ENDED = [IssuanceState.ISSUED, IssuanceState.ISSUING, IssuanceState.CANCELLED]
# Written out, so that both engines see which partial index it means.
OPEN: ColumnElement[bool] = issuances.c.state.not_in(bindparam("ended", _ENDED, expanding=True, literal_execute=True))
_WAITING = issuances.c.state.in_([IssuanceState.PENDING, IssuanceState.BLOCKED])
_AT_A_TIME = 5_000
_NOT_CONNECTED = and_(issuances.c.state == IssuanceState.BLOCKED, issuances.c.reason == Reason.PORTAL_NOT_CONNECTED)


@dataclass(frozen=True, kw_only=True)
class Settled:
    """How many issuances were cancelled, and how many unblocked."""

    cancelled: int = 0
    unblocked: int = 0

    def __add__(self, other: "Settled") -> "Settled":
        return Settled(cancelled=self.cancelled + other.cancelled, unblocked=self.unblocked + other.unblocked)


@dataclass(frozen=True, kw_only=True)
class Contradicted:
    """Open issuances that have to be settled, and what counts as withdrawn for them."""

    ids: list[int]
    counts: Withdrawals


async def to_be_settled(
    connection: AsyncConnection, *among: ColumnElement[bool], now: datetime, hint: str = ""
) -> Contradicted:
    """Return those open issuances among these that awards, integrations or connections contradict.

    The hint names an index to SQLite, which otherwise takes the one by state and reads all that is open.
    """
    counts = await withdrawals(connection, OPEN, *among, now=now, hint=hint)
    contradictions = (_without_integration(), _unconnected(), _connected(), _lost_its_replacement(counts))
    differs = or_(is_withdrawn(counts), *contradictions)
    query = select(issuances.c.id).where(OPEN, *among, differs).order_by(issuances.c.id)
    found = await connection.execute(query.with_hint(issuances, hint, "sqlite") if hint else query)
    return Contradicted(ids=list(found.scalars()), counts=counts)


async def settle(connection: AsyncConnection, found: Contradicted) -> Settled:
    """Bring these open issuances up to what awards, integrations and connections say now."""
    settled = Settled()
    for start in range(0, len(found.ids), _AT_A_TIME):
        settled += await _settle(connection, found.ids[start : start + _AT_A_TIME], found.counts)
    return settled


async def _settle(connection: AsyncConnection, ids: Sequence[int], counts: Withdrawals) -> Settled:
    among, now = and_(issuances.c.id.in_(ids), OPEN), counts.now
    await _move(connection, and_(among, _lost_its_replacement(counts)), **_as_it_was(now))
    cancelled = await _cancel(connection, and_(among, is_withdrawn(counts)), Reason.AWARD_WITHDRAWN, now)
    cancelled += await _cancel(connection, and_(among, _without_integration()), Reason.INTEGRATION_REMOVED, now)
    future = literal(Reason.AWARDED_IN_FUTURE, type_=issuances.c.reason.type)
    reason = case((issuances.c.awarded_at > now, future), else_=null())
    pending = {"state": IssuanceState.PENDING, "reason": reason, "updated_at": now}
    unblocked = await _move(connection, and_(among, _connected()), **pending)
    blocked = {"state": IssuanceState.BLOCKED, "reason": Reason.PORTAL_NOT_CONNECTED, "updated_at": now}
    await _move(connection, and_(among, _unconnected()), **blocked)
    return Settled(cancelled=cancelled, unblocked=unblocked)


def _without_integration() -> ColumnElement[bool]:
    return and_(_WAITING, ~_integration_of_issuance())


def _unconnected() -> ColumnElement[bool]:
    return and_(issuances.c.state == IssuanceState.PENDING, ~_is_connected())


def _connected() -> ColumnElement[bool]:
    return and_(_NOT_CONNECTED, _is_connected())


async def settle_newly_connected(connection: AsyncConnection, *, now: datetime, portal_id: str | None) -> Settled:
    """Settle what waited for connections that are new or were changed since the last run."""
    new: ColumnElement[bool] = connections.c.planned_at.is_(None)
    if portal_id is not None:
        new = and_(new, connections.c.portal_id == portal_id)
    portals = list((await connection.execute(select(connections.c.portal_id).where(new))).scalars())
    settled = Settled()
    for portal in portals:
        found = await to_be_settled(connection, _NOT_CONNECTED, issuances.c.portal_id == portal, now=now)
        settled += await settle(connection, found)
        mine = connections.c.portal_id == portal
        await connection.execute(update(connections).where(mine).values(planned_at=now))
    return settled


async def restore_cancelled_replacements(connection: AsyncConnection, *, now: datetime, portal_id: str | None) -> None:
    """A badge that was to be replaced stands as it was where that was cancelled."""
    cancelled = and_(issuances.c.replaces_badge_id.is_not(None), issuances.c.state == IssuanceState.CANCELLED)
    wanted = cancelled if portal_id is None else and_(cancelled, issuances.c.portal_id == portal_id)
    await _move(connection, wanted, **_as_it_was(now))


def _lost_its_replacement(counts: Withdrawals) -> ColumnElement[bool]:
    return and_(issuances.c.replaces_badge_id.is_not(None), or_(~_integration_of_issuance(), is_withdrawn(counts)))


def _as_it_was(now: datetime) -> dict[str, Any]:
    return {
        "state": IssuanceState.ISSUED,
        "reason": None,
        "credly_badge_id": issuances.c.replaces_badge_id,
        "replaces_badge_id": None,
        "recorded_at": now,
        "updated_at": now,
    }


async def _cancel(connection: AsyncConnection, condition: ColumnElement[bool], reason: Reason, now: datetime) -> int:
    return await _move(connection, condition, state=IssuanceState.CANCELLED, reason=reason, updated_at=now)


async def _move(connection: AsyncConnection, condition: ColumnElement[bool], **values: Any) -> int:
    return rows_of(await connection.execute(update(issuances).where(condition).values(**values)))


def _integration_of_issuance() -> ColumnElement[bool]:
    return exists().where(
        integrations.c.achievement_id == issuances.c.achievement_id,
        integrations.c.badge_template_id == issuances.c.badge_template_id,
    )


def _is_connected() -> ColumnElement[bool]:
    return exists().where(connections.c.portal_id == issuances.c.portal_id)
