"""Which awards are owed a badge, and entering them: anew, again after a cancellation, or in place of an earlier badge.

The statements work on a slice of the awards, so that their cost is the slice's and not the history's.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    FromClause,
    Select,
    Subquery,
    and_,
    case,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from models.integrations import CredlyConnection, CredlyIntegration
from models.ledger import BadgeIssuance
from models.platform.tables import Achievement, AchievementAward
from models.tables import table
from models.withdrawal import not_withdrawn
from rules.choices import EarnedAgain
from rules.reasons import Reason
from rules.states import IssuanceState, Origin

issuances = table(BadgeIssuance)
awards = table(AchievementAward)
achievements = table(Achievement)
integrations = table(CredlyIntegration)
connections = table(CredlyConnection)
_REPLACES = integrations.c.earned_again == EarnedAgain.REPLACE
_BY_USER = "INDEXED BY ix_badge_issuances_cancelled"  # else SQLite reads everything that was ever cancelled
_CANCELLED = issuances.c.state == literal(IssuanceState.CANCELLED, type_=issuances.c.state.type, literal_execute=True)


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Some of the awards, at this moment (UTC), of one portal or of all."""

    awards: Subquery
    now: datetime
    portal_id: str | None = None


def slice_of(*conditions: ColumnElement[bool], newest: int | None = None) -> Subquery:
    """Return the awards that meet the conditions; of these the so many newest, if that is given."""
    query = select(awards.c.achievement_id, awards.c.user_id, awards.c.awarded_at, awards.c.withdrawn_at)
    query = query.where(*conditions)
    if newest is not None:
        query = query.order_by(awards.c.awarded_at.desc()).limit(newest)
    return query.subquery("slice")


async def take_up(connection: AsyncConnection, part: Slice) -> tuple[int, int]:
    """Enter what of a slice is owed and not in the ledger; return how many were entered, and taken up again."""
    again = await _replace_earned_again(connection, part) + await _revive_cancelled(connection, part)
    owed = newly_owed(now=part.now, portal_id=part.portal_id, pairs=_owed_pairs(part).distinct().subquery("pairs"))
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(issuances).from_select(list(owed.selected_columns.keys()), owed)
    return rows_of(await connection.execute(insert.on_conflict_do_nothing())), again


async def is_owed(connection: AsyncConnection, part: Slice) -> bool:
    """Say whether `take_up` would find anything in a slice: the one question of most runs."""
    if await connection.scalar(_owed_pairs(part).limit(1)) is not None:
        return True
    some_replace = select(integrations.c.id).where(_REPLACES).limit(1)
    if await connection.scalar(some_replace) is None:
        return False
    return await connection.scalar(_earned_again(part).limit(1)) is not None


def _owed_pairs(part: Slice) -> Select[Any]:
    """Achievement and user of the covered awards of a slice for which nothing stands in the ledger.

    In this form each question is answered by an index alone: does the user have a row; and if so, are all cancelled.
    """
    given = part.awards
    mine = select(issuances.c.achievement_id).where(_same_user(issuances, given))
    has_cancelled = mine.where(_CANCELLED).exists()
    nothing_stands = or_(~mine.exists(), and_(has_cancelled, ~mine.where(~_CANCELLED).exists()))
    is_covered = exists().where(integrations.c.achievement_id == given.c.achievement_id, covered(given, now=part.now))
    return select(given.c.achievement_id, given.c.user_id).where(is_covered, nothing_stands, _of_portal(part))


def newly_owed(*, now: datetime, portal_id: str | None = None, pairs: FromClause | None = None) -> Select[Any]:
    """Return the query for awards that an integration covers and the ledger lacks: the first of each user.

    Its columns are those of the ledger row that each becomes. `pairs` names the achievements and users in question.
    """
    ranked = _ranked_awards(portal_id, pairs, now).subquery()
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


def _ranked_awards(portal_id: str | None, pairs: FromClause | None, now: datetime) -> Select[Any]:
    """Covered awards without a ledger row, numbered per achievement and user by their moment."""
    place = func.row_number().over(
        partition_by=(awards.c.achievement_id, awards.c.user_id), order_by=(awards.c.awarded_at, awards.c.id)
    )
    given: FromClause = awards if pairs is None else pairs.join(awards, _same_user(awards, pairs))
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
        .select_from(given)
        .join(integrations, integrations.c.achievement_id == awards.c.achievement_id)
        .join(achievements, achievements.c.id == awards.c.achievement_id)
        .outerjoin(connections, connections.c.portal_id == achievements.c.portal_id)
        .outerjoin(issuances, and_(_same_user(issuances, awards), _stands_in_the_way()))
        .where(issuances.c.id.is_(None), covered(now=now))
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


def covered(given: FromClause = awards, *, now: datetime) -> ColumnElement[bool]:
    """An integration covers awards from the moment it was enabled; `issue_since` reaches further back."""
    since = func.coalesce(integrations.c.issue_since, integrations.c.enabled_at)
    return and_(given.c.awarded_at >= since, not_withdrawn(given, now=now))


async def _revive_cancelled(connection: AsyncConnection, part: Slice) -> int:
    """Take up cancelled issuances whose user holds an award that the present integration covers.

    Not where another template's badge of the achievement stands: it was issued while this one was cancelled.
    """
    owed_award = _award_of_issuance(covered(now=part.now)).order_by(awards.c.awarded_at, awards.c.id)
    another = issuances.alias()
    has_another = exists().where(_same_user(another, issuances), another.c.state != IssuanceState.CANCELLED)
    chosen = owed_award.limit(1).correlate(issuances).scalar_subquery()
    moment = select(awards.c.awarded_at).where(awards.c.id == chosen).scalar_subquery()
    connected = exists().where(connections.c.portal_id == issuances.c.portal_id)
    waiting = case((moment > part.now, _reason(Reason.AWARDED_IN_FUTURE)), else_=null())
    changed = (
        update(issuances)
        .where(
            issuances.c.id.in_(_issuances_of(part, _CANCELLED).with_hint(issuances, _BY_USER, "sqlite")),
            chosen.is_not(None),
            ~has_another,
        )
        .values(
            state=case((connected, _state(IssuanceState.PENDING)), else_=_state(IssuanceState.BLOCKED)),
            reason=case((connected, waiting), else_=_reason(Reason.PORTAL_NOT_CONNECTED)),
            origin=Origin.AWARD,
            award_id=chosen,
            awarded_at=moment,
            not_before=moment,
            updated_at=part.now,
        )
    )
    return rows_of(await connection.execute(changed))


async def _replace_earned_again(connection: AsyncConnection, part: Slice) -> int:
    """Where the integration says so, a later award of the same achievement replaces the badge."""
    is_later = and_(awards.c.awarded_at > issuances.c.awarded_at, awards.c.awarded_at <= part.now)
    later = _award_of_issuance(covered(now=part.now), _REPLACES, is_later)
    later = later.order_by(awards.c.awarded_at.desc(), awards.c.id)
    chosen = later.limit(1).correlate(issuances).scalar_subquery()
    moment = select(awards.c.awarded_at).where(awards.c.id == chosen).scalar_subquery()
    changed = (
        update(issuances)
        .where(issuances.c.id.in_(_earned_again(part)), chosen.is_not(None))
        .values(award_id=chosen, awarded_at=moment, **to_be_replaced(now=part.now))
    )
    return rows_of(await connection.execute(changed))


def _earned_again(part: Slice) -> Select[Any]:
    later = and_(part.awards.c.awarded_at > issuances.c.awarded_at, part.awards.c.awarded_at <= part.now)
    return _issuances_of(part, _REPLACES, issuances.c.state == IssuanceState.ISSUED, later)


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


def _award_of_issuance(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Return the awards of an issuance's user and achievement under the integration that it has now."""
    return (
        select(awards.c.id)
        .join(integrations, integrations.c.achievement_id == awards.c.achievement_id)
        .where(
            _same_user(awards, issuances),
            integrations.c.badge_template_id == issuances.c.badge_template_id,
            *conditions,
        )
    )


def _issuances_of(part: Slice, *conditions: ColumnElement[bool]) -> Select[Any]:
    """Return the ids of the issuances that belong to covered awards of a slice."""
    given = part.awards
    return (
        select(issuances.c.id)
        .select_from(given)
        .join(integrations, integrations.c.achievement_id == given.c.achievement_id)
        .join(issuances, _same_user(issuances, given))
        .where(
            issuances.c.badge_template_id == integrations.c.badge_template_id,
            covered(given, now=part.now),
            *conditions,
            _of_portal(part),
        )
    )


def _of_portal(part: Slice) -> ColumnElement[bool]:
    if part.portal_id is None:
        return literal(True)
    given = part.awards
    return exists().where(achievements.c.id == given.c.achievement_id, achievements.c.portal_id == part.portal_id)


def _same_user(left: FromClause, right: FromClause) -> ColumnElement[bool]:
    return and_(left.c.achievement_id == right.c.achievement_id, left.c.user_id == right.c.user_id)


def after(achievement_id: str, user_id: str) -> ColumnElement[bool]:
    """Return the condition: awards behind these in the order of achievement and user."""
    return tuple_(awards.c.achievement_id, awards.c.user_id) > tuple_(achievement_id, user_id)


def _state(state: IssuanceState) -> ColumnElement[Any]:
    return literal(state, type_=issuances.c.state.type)


def _reason(reason: Reason) -> ColumnElement[Any]:
    return literal(reason, type_=issuances.c.reason.type)


def rows_of(result: CursorResult[Any]) -> int:
    """Return how many rows a statement changed."""
    return max(result.rowcount, 0)
