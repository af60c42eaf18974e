"""Writes the settings of administrators: connections of portals, integrations of achievements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, func, or_, select, update

from models.base import Model
from models.ledger.conditions import is_outstanding
from models.ledger.tables import BadgeIssuance
from models.ledger.transitions import move
from models.setup import organizations
from models.setup.history import change_settings, put_settings, remove_settings
from models.setup.lookups import all_connections, all_integrations, integration_of
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table
from rules.forms.configuration import Columns
from rules.forms.settings_plan import Change
from rules.ledger.reasons import Reason
from rules.ledger.settings_changes import SettingsOf
from rules.ledger.states import QUEUED, IssuanceState
from rules.ledger.transitions import Transition

connections = table(CredlyConnection)
integrations = table(CredlyIntegration)
issuances = table(BadgeIssuance)
TOKEN_LIFE = timedelta(days=180)


def put_connection(connection: Connection, portal_id: str, values: Mapping[str, Any], *, now: datetime) -> bool:
    """Connect a portal, or replace its connection; return whether it had one."""
    access = {name: values[name] for name in ("base_url", "organization_id", "calls_per_second")}
    organizations.forget_other_pace(connection, **access)
    organizations.put(connection, **access, token_block=values["token_block"])
    return put_settings(connection, SettingsOf.CONNECTION, portal_id, values, now=now)


def remove_connection(connection: Connection, portal_id: str, *, now: datetime) -> int | None:
    """Disconnect a portal and block its waiting issuances; return how many, None if it was not connected."""
    if not remove_settings(connection, SettingsOf.CONNECTION, portal_id, now=now):
        return None
    # Outstanding calls are settled at the organization that was called.
    waiting = and_(issuances.c.portal_id == portal_id, issuances.c.state.in_(QUEUED), ~is_outstanding())
    return move(connection, Transition.BLOCK, waiting, now=now, reason=Reason.PORTAL_NOT_CONNECTED)


def enable(
    connection: Connection, achievement_id: str, values: Mapping[str, Any], *, now: datetime
) -> tuple[CredlyIntegration | None, int, bool]:
    """Store an achievement's settings, held if they cover earlier awards than before, until the cap was checked.

    Returns the previous settings, how many issuances get a new template, and whether this call held it.
    """
    before, since = integration_of(connection, achievement_id), values["issue_since"]
    reaches_further = since is not None and (before is None or covers_from(before) > since)
    held = reaches_further and (before is None or before.held_at is None)
    new = {"enabled_at": now} if before is None else {}
    put_settings(connection, SettingsOf.INTEGRATION, achievement_id, {**values, **new}, now=now)
    if held:
        change_settings(connection, SettingsOf.INTEGRATION, achievement_id, {"held_at": now}, now=now)
    return before, retarget_waiting(connection, achievement_id, values["badge_template_id"], now=now), held


def release_own_hold(
    connection: Connection, achievement_id: str, values: Mapping[str, Any], *, held_at: datetime, now: datetime
) -> None:
    """Release the hold of `enable`, unless the settings were changed since."""
    same = [integrations.c[name].is_not_distinct_from(values[name]) for name in ("issue_since", "badge_template_id")]
    mine = integrations.c.held_at == held_at, *same
    change_settings(connection, SettingsOf.INTEGRATION, achievement_id, {"held_at": None}, *mine, now=now)


def covers_from(integration: CredlyIntegration) -> datetime:
    return integration.issue_since or integration.enabled_at


def remove_integration(connection: Connection, achievement_id: str, *, now: datetime) -> int:
    """Delete an achievement's integration and cancel its waiting issuances; return how many."""
    remove_settings(connection, SettingsOf.INTEGRATION, achievement_id, now=now)
    # Not issuances in `issuing`: their run cancels or completes them. Outstanding calls are settled first.
    of_achievement = issuances.c.achievement_id == achievement_id
    waiting = and_(of_achievement, issuances.c.state.in_(QUEUED), ~is_outstanding())
    return move(connection, Transition.CANCEL, waiting, now=now, reason=Reason.INTEGRATION_REMOVED)


def retarget_waiting(connection: Connection, achievement_id: str, badge_template_id: str, *, now: datetime) -> int:
    """Move waiting issuances of an achievement to the new template; return how many."""
    other = table(BadgeIssuance).alias()
    has_row = (
        select(other.c.id)
        .where(
            other.c.achievement_id == issuances.c.achievement_id,
            other.c.user_id == issuances.c.user_id,
            other.c.badge_template_id == badge_template_id,
        )
        .exists()
    )
    # Not issuances that Credly may already have, nor those that replace a badge of the old template.
    waiting = (
        (issuances.c.achievement_id == achievement_id)
        & (issuances.c.badge_template_id != badge_template_id)
        & issuances.c.state.in_([IssuanceState.PENDING, IssuanceState.BLOCKED, IssuanceState.FAILED])
        & ~is_outstanding()
        & ~issuances.c.former
        & issuances.c.replaces_badge_id.is_(None)
        & ~has_row
    )
    return move(connection, Transition.CHANGE_TEMPLATE, waiting, now=now, badge_template_id=badge_template_id)


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What a file of settings has done: integrations held until their cap was checked, and issuances by what it is."""

    held: list[str]
    retargeted: int
    cancelled: int
    blocked: int


def apply(
    connection: Connection, changes: Sequence[Change], *, connected: Mapping[str, Columns], now: datetime
) -> Applied | None:
    """Write the changes of a file in their order; None, and nothing written, if settings have changed since.

    `connected` has by portal further columns of its connection.
    """
    of_portals, of_achievements = all_connections(connection), all_integrations(connection)
    for each in changes:
        rows: Mapping[str, Model] = of_portals if each.settings_of is SettingsOf.CONNECTION else of_achievements
        if _has_changed(rows.get(each.key), each.before):
            return None
    held, retargeted, cancelled, blocked = [], 0, 0, 0
    for each in changes:
        if each.settings_of is SettingsOf.CONNECTION:
            if each.after is None:
                blocked += remove_connection(connection, each.key, now=now) or 0
            else:
                put_connection(connection, each.key, {**each.after, **connected[each.key]}, now=now)
        elif each.after is None:
            cancelled += remove_integration(connection, each.key, now=now)
        else:
            _, moved, is_held = enable(connection, each.key, each.after, now=now)
            retargeted += moved
            held += [each.key] * is_held
    return Applied(held=held, retargeted=retargeted, cancelled=cancelled, blocked=blocked)


def _has_changed(row: Model | None, before: Columns | None) -> bool:
    if row is None or before is None:
        return (row is None) != (before is None)
    return any(getattr(row, name) != value for name, value in before.items())


def counts_by_state(connection: Connection, achievement_id: str) -> dict[IssuanceState, int]:
    query = select(issuances.c.state, func.count().label("n")).where(issuances.c.achievement_id == achievement_id)
    return {row.state: row.n for row in connection.execute(query.group_by(issuances.c.state))}


class TokenEnd(NamedTuple):
    """When a portal's token ends (UTC). Where Credly does not show it, 180 days after connecting are assumed."""

    portal_id: str
    ends_at: datetime
    assumed: bool


def tokens_ending(
    connection: Connection, *, before: datetime, portal_ids: Sequence[str] | None = None
) -> list[TokenEnd]:
    """Return the portals whose tokens expire before this moment (UTC), the earliest first."""
    columns = connections.c
    assumed = and_(columns.token_ends_at.is_(None), columns.connected_at < before - TOKEN_LIFE)
    query = select(columns.portal_id, columns.token_ends_at, columns.connected_at)
    query = query.where(or_(columns.token_ends_at < before, assumed))
    if portal_ids is not None:
        query = query.where(columns.portal_id.in_(portal_ids))
    found = [
        TokenEnd(row.portal_id, row.token_ends_at or row.connected_at + TOKEN_LIFE, row.token_ends_at is None)
        for row in connection.execute(query)
    ]
    return sorted(found, key=lambda each: (each.ends_at, each.portal_id))


def put_token_end(connection: Connection, portal_ids: Sequence[str], ends_at: datetime) -> None:
    """Store when the token of these portals expires (UTC)."""
    of_portals = connections.c.portal_id.in_(portal_ids)
    connection.execute(update(connections).where(of_portals).values(token_ends_at=ends_at))


def begin_renewal(connection: Connection, portal_ids: Sequence[str], *, tried_before: datetime, now: datetime) -> bool:
    """Note that these portals' token is to be renewed now; False if none asks for it, or one was tried since."""
    mine = connections.c.portal_id.in_(portal_ids)
    asked = select(func.count(), func.max(connections.c.renewal_tried_at)).where(mine, connections.c.renew_token)
    count, tried_at = connection.execute(asked).one()
    if not count or (tried_at is not None and tried_at >= tried_before):
        return False
    connection.execute(update(connections).where(mine, connections.c.renew_token).values(renewal_tried_at=now))
    return True


def renewed_and_used(
    connection: Connection, portal_ids: Sequence[str], *, tried_before: datetime, ends_after: datetime
) -> bool:
    """Whether these portals' token was renewed before a moment (UTC), and a badge was issued since then."""
    query = (
        select(connections.c.portal_id)
        .join(issuances, issuances.c.portal_id == connections.c.portal_id)
        .where(
            connections.c.portal_id.in_(portal_ids),
            connections.c.renewal_tried_at < tried_before,
            connections.c.token_ends_at > ends_after,
            issuances.c.recorded_at > tried_before,
        )
        .limit(1)
    )
    return connection.execute(query).first() is not None


def end_renewal(connection: Connection, portal_ids: Sequence[str]) -> None:
    connection.execute(update(connections).where(connections.c.portal_id.in_(portal_ids)).values(renewal_tried_at=None))
