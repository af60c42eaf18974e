"""Comparing the ledger with what Credly has: writing back the states that Credly tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, exists, func, or_, select, update

from models.integrations import CredlyConnection, CredlyIntegration
from models.ledger.claiming import DueOrganization
from models.ledger.erasure import NOT_ERASED
from models.ledger.recording import Attempt, RunIds, keep_calls
from models.ledger.tables import BadgeIssuance
from models.ledger.transitions import move
from models.planning.deletions import VALID_AT_CREDLY
from models.tables import table
from rules.ledger.transitions import Transition
from rules.reasons import Reason
from rules.states import IssuanceState

connections = table(CredlyConnection)
integrations = table(CredlyIntegration)
issuances = table(BadgeIssuance)
_LONGEST_STATE = 20  # what the ledger has room for
_ISSUED = issuances.c.state == IssuanceState.ISSUED
ISSUED_AND_VALID = and_(_ISSUED, VALID_AT_CREDLY, NOT_ERASED)  # as far as the ledger has it


@dataclass(frozen=True, kw_only=True)
class KnownBadge:
    """An issued badge in the ledger."""

    issuance_id: int
    credly_badge_id: str
    credly_state: str | None = None


def organizations(connection: Connection, *, portal_id: str = "") -> list[DueOrganization]:
    """Return the connected organizations (of one portal, if given), those that share a token as one."""
    query = select(connections).order_by(connections.c.organization_id, connections.c.portal_id)
    if portal_id:
        query = query.where(connections.c.portal_id == portal_id)
    grouped: dict[tuple[str, str, str], list[CredlyConnection]] = {}
    for row in connection.execute(query):
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


def known(connection: Connection, badge_ids: Sequence[str]) -> dict[str, KnownBadge]:
    """Return those of Credly's badges that the ledger has, by their id."""
    query = select(issuances.c.id, issuances.c.credly_badge_id, issuances.c.credly_state).where(
        issuances.c.credly_badge_id.in_(badge_ids)
    )
    return {
        row.credly_badge_id: KnownBadge(
            issuance_id=row.id, credly_badge_id=row.credly_badge_id, credly_state=row.credly_state
        )
        for row in connection.execute(query)
    }


def note_states(connection: Connection, states: Mapping[str, str], *, now: datetime) -> None:
    """Keep what Credly says of these badges, by badge id, and that they were looked at `now` (UTC)."""
    if states:
        statement = (
            update(issuances)
            .where(issuances.c.credly_badge_id == bindparam("badge_id"))
            .values(credly_state=bindparam("told"), audited_at=now)
        )
        told = [{"badge_id": key, "told": state[:_LONGEST_STATE]} for key, state in states.items()]
        connection.execute(statement, told)


def not_seen(
    connection: Connection, *, portal_ids: Sequence[str], since: datetime, recorded_before: datetime, limit: int
) -> list[KnownBadge]:
    """Return issued badges that were recorded before a moment and that no audit has seen since another."""
    unseen = or_(issuances.c.audited_at.is_(None), issuances.c.audited_at < since)
    old = and_(_ISSUED, issuances.c.portal_id.in_(portal_ids), issuances.c.recorded_at < recorded_before)
    query = (
        select(issuances.c.id, issuances.c.credly_badge_id, issuances.c.credly_state)
        .where(old, unseen, NOT_ERASED)
        .order_by(issuances.c.id)
        .limit(limit)
    )
    return [
        KnownBadge(issuance_id=row.id, credly_badge_id=row.credly_badge_id, credly_state=row.credly_state)
        for row in connection.execute(query)
    ]


def counts(connection: Connection, *, portal_ids: Sequence[str]) -> dict[str, int]:
    """Count the issued badges of these portals by the state that Credly told last."""
    query = (
        select(func.coalesce(issuances.c.credly_state, "not asked yet").label("told"), func.count().label("n"))
        .where(_ISSUED, issuances.c.portal_id.in_(portal_ids))
        .group_by("told")
        .order_by("told")
    )
    return {row.told: row.n for row in connection.execute(query)}


@dataclass(frozen=True, kw_only=True)
class ToBeRevoked:
    """An issued badge whose award was withdrawn, where the integration says that it is then revoked."""

    issuance_id: int
    credly_badge_id: str
    reason: str
    silent: bool


REVOKED_WHEN_WITHDRAWN: ColumnElement[bool] = and_(
    ISSUED_AND_VALID,
    exists().where(integrations.c.achievement_id == issuances.c.achievement_id, integrations.c.revoke_when_withdrawn),
)


def to_be_revoked(connection: Connection, issuance_ids: Sequence[int]) -> list[ToBeRevoked]:
    """Return what is needed to revoke these badges, the oldest first."""
    query = (
        select(
            issuances.c.id,
            issuances.c.credly_badge_id,
            integrations.c.revoke_reason,
            integrations.c.suppress_notification,
        )
        .join(integrations, integrations.c.achievement_id == issuances.c.achievement_id)
        .where(integrations.c.revoke_when_withdrawn, ISSUED_AND_VALID, issuances.c.id.in_(issuance_ids))
        .order_by(issuances.c.id)
    )
    return [
        ToBeRevoked(
            issuance_id=row.id,
            credly_badge_id=row.credly_badge_id,
            reason=row.revoke_reason,
            silent=row.suppress_notification,
        )
        for row in connection.execute(query)
    ]


def keep_revoking(
    connection: Connection,
    badge: ToBeRevoked,
    state: str | None,
    calls: Sequence[Attempt],
    runs: RunIds,
    *,
    now: datetime,
) -> None:
    """Keep the calls that were made to revoke a badge, and its state at Credly if that was learnt."""
    keep_calls(connection, calls, runs)
    if state == "revoked":
        put_revoked(connection, badge, now=now)
    elif state is not None:
        note_states(connection, {badge.credly_badge_id: state}, now=now)


def put_revoked(connection: Connection, badge: ToBeRevoked, *, now: datetime) -> None:
    """Take an issued badge back into the ledger as cancelled: a new award makes it due again."""
    same = and_(issuances.c.id == badge.issuance_id, issuances.c.credly_badge_id == badge.credly_badge_id)
    values: dict[str, Any] = {"revoked_badge_id": badge.credly_badge_id, "credly_state": "revoked"}
    move(connection, Transition.REVOKE, same, now=now, reason=Reason.AWARD_WITHDRAWN, **values)
