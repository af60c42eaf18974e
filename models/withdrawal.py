"""When an award counts as withdrawn: once its `withdrawn_at` has come, or, where a connection is set so, without a row.

A connection that counts deletions does so only while the platform's awards look whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, FromClause, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.integrations import CredlyConnection
from models.ledger import BadgeIssuance
from models.platform.tables import AchievementAward
from models.tables import table
from rules.states import IssuanceState, Origin
from rules.withdrawal import Loss

awards = table(AchievementAward)
connections = table(CredlyConnection)
issuances = table(BadgeIssuance)

VALID_AT_CREDLY: ColumnElement[bool] = or_(
    issuances.c.credly_state.is_(None), issuances.c.credly_state.in_(["pending", "accepted"])
)
_OF_AWARD = issuances.c.origin == Origin.AWARD
_COUNTED = and_(
    _OF_AWARD,
    issuances.c.state != IssuanceState.CANCELLED,
    or_(issuances.c.state != IssuanceState.ISSUED, VALID_AT_CREDLY),
)

Moment = datetime | ColumnElement[datetime]


@dataclass(frozen=True, kw_only=True)
class Withdrawals:
    """What counts as withdrawn at `now` (UTC): besides `withdrawn_at`, a missing row in the portals `by_deletion`.

    `lost` are the portals that are set so as well, and whose awards do not look whole.
    """

    now: datetime
    by_deletion: tuple[str, ...] = ()
    lost: tuple[Loss, ...] = ()


def withdrawn(given: FromClause = awards, *, now: Moment) -> ColumnElement[bool]:
    """Return the condition: the moment of the award's withdrawal has come."""
    return and_(given.c.withdrawn_at.is_not(None), given.c.withdrawn_at <= now)


def not_withdrawn(given: FromClause = awards, *, now: Moment) -> ColumnElement[bool]:
    """Return the condition: the award has no withdrawal, or one whose moment lies in the future."""
    return or_(given.c.withdrawn_at.is_(None), given.c.withdrawn_at > now)


def is_withdrawn(counts: Withdrawals) -> ColumnElement[bool]:
    """Return the condition: an issuance was entered for an award that is withdrawn, and its user holds no other."""
    return and_(_OF_AWARD, ~_has_award(not_withdrawn(now=counts.now)), _lost_its_own(counts))


def _lost_its_own(counts: Withdrawals) -> ColumnElement[bool]:
    ways = [_own_award(withdrawn(now=counts.now))]
    if counts.by_deletion:
        ways.append(issuances.c.portal_id.in_(counts.by_deletion))
    return or_(*ways)


def _is_missing(*, now: datetime) -> ColumnElement[bool]:
    """The condition: the row of the issuance's award is gone, and its user holds the achievement by no other."""
    return and_(_OF_AWARD, ~_has_award(not_withdrawn(now=now)), ~_own_award(withdrawn(now=now)))


def _has_award(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(
        awards.c.achievement_id == issuances.c.achievement_id, awards.c.user_id == issuances.c.user_id, *conditions
    )


def _own_award(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    # By its moment as well: a platform that loads its awards again may give them other ids.
    same = or_(
        awards.c.id == issuances.c.award_id,
        awards.c.awarded_at == issuances.c.awarded_at,
        issuances.c.award_id.is_(None),
    )
    return _has_award(same, *conditions)


async def withdrawals(
    connection: AsyncConnection, *among: ColumnElement[bool], now: datetime, hint: str = ""
) -> Withdrawals:
    """Return what counts as withdrawn among these issuances.

    Losses are counted only where a connection is set to count deletions and an award is missing. The hint names an
    index to SQLite.
    """
    chosen = select(connections.c.portal_id).where(connections.c.deletion_withdraws)
    portals = list((await connection.execute(chosen)).scalars())
    if not portals:
        return Withdrawals(now=now)
    of_portals = issuances.c.portal_id.in_(portals)
    query = select(issuances.c.portal_id).where(*among, of_portals, _is_missing(now=now)).distinct()
    missing = list((await connection.execute(query.with_hint(issuances, hint, "sqlite") if hint else query)).scalars())
    if not missing:
        return Withdrawals(now=now)
    lost = {loss.portal_id: loss for loss in await large_losses(connection, portal_ids=missing, now=now)}
    by_deletion = tuple(sorted(portal for portal in missing if portal not in lost))
    return Withdrawals(now=now, by_deletion=by_deletion, lost=tuple(lost.values()))


async def has_lost_its_award(connection: AsyncConnection, issuance_id: int | None, *, now: datetime) -> bool:
    """Say whether the award that an issuance names is withdrawn, whoever asked for the badge."""
    mine = issuances.c.id == issuance_id
    counts = await withdrawals(connection, mine, now=now)
    return await connection.scalar(select(issuances.c.id).where(mine, _lost_its_own(counts))) is not None


async def large_losses(
    connection: AsyncConnection, *, portal_ids: Sequence[str] | None = None, now: datetime
) -> list[Loss]:
    """Return the portals (of these, if given) of whose awards too many are missing from the platform at once."""
    of_portals = [] if portal_ids is None else [issuances.c.portal_id.in_(portal_ids)]
    query = select(issuances.c.portal_id, func.count().label("n")).where(_COUNTED, *of_portals)
    query = query.group_by(issuances.c.portal_id).order_by(issuances.c.portal_id)
    missing = {row.portal_id: row.n for row in await connection.execute(query.where(_is_missing(now=now)))}
    if not missing:
        return []
    losses = [
        Loss(portal_id=row.portal_id, missing=missing.get(row.portal_id, 0), awards=row.n)
        for row in await connection.execute(query)
    ]
    return [loss for loss in losses if loss.is_large]
