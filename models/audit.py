"""Comparing the ledger with what Credly has: writing back the states that Credly tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, bindparam, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.claiming import DueOrganization
from models.integrations import CredlyConnection, CredlyIntegration
from models.ledger import BadgeIssuance
from models.tables import table
from models.withdrawal import VALID_AT_CREDLY, Withdrawals, is_withdrawn
from rules.reasons import Reason
from rules.states import IssuanceState
from rules.withdrawal import Revocable

connections = table(CredlyConnection)
integrations = table(CredlyIntegration)
issuances = table(BadgeIssuance)
_LONGEST_STATE = 20  # what the ledger has room for
_ISSUED = issuances.c.state == IssuanceState.ISSUED


@dataclass(frozen=True, kw_only=True)
class KnownBadge:
    """An issued badge in the ledger."""

    issuance_id: int
    credly_badge_id: str
    credly_state: str | None = None


async def organizations(connection: AsyncConnection, *, portal_id: str = "") -> list[DueOrganization]:
    """Return the connected organizations (of one portal, if given), those that share a token as one."""
    query = select(connections).order_by(connections.c.organization_id, connections.c.portal_id)
    if portal_id:
        query = query.where(connections.c.portal_id == portal_id)
    grouped: dict[tuple[str, str, str], list[CredlyConnection]] = {}
    for row in await connection.execute(query):
        each = CredlyConnection(**row._mapping)
        grouped.setdefault((each.organization_id, each.base_url, each.token_block), []).append(each)
    return [
        DueOrganization(
            organization_id=organization_id,
            base_url=base_url,
            token_block=token_block,
            calls_per_second=min(each.calls_per_second for each in members),
            portal_ids=tuple(each.portal_id for each in members),
            due=0,
        )
        for (organization_id, base_url, token_block), members in grouped.items()
    ]


async def known(connection: AsyncConnection, badge_ids: Sequence[str]) -> dict[str, KnownBadge]:
    """Return those of Credly's badges that the ledger has, by their id."""
    query = select(issuances.c.id, issuances.c.credly_badge_id, issuances.c.credly_state).where(
        issuances.c.credly_badge_id.in_(badge_ids)
    )
    return {
        row.credly_badge_id: KnownBadge(
            issuance_id=row.id, credly_badge_id=row.credly_badge_id, credly_state=row.credly_state
        )
        for row in await connection.execute(query)
    }


async def note_states(connection: AsyncConnection, states: Mapping[str, str], *, now: datetime) -> None:
    """Keep what Credly says of these badges, by badge id, and that they were looked at `now` (UTC)."""
    if states:
        statement = (
            update(issuances)
            .where(issuances.c.credly_badge_id == bindparam("badge_id"))
            .values(credly_state=bindparam("told"), audited_at=now)
        )
        told = [{"badge_id": key, "told": state[:_LONGEST_STATE]} for key, state in states.items()]
        await connection.execute(statement, told)


async def not_seen(
    connection: AsyncConnection, *, portal_ids: Sequence[str], since: datetime, recorded_before: datetime, limit: int
) -> list[KnownBadge]:
    """Return issued badges that were recorded before a moment and that no audit has seen since another."""
    unseen = or_(issuances.c.audited_at.is_(None), issuances.c.audited_at < since)
    old = and_(_ISSUED, issuances.c.portal_id.in_(portal_ids), issuances.c.recorded_at < recorded_before)
    query = (
        select(issuances.c.id, issuances.c.credly_badge_id, issuances.c.credly_state)
        .where(old, unseen)
        .order_by(issuances.c.id)
        .limit(limit)
    )
    return [
        KnownBadge(issuance_id=row.id, credly_badge_id=row.credly_badge_id, credly_state=row.credly_state)
        for row in await connection.execute(query)
    ]


async def counts(connection: AsyncConnection, *, portal_ids: Sequence[str]) -> dict[str, int]:
    """Count the issued badges of these portals by the state that Credly told last."""
    query = (
        select(func.coalesce(issuances.c.credly_state, "not asked yet").label("told"), func.count().label("n"))
        .where(_ISSUED, issuances.c.portal_id.in_(portal_ids))
        .group_by("told")
        .order_by("told")
    )
    return {row.told: row.n for row in await connection.execute(query)}


def issued_and_valid(portal_ids: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition: an issued badge of these portals that is valid at Credly, as far as the ledger has it."""
    return and_(_ISSUED, issuances.c.portal_id.in_(portal_ids), VALID_AT_CREDLY)


async def issued_without_award(
    connection: AsyncConnection, counts: Withdrawals, *, portal_ids: Sequence[str], limit: int
) -> list[int]:
    """Return issued badges whose award was withdrawn and that are valid at Credly, as far as the ledger has it."""
    without = and_(issued_and_valid(portal_ids), is_withdrawn(counts))
    query = select(issuances.c.id).where(without).order_by(issuances.c.id).limit(limit)
    return list((await connection.execute(query)).scalars())


@dataclass(frozen=True, kw_only=True)
class ToBeRevoked:
    """An issued badge whose award was withdrawn, where the integration says that it is then revoked."""

    issuance_id: int
    credly_badge_id: str
    reason: str
    silent: bool


def may_be_revoked(portal_ids: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition: an issued badge that is revoked once its award is withdrawn."""
    revokes = exists().where(
        integrations.c.achievement_id == issuances.c.achievement_id, integrations.c.revoke_when_withdrawn
    )
    return and_(issued_and_valid(portal_ids), revokes)


async def revocable(connection: AsyncConnection, counts: Withdrawals, *, portal_ids: Sequence[str]) -> list[Revocable]:
    """Count the badges to revoke, by portal and achievement."""
    columns = (issuances.c.portal_id, issuances.c.achievement_id)
    query = (
        select(*columns, func.count().label("badges"))
        .where(may_be_revoked(portal_ids), is_withdrawn(counts))
        .group_by(*columns)
        .order_by(*columns)
    )
    return [
        Revocable(portal_id=row.portal_id, achievement_id=row.achievement_id, badges=row.badges)
        for row in await connection.execute(query)
    ]


async def to_be_revoked(
    connection: AsyncConnection, counts: Withdrawals, *, portal_ids: Sequence[str], limit: int
) -> list[ToBeRevoked]:
    """Return badges to revoke, the oldest first."""
    query = (
        select(
            issuances.c.id,
            issuances.c.credly_badge_id,
            integrations.c.revoke_reason,
            integrations.c.suppress_notification,
        )
        .join(integrations, integrations.c.achievement_id == issuances.c.achievement_id)
        .where(integrations.c.revoke_when_withdrawn, issued_and_valid(portal_ids), is_withdrawn(counts))
        .order_by(issuances.c.id)
        .limit(limit)
    )
    return [
        ToBeRevoked(
            issuance_id=row.id,
            credly_badge_id=row.credly_badge_id,
            reason=row.revoke_reason,
            silent=row.suppress_notification,
        )
        for row in await connection.execute(query)
    ]


async def put_revoked(connection: AsyncConnection, badge: ToBeRevoked, *, now: datetime) -> None:
    """Take an issued badge back into the ledger as cancelled: a new award makes it due again."""
    same = and_(issuances.c.id == badge.issuance_id, issuances.c.credly_badge_id == badge.credly_badge_id)
    values = {
        "state": IssuanceState.CANCELLED,
        "reason": Reason.AWARD_WITHDRAWN,
        "credly_badge_id": None,
        "recorded_at": None,
        "revoked_badge_id": badge.credly_badge_id,
        "credly_state": "revoked",
        "updated_at": now,
    }
    await connection.execute(update(issuances).where(same).values(**values))
