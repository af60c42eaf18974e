"""Requests by hand: they enter the same ledger row that an award would, before the award or after a failure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from models.ledger import BadgeIssuance
from models.owed import to_be_replaced
from models.platform.tables import AchievementAward
from models.tables import table
from models.withdrawal import has_lost_its_award, not_withdrawn
from rules.states import IssuanceState, Origin

issuances = table(BadgeIssuance)
awards = table(AchievementAward)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asks for. `project_id` and `company_id` are for a user without an award."""

    achievement_id: str
    user_id: str
    portal_id: str
    badge_template_id: str
    project_id: str | None = None
    company_id: str | None = None
    requested_by: str = ""
    reason: str = ""
    replace: bool = False


@dataclass(frozen=True, kw_only=True)
class FoundAward:
    """The user's standing award of an achievement: the first one."""

    award_id: str
    awarded_at: datetime


async def standing_award(
    connection: AsyncConnection, *, achievement_id: str, user_id: str, now: datetime, preferred: str | None = None
) -> FoundAward | None:
    """Return the user's award of the achievement that was not withdrawn: the preferred one, else the first, or None."""
    query = (
        select(awards.c.id, awards.c.awarded_at)
        .where(
            awards.c.achievement_id == achievement_id,
            awards.c.user_id == user_id,
            not_withdrawn(now=now),
        )
        .order_by(case((awards.c.id == preferred, 0), else_=1), awards.c.awarded_at, awards.c.id)
        .limit(1)
    )
    found = (await connection.execute(query)).one_or_none()
    return None if found is None else FoundAward(award_id=found.id, awarded_at=found.awarded_at)


async def award_is_gone(connection: AsyncConnection, row: BadgeIssuance, *, now: datetime) -> bool:
    """Say whether a row names an award that is withdrawn. One whose row is missing may still count."""
    return row.award_id is not None and await has_lost_its_award(connection, row.id, now=now)


async def issuance_of(connection: AsyncConnection, request: Request) -> BadgeIssuance | None:
    """Return the ledger's row for the badge that is asked for, if there is one.

    Where the achievement's template has changed since, that is the row of the earlier template whose badge was issued,
    even if it is to be replaced, and even beside a row of this template that never became a badge: nobody gets a second
    badge for the same achievement.
    """
    asked_for = issuances.c.badge_template_id == request.badge_template_id
    made = or_(
        issuances.c.state.in_([IssuanceState.ISSUED, IssuanceState.ISSUING]),
        issuances.c.replaces_badge_id.is_not(None),
    )
    query = (
        select(issuances)
        .where(
            issuances.c.achievement_id == request.achievement_id,
            issuances.c.user_id == request.user_id,
            or_(asked_for, made),
        )
        .order_by(case((and_(made, asked_for), 0), (made, 1), else_=2), issuances.c.id)
        .limit(1)
    )
    found = (await connection.execute(query)).one_or_none()
    return None if found is None else BadgeIssuance(**found._mapping)


async def enter(connection: AsyncConnection, request: Request, *, now: datetime) -> BadgeIssuance:
    """Make the badge due at once, and return its row as it is then.

    A new row, or the one that is there: pending, blocked, failed and cancelled ones become due. An issued one stays
    unless it is to be replaced; one that is being issued stays. `issued_at` will be the award's moment if there is
    an award, else `now` (UTC), which is kept as the row's `awarded_at`.
    """
    found = await issuance_of(connection, request)
    award = await standing_award(
        connection,
        achievement_id=request.achievement_id,
        user_id=request.user_id,
        now=now,
        preferred=found.award_id if found else None,
    )
    asked = {"requested_by": request.requested_by, "request_reason": request.reason, "updated_at": now}
    if award is not None:
        asked |= {"award_id": award.award_id, "awarded_at": award.awarded_at}
    asked |= {
        name: value
        for name, value in (("project_id", request.project_id), ("company_id", request.company_id))
        if value is not None
    }
    if found is None:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        new = dialect.insert(issuances).values(**_new_row(request, now=now) | asked)
        await connection.execute(new.on_conflict_do_nothing())  # somebody else asks for it at the same moment
    elif values := _values_for(IssuanceState(found.state), request, now=now):
        if award is None and await award_is_gone(connection, found, now=now):  # then there is no moment to keep
            values |= {"award_id": None, "awarded_at": now, "origin": Origin.BY_HAND}
        await _change(connection, found, request, values | asked)
    row = await issuance_of(connection, request)
    if row is None:
        raise AssertionError
    return row


async def _change(connection: AsyncConnection, found: BadgeIssuance, request: Request, values: dict[str, Any]) -> None:
    """Change the row, if it is still as it was found, and give it the template that is asked for.

    Another row of the user with that template takes the earlier one in exchange; it never became a badge.
    """
    wanted, earlier = request.badge_template_id, found.badge_template_id
    of_user = and_(issuances.c.achievement_id == found.achievement_id, issuances.c.user_id == found.user_id)
    if wanted != earlier:
        await _rename(connection, of_user, wanted, _ASIDE)
    unchanged = and_(issuances.c.id == found.id, issuances.c.state == found.state)
    changed = update(issuances).where(unchanged).values(**values, badge_template_id=wanted)
    done = (await connection.execute(changed)).rowcount == 1
    if wanted != earlier:
        await _rename(connection, of_user, _ASIDE, earlier if done else wanted)


async def _rename(connection: AsyncConnection, of_user: ColumnElement[bool], template: str, other: str) -> None:
    rows = and_(of_user, issuances.c.badge_template_id == template)
    await connection.execute(update(issuances).where(rows).values(badge_template_id=other))


_ASIDE = ""  # no template's id: where a row stands while two exchange theirs


def _values_for(state: IssuanceState, request: Request, *, now: datetime) -> dict[str, Any] | None:
    if state is IssuanceState.ISSUING:
        return None
    if state is IssuanceState.ISSUED:
        return to_be_replaced(now=now) if request.replace else None
    return {
        "state": IssuanceState.PENDING,
        "origin": Origin.BY_HAND,
        "reason": None,
        "credly_message": None,
        "attempts": 0,
        "not_before": now,
    }


def _new_row(request: Request, *, now: datetime) -> dict[str, Any]:
    return {
        "achievement_id": request.achievement_id,
        "user_id": request.user_id,
        "portal_id": request.portal_id,
        "badge_template_id": request.badge_template_id,
        "awarded_at": now,
        "origin": Origin.BY_HAND,
        "state": IssuanceState.PENDING,
        "not_before": now,
        "looked_again_at": now,
        "attempts": 0,
        "adopted": False,
        "evidence_sent": "",
        "evidence_left_out": "",
        "planned_at": now,
    }
