"""Writing what people set up: connections of portals and integrations of achievements."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from models.directory import integration_of
from models.integrations import CredlyConnection, CredlyIntegration
from models.ledger.tables import BadgeIssuance
from models.tables import table
from rules.reasons import REFUSED_REASONS, TEMPLATE_REASONS, Reason
from rules.states import IssuanceState

connections = table(CredlyConnection)
integrations = table(CredlyIntegration)
issuances = table(BadgeIssuance)
_CHANGED = {"planned_at": None}  # the next run looks at all that belongs to it


def put_connection(connection: Connection, portal_id: str, values: Mapping[str, Any]) -> bool:
    """Connect a portal, or change its connection, and say whether it had one. It has exactly this one afterwards."""
    return _put(connection, connections.c.portal_id, portal_id, dict(values) | _CHANGED)


def remove_connection(connection: Connection, portal_id: str, *, now: datetime) -> int | None:
    """Disconnect a portal and block what waits for it; return how many that are, None where it was not connected."""
    if not connection.execute(delete(connections).where(connections.c.portal_id == portal_id)).rowcount:
        return None
    waiting = (issuances.c.portal_id == portal_id) & issuances.c.state.in_(
        [IssuanceState.PENDING, IssuanceState.BLOCKED]
    )
    values = {"state": IssuanceState.BLOCKED, "reason": Reason.PORTAL_NOT_CONNECTED, "updated_at": now}
    return connection.execute(update(issuances).where(waiting).values(**values)).rowcount


def put_integration(connection: Connection, achievement_id: str, values: Mapping[str, Any]) -> None:
    """Enable an achievement, or change its integration. It has exactly this integration afterwards."""
    _put(connection, integrations.c.achievement_id, achievement_id, dict(values) | _CHANGED)


def enable(
    connection: Connection, achievement_id: str, values: Mapping[str, Any], *, now: datetime
) -> tuple[CredlyIntegration | None, int, bool]:
    """Store an achievement's settings, held where they reach further back than before, until the cap was looked at.

    Returns the settings before, how many badges go out with a new template, and whether this has held it.
    """
    before, since = integration_of(connection, achievement_id), values["issue_since"]
    reaches_further = since is not None and (before is None or covers_from(before) > since)
    held = reaches_further and (before is None or before.held_at is None)
    new = {"enabled_at": now} if before is None else {}
    put_integration(connection, achievement_id, {**values, **new, **({"held_at": now} if held else {})})
    return before, take_along(connection, achievement_id, values["badge_template_id"], now=now), held


def release_own_hold(
    connection: Connection, achievement_id: str, values: Mapping[str, Any], *, held_at: datetime
) -> None:
    """Let go what `enable` has held, unless somebody has changed the settings meanwhile."""
    same = [integrations.c[name].is_not_distinct_from(values[name]) for name in ("issue_since", "badge_template_id")]
    mine = integrations.c.achievement_id == achievement_id, integrations.c.held_at == held_at
    connection.execute(update(integrations).where(*mine, *same).values(held_at=None, **_CHANGED))


def covers_from(integration: CredlyIntegration) -> datetime:
    """Return the moment from which awards are covered."""
    return integration.issue_since or integration.enabled_at


def remove_integration(connection: Connection, achievement_id: str, *, now: datetime) -> int:
    """Delete an achievement's integration and cancel what waits for it; return how many that are.

    What is being issued at this moment is not touched: its run cancels or finishes it.
    """
    connection.execute(delete(integrations).where(integrations.c.achievement_id == achievement_id))
    waiting = (issuances.c.achievement_id == achievement_id) & issuances.c.state.in_(
        [IssuanceState.PENDING, IssuanceState.BLOCKED]
    )
    values = {"state": IssuanceState.CANCELLED, "reason": Reason.INTEGRATION_REMOVED, "updated_at": now}
    return connection.execute(update(issuances).where(waiting).values(**values)).rowcount


def take_along(connection: Connection, achievement_id: str, badge_template_id: str, *, now: datetime) -> int:
    """Give what waits for an achievement its new template, so that it goes out with that; return how many.

    Not what Credly may have already (unclear), nor what replaces a badge of the old template. What was refused was
    looked up after the refusal, and a refused template is the usual reason for another one.
    """
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
    waiting = (
        (issuances.c.achievement_id == achievement_id)
        & (issuances.c.badge_template_id != badge_template_id)
        & issuances.c.state.in_([IssuanceState.PENDING, IssuanceState.BLOCKED, IssuanceState.FAILED])
        & or_(issuances.c.unclear_at.is_(None), issuances.c.reason.in_([*REFUSED_REASONS, *TEMPLATE_REASONS]))
        & issuances.c.replaces_badge_id.is_(None)
        & ~has_row
    )
    values = {"badge_template_id": badge_template_id, "updated_at": now}
    return connection.execute(update(issuances).where(waiting).values(**values)).rowcount


def counts_by_state(connection: Connection, achievement_id: str) -> dict[IssuanceState, int]:
    """Count an achievement's issuances by state."""
    query = select(issuances.c.state, func.count().label("n")).where(issuances.c.achievement_id == achievement_id)
    return {row.state: row.n for row in connection.execute(query.group_by(issuances.c.state))}


def tokens_ending(
    connection: Connection, *, before: datetime, portal_ids: Sequence[str] | None = None
) -> list[tuple[str, datetime]]:
    """Return the portals whose tokens are known to end before this moment, with that end, the nearest first."""
    query = (
        select(connections.c.portal_id, connections.c.token_ends_at)
        .where(connections.c.token_ends_at < before)
        .order_by(connections.c.token_ends_at, connections.c.portal_id)
    )
    if portal_ids is not None:
        query = query.where(connections.c.portal_id.in_(portal_ids))
    return [(row.portal_id, row.token_ends_at) for row in connection.execute(query)]


def put_token_end(connection: Connection, portal_ids: Sequence[str], ends_at: datetime) -> None:
    """Keep when the token of these portals ends."""
    of_portals = connections.c.portal_id.in_(portal_ids)
    connection.execute(update(connections).where(of_portals).values(token_ends_at=ends_at))


def _put(connection: Connection, key: Column[Any], value: str, values: Mapping[str, Any]) -> bool:
    """Change the row with this key, or make it; of two who make it at the same moment, the second changes it.

    Return whether it was there.
    """
    changed = connection.execute(update(key.table).where(key == value).values(**values))
    if changed.rowcount:
        return True
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    made = dialect.insert(key.table).values(**{key.name: value}, **values)
    connection.execute(made.on_conflict_do_update(index_elements=[key], set_=dict(values)))
    return False
