"""Compares the ledger with Credly: stores the states that Credly reports, and revocations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, not_, or_, select, true, update

from models.analytics.views import badges
from models.by_key import portions
from models.ledger.conditions import integration_has
from models.ledger.recording import Attempt, RunIds, keep_calls
from models.ledger.tables import LONGEST_STATE, BadgeIssuance
from models.ledger.transitions import move
from models.operations.erasure import NOT_ERASED
from models.planning.deletions import VALID_AT_CREDLY
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from rules.ledger.transitions import Transition

connections = table(CredlyConnection)
integrations = table(CredlyIntegration)
issuances = table(BadgeIssuance)
_ISSUED = issuances.c.state == IssuanceState.ISSUED
ISSUED_AND_VALID = and_(_ISSUED, VALID_AT_CREDLY, NOT_ERASED)  # by the last state that Credly reported


@dataclass(frozen=True, kw_only=True)
class KnownBadge:
    """An issued badge in the ledger."""

    issuance_id: int
    credly_badge_id: str
    user_id: str
    badge_template_id: str
    credly_state: str | None = None
    audited_at: datetime | None = None


_KNOWN_BADGES = select(
    issuances.c.id.label("issuance_id"),
    *(issuances.c[each.name] for each in fields(KnownBadge) if each.name != "issuance_id"),
)


def is_of(organization: int | None) -> ColumnElement[bool]:
    """Return the condition that this organization issued a badge, or that it is not known which one did.

    Without the organization's id, all badges.
    """
    if organization is None:
        return true()
    return or_(issuances.c.issued_by.is_(None), issuances.c.issued_by == organization)


def known(
    connection: Connection, badge_ids: Sequence[str], *, organization: int | None = None
) -> dict[str, KnownBadge]:
    query = _KNOWN_BADGES.where(issuances.c.credly_badge_id.in_(badge_ids), is_of(organization))
    return {row.credly_badge_id: KnownBadge(**row) for row in connection.execute(query).mappings()}


def note_states(connection: Connection, states: Mapping[str, str], *, now: datetime) -> None:
    """Store the states that Credly reported for these badges, by badge id, at `now` (UTC).

    A state that was read later stays: the audit and the events may read the same badge at the same time.
    """
    if states:
        statement = (
            update(issuances)
            .where(
                issuances.c.credly_badge_id == bindparam("badge_id"),
                or_(issuances.c.audited_at.is_(None), issuances.c.audited_at <= now),
            )
            .values(credly_state=bindparam("reported"), audited_at=now)
        )
        rows = [{"badge_id": key, "reported": state[:LONGEST_STATE]} for key, state in states.items()]
        connection.execute(statement, rows)


def not_seen(
    connection: Connection,
    *,
    portal_ids: Sequence[str],
    since: datetime | None,
    recorded_before: datetime,
    limit: int,
    organization: int | None = None,
) -> list[KnownBadge]:
    """Return issued badges recorded before one moment that were not read since another (both UTC), or never.

    Those read the longest ago come first, and none that was deleted at Credly: each call brings others.
    """
    unseen = or_(issuances.c.audited_at.is_(None), issuances.c.audited_at < (since or issuances.c.recorded_at))
    old = and_(_ISSUED, issuances.c.portal_id.in_(portal_ids), issuances.c.recorded_at < recorded_before)
    present = issuances.c.credly_state.is_distinct_from("deleted")
    oldest = (issuances.c.audited_at.asc().nulls_first(), issuances.c.id)
    query = _KNOWN_BADGES.where(old, unseen, present, is_of(organization), NOT_ERASED).order_by(*oldest).limit(limit)
    return [KnownBadge(**row) for row in connection.execute(query).mappings()]


def issued_count(connection: Connection, *, portal_ids: Sequence[str]) -> int:
    query = select(func.count()).where(_ISSUED, issuances.c.portal_id.in_(portal_ids))
    return int(connection.execute(query).scalar_one())


def counts(connection: Connection, *, portal_ids: Sequence[str]) -> dict[str, int]:
    """Count the issued badges of these portals by the state that Credly reported last."""
    query = (
        select(func.coalesce(issuances.c.credly_state, "not asked yet").label("reported"), func.count().label("n"))
        .where(_ISSUED, issuances.c.portal_id.in_(portal_ids))
        .group_by("reported")
        .order_by("reported")
    )
    return {row.reported: row.n for row in connection.execute(query)}


def unclaimed(connection: Connection, *, portal_ids: Sequence[str], before: datetime) -> dict[str, int]:
    """Count by portal the badges recorded before a moment (UTC) that their earners have not accepted."""
    mine = (badges.c.claim_state == "pending", badges.c.recorded_at < before, badges.c.portal_id.in_(portal_ids))
    query = select(badges.c.portal_id, func.count().label("n")).where(*mine).group_by(badges.c.portal_id)
    return {row.portal_id: row.n for row in connection.execute(query)}


@dataclass(frozen=True, kw_only=True)
class ToBeRevoked:
    """An issued badge whose award was withdrawn, of an integration that then revokes it."""

    issuance_id: int
    credly_badge_id: str
    reason: str
    silent: bool


REVOKED_WHEN_WITHDRAWN: ColumnElement[bool] = and_(
    ISSUED_AND_VALID,
    integration_has(integrations.c.revoke_when_withdrawn),
)


def issued_elsewhere(connection: Connection, issuance_ids: Sequence[int], *, organization: int | None) -> set[int]:
    """Return those of the issuances whose badges another organization issued."""
    elsewhere = select(issuances.c.id).where(not_(is_of(organization)))
    return {
        each
        for ids in portions(issuance_ids)
        for each in connection.execute(elsewhere.where(issuances.c.id.in_(ids))).scalars()
    }


def unconnected_portals(connection: Connection) -> list[str]:
    """Return the portals that have issued badges and are not connected to Credly."""
    connected = select(connections.c.portal_id)
    query = select(issuances.c.portal_id).where(_ISSUED, issuances.c.portal_id.not_in(connected)).distinct()
    return sorted(connection.execute(query).scalars())


def to_be_revoked(connection: Connection, issuance_ids: Sequence[int]) -> list[ToBeRevoked]:
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
    """Record the calls made to revoke a badge, and its state at Credly if that is known."""
    keep_calls(connection, calls, runs)
    if state == "revoked":
        put_revoked(connection, badge, now=now)
    elif state is not None:
        note_states(connection, {badge.credly_badge_id: state}, now=now)


def put_revoked(connection: Connection, badge: ToBeRevoked, *, now: datetime) -> None:
    """Cancel a revoked issuance, so that a new award makes it due again."""
    # Only if the row still has this badge: it may have been replaced since.
    same = and_(issuances.c.id == badge.issuance_id, issuances.c.credly_badge_id == badge.credly_badge_id)
    values: dict[str, Any] = {"revoked_badge_id": badge.credly_badge_id, "credly_state": "revoked"}
    move(connection, Transition.REVOKE, same, now=now, reason=Reason.AWARD_WITHDRAWN, **values)
