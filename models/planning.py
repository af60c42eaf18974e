"""Planning: a few set-based statements that bring the ledger up to what the platform says is owed.

There is no watermark: an award is new until the ledger has it, however late or back-dated its row arrives.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Select,
    and_,
    case,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from models.integrations import CredlyConnection, CredlyIntegration
from models.ledger import BadgeIssuance
from models.platform import Achievement, AchievementAward
from models.tables import table
from rules.choices import EarnedAgain
from rules.reasons import Reason
from rules.states import IssuanceState, Origin

issuances = table(BadgeIssuance)
awards = table(AchievementAward)
achievements = table(Achievement)
integrations = table(CredlyIntegration)
connections = table(CredlyConnection)


@dataclass(frozen=True, kw_only=True)
class PlanCounts:
    """How many issuances the planning step entered, took up again, cancelled and unblocked."""

    entered: int = 0
    taken_up_again: int = 0
    cancelled: int = 0
    unblocked: int = 0


async def plan(connection: AsyncConnection, *, now: datetime, portal_id: str | None = None) -> PlanCounts:
    """Enter every owed award that the ledger lacks, and cancel, revive or unblock what changed since.

    Runs in the caller's write transaction. `now` is UTC. Safe to run at any time and by several at once:
    the ledger's unique constraint decides.
    """
    await _restore_replaced(connection, now, portal_id)
    cancelled = await _cancel_withdrawn(connection, now, portal_id)
    cancelled += await _cancel_without_integration(connection, now, portal_id)
    revived = await _revive_cancelled(connection, now, portal_id)
    unblocked = await _unblock_connected(connection, now, portal_id)
    revived += await _replace_earned_again(connection, now, portal_id)
    await _block_unconnected(connection, now, portal_id)
    entered = await _enter_new(connection, now, portal_id)
    return PlanCounts(entered=entered, taken_up_again=revived, cancelled=cancelled, unblocked=unblocked)


def newly_owed(*, now: datetime, portal_id: str | None = None) -> Select[Any]:
    """Return the query for awards that an integration covers and the ledger lacks: the first of each user.

    Its columns are those of the ledger row that each becomes.
    """
    ranked = _ranked_awards(portal_id).subquery()
    first = ranked.c.place == 1
    future = ranked.c.awarded_at > now
    state = case(
        (ranked.c.connection_id.is_(None), _state(IssuanceState.BLOCKED)),
        else_=_state(IssuanceState.PENDING),
    )
    reason = case(
        (ranked.c.connection_id.is_(None), _reason(Reason.PORTAL_NOT_CONNECTED)),
        (future, _reason(Reason.AWARDED_IN_FUTURE)),
        else_=null(),
    )
    moment = literal(now, type_=issuances.c.planned_at.type)
    return select(
        ranked.c.achievement_id,
        ranked.c.user_id,
        ranked.c.badge_template_id,
        ranked.c.portal_id,
        ranked.c.award_id,
        ranked.c.awarded_at,
        literal(Origin.AWARD, type_=issuances.c.origin.type).label("origin"),
        state.label("state"),
        reason.label("reason"),
        case((future, ranked.c.awarded_at), else_=moment).label("not_before"),
        literal(0, type_=issuances.c.attempts.type).label("attempts"),
        literal(False, type_=issuances.c.adopted.type).label("adopted"),
        literal("", type_=issuances.c.evidence_sent.type).label("evidence_sent"),
        literal("", type_=issuances.c.evidence_left_out.type).label("evidence_left_out"),
        moment.label("looked_again_at"),
        moment.label("planned_at"),
        moment.label("updated_at"),
    ).where(first)


def _ranked_awards(portal_id: str | None) -> Select[Any]:
    """Covered awards without a ledger row, numbered per achievement and user by their moment."""
    place = func.row_number().over(
        partition_by=(awards.c.achievement_id, awards.c.user_id), order_by=(awards.c.awarded_at, awards.c.id)
    )
    query = (
        select(
            awards.c.id.label("award_id"),
            awards.c.achievement_id,
            awards.c.user_id,
            awards.c.awarded_at,
            achievements.c.portal_id,
            integrations.c.badge_template_id,
            connections.c.id.label("connection_id"),
            place.label("place"),
        )
        .join(integrations, integrations.c.achievement_id == awards.c.achievement_id)
        .join(achievements, achievements.c.id == awards.c.achievement_id)
        .outerjoin(connections, connections.c.portal_id == achievements.c.portal_id)
        .outerjoin(
            issuances,
            and_(
                issuances.c.achievement_id == awards.c.achievement_id,
                issuances.c.user_id == awards.c.user_id,
                _stands_in_the_way(),
            ),
        )
        .where(issuances.c.id.is_(None), covered())
    )
    return query if portal_id is None else query.where(achievements.c.portal_id == portal_id)


def _stands_in_the_way() -> ColumnElement[bool]:
    """A user's row for this template, or a badge of an earlier template of this achievement.

    A change of template is for those who come after it: nobody gets a second badge for the same achievement.
    """
    return or_(
        issuances.c.badge_template_id == integrations.c.badge_template_id,
        issuances.c.state != IssuanceState.CANCELLED,
    )


def covered() -> ColumnElement[bool]:
    """An integration covers awards from the moment it was enabled; `issue_since` reaches further back."""
    since = func.coalesce(integrations.c.issue_since, integrations.c.enabled_at)
    return and_(awards.c.awarded_at >= since, awards.c.withdrawn_at.is_(None))


async def _enter_new(connection: AsyncConnection, now: datetime, portal_id: str | None) -> int:
    owed = newly_owed(now=now, portal_id=portal_id)
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(issuances).from_select(list(owed.selected_columns.keys()), owed)
    return _rows(await connection.execute(insert.on_conflict_do_nothing()))


async def _cancel_without_integration(connection: AsyncConnection, now: datetime, portal_id: str | None) -> int:
    waiting = issuances.c.state.in_([IssuanceState.PENDING, IssuanceState.BLOCKED])
    return await _move(
        connection,
        and_(waiting, ~_integration_of_issuance()),
        portal_id,
        state=IssuanceState.CANCELLED,
        reason=Reason.INTEGRATION_REMOVED,
        updated_at=now,
    )


async def _cancel_withdrawn(connection: AsyncConnection, now: datetime, portal_id: str | None) -> int:
    """Cancel what waits for an award that is withdrawn, unless the user holds the achievement by another."""
    waiting = issuances.c.state.in_([IssuanceState.PENDING, IssuanceState.BLOCKED, IssuanceState.FAILED])
    return await _move(
        connection,
        and_(waiting, is_withdrawn()),
        portal_id,
        state=IssuanceState.CANCELLED,
        reason=Reason.AWARD_WITHDRAWN,
        updated_at=now,
    )


async def _revive_cancelled(connection: AsyncConnection, now: datetime, portal_id: str | None) -> int:
    """Take up cancelled issuances whose user holds an award that the present integration covers.

    Not where another template's badge of the achievement stands: it was issued while this one was cancelled.
    """
    owed_award = (
        select(awards.c.id)
        .join(integrations, integrations.c.achievement_id == awards.c.achievement_id)
        .where(
            awards.c.achievement_id == issuances.c.achievement_id,
            awards.c.user_id == issuances.c.user_id,
            integrations.c.badge_template_id == issuances.c.badge_template_id,
            covered(),
        )
        .order_by(awards.c.awarded_at, awards.c.id)
        .limit(1)
        .correlate(issuances)
        .scalar_subquery()
    )
    moment_of_award = select(awards.c.awarded_at).where(awards.c.id == owed_award).scalar_subquery()
    another = issuances.alias()
    has_another = exists().where(
        another.c.achievement_id == issuances.c.achievement_id,
        another.c.user_id == issuances.c.user_id,
        another.c.state != IssuanceState.CANCELLED,
    )
    return await _move(
        connection,
        and_(issuances.c.state == IssuanceState.CANCELLED, owed_award.is_not(None), ~has_another),
        portal_id,
        state=IssuanceState.PENDING,
        reason=_reason_to_wait(moment_of_award, now),
        origin=Origin.AWARD,
        award_id=owed_award,
        awarded_at=moment_of_award,
        not_before=moment_of_award,
        updated_at=now,
    )


async def _replace_earned_again(connection: AsyncConnection, now: datetime, portal_id: str | None) -> int:
    """Where the integration says so, a later award of the same achievement replaces the badge."""
    later = (
        select(awards.c.id)
        .join(integrations, integrations.c.achievement_id == awards.c.achievement_id)
        .where(
            awards.c.achievement_id == issuances.c.achievement_id,
            awards.c.user_id == issuances.c.user_id,
            integrations.c.badge_template_id == issuances.c.badge_template_id,
            integrations.c.earned_again == EarnedAgain.REPLACE,
            awards.c.awarded_at > issuances.c.awarded_at,
            awards.c.awarded_at <= now,
            covered(),
        )
        .order_by(awards.c.awarded_at.desc(), awards.c.id)
        .limit(1)
        .correlate(issuances)
        .scalar_subquery()
    )
    moment_of_award = select(awards.c.awarded_at).where(awards.c.id == later).scalar_subquery()
    some_replace = exists().where(
        integrations.c.achievement_id == issuances.c.achievement_id,
        integrations.c.earned_again == EarnedAgain.REPLACE,
    )
    return await _move(
        connection,
        and_(issuances.c.state == IssuanceState.ISSUED, some_replace, later.is_not(None)),
        portal_id,
        award_id=later,
        awarded_at=moment_of_award,
        **to_be_replaced(now=now),
    )


def to_be_replaced(*, now: datetime) -> dict[str, Any]:
    """Return what makes an issued row due again, to be issued in place of the badge that it has."""
    return {
        "state": IssuanceState.PENDING,
        "replaces_badge_id": issuances.c.credly_badge_id,
        "credly_badge_id": None,
        "recorded_at": None,
        "attempts": 0,
        "not_before": now,
        "updated_at": now,
    }


async def _restore_replaced(connection: AsyncConnection, now: datetime, portal_id: str | None) -> None:
    """A badge that was to be replaced stands as it was where its integration or its award went away first."""
    waiting = issuances.c.state.in_([IssuanceState.PENDING, IssuanceState.BLOCKED, IssuanceState.FAILED])
    no_longer_owed = or_(
        issuances.c.state == IssuanceState.CANCELLED,
        and_(waiting, or_(~_integration_of_issuance(), is_withdrawn())),
    )
    await _move(
        connection,
        and_(issuances.c.replaces_badge_id.is_not(None), no_longer_owed),
        portal_id,
        state=IssuanceState.ISSUED,
        reason=None,
        credly_badge_id=issuances.c.replaces_badge_id,
        replaces_badge_id=None,
        recorded_at=now,
        updated_at=now,
    )


async def _unblock_connected(connection: AsyncConnection, now: datetime, portal_id: str | None) -> int:
    return await _move(
        connection,
        and_(
            issuances.c.state == IssuanceState.BLOCKED,
            issuances.c.reason == Reason.PORTAL_NOT_CONNECTED,
            _is_connected(),
        ),
        portal_id,
        state=IssuanceState.PENDING,
        reason=_reason_to_wait(issuances.c.awarded_at, now),
        updated_at=now,
    )


async def _block_unconnected(connection: AsyncConnection, now: datetime, portal_id: str | None) -> None:
    """What became pending while its portal has no connection says so, instead of waiting without a word."""
    await _move(
        connection,
        and_(issuances.c.state == IssuanceState.PENDING, ~_is_connected()),
        portal_id,
        state=IssuanceState.BLOCKED,
        reason=Reason.PORTAL_NOT_CONNECTED,
        updated_at=now,
    )


async def _move(
    connection: AsyncConnection, condition: ColumnElement[bool], portal_id: str | None, **values: Any
) -> int:
    wanted = or_(literal(portal_id is None), issuances.c.portal_id == (portal_id or ""))
    return _rows(await connection.execute(update(issuances).where(condition, wanted).values(**values)))


def _integration_of_issuance() -> ColumnElement[bool]:
    return exists().where(
        integrations.c.achievement_id == issuances.c.achievement_id,
        integrations.c.badge_template_id == issuances.c.badge_template_id,
    )


def _is_connected() -> ColumnElement[bool]:
    return exists().where(connections.c.portal_id == issuances.c.portal_id)


def is_withdrawn() -> ColumnElement[bool]:
    """Return the condition: it was entered for an award, and the user holds the achievement by none any more."""
    still_held = exists().where(
        awards.c.achievement_id == issuances.c.achievement_id,
        awards.c.user_id == issuances.c.user_id,
        awards.c.withdrawn_at.is_(None),
    )
    return and_(issuances.c.origin == Origin.AWARD, ~still_held)


def _reason_to_wait(awarded_at: ColumnElement[Any], now: datetime) -> ColumnElement[Any]:
    return case((awarded_at > now, _reason(Reason.AWARDED_IN_FUTURE)), else_=null())


def _state(state: IssuanceState) -> ColumnElement[Any]:
    return literal(state, type_=issuances.c.state.type)


def _reason(reason: Reason) -> ColumnElement[Any]:
    return literal(reason, type_=issuances.c.reason.type)


def _rows(result: CursorResult[Any]) -> int:
    return max(result.rowcount, 0)
