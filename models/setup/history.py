"""The settings of portals and achievements, written together with their history: one row for each change.

Nothing else writes credly_connections and credly_integrations, except the moments that runs store there.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Index, delete, false, insert, select, update

from models.base import Field, LaurelTable
from models.columns import LONGEST_KEY, UtcDateTime, enum_by_value, insert_into, own_id
from models.ledger.transitions import flow_run_of
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table
from rules.ledger.settings_changes import SettingsAction, SettingsOf, action_of, changes_of


class SettingsChange(LaurelTable, table=True):
    """A change of a connection or an integration. Neither tokens nor learners' data are settings.

    `changes` is JSON: by column the value before and after, null if there was or is none. `subject_id` is the id of the
    portal or achievement. `reconstructed`: the settings as they were when the history was introduced.
    """

    __tablename__ = "settings_history"
    __table_args__ = (Index("ix_settings_history_subject", "settings_of", "subject_id", "id"),)
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    at: datetime = Field(sa_type=UtcDateTime)
    settings_of: SettingsOf = Field(sa_type=enum_by_value(SettingsOf, name="settings_of"))
    subject_id: str = Field(max_length=LONGEST_KEY)
    action: SettingsAction = Field(sa_type=enum_by_value(SettingsAction, name="action"))
    changes: str
    flow_run_id: str | None = Field(default=None, max_length=36)
    reconstructed: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


history = table(SettingsChange)
_connections, _integrations = table(CredlyConnection), table(CredlyIntegration)
_KEYS = {SettingsOf.CONNECTION: _connections.c.portal_id, SettingsOf.INTEGRATION: _integrations.c.achievement_id}
# Moments that runs store, and one that every form sets although no setting changes.
_NOT_SETTINGS = {
    "id",
    "portal_id",
    "achievement_id",
    "planned_at",
    "token_ends_at",
    "renewal_tried_at",
    "connected_at",
}
_PLAN_AGAIN = {"planned_at": None}  # the next run scans all awards of it


def put_settings(
    connection: Connection, settings_of: SettingsOf, subject_id: str, values: Mapping[str, Any], *, now: datetime
) -> bool:
    """Create or replace settings; return whether there were any."""
    if change_settings(connection, settings_of, subject_id, values, now=now):
        return True
    key = _KEYS[settings_of]
    new = insert_into(connection, key.table).values({key.name: subject_id, **values, **_PLAN_AGAIN})
    if connection.execute(new.on_conflict_do_nothing(index_elements=[key]).returning(key)).first() is None:
        return change_settings(
            connection, settings_of, subject_id, values, now=now
        )  # another form has created them since
    _append_change(connection, settings_of, subject_id, None, _settings(connection, settings_of, subject_id), now=now)
    return False


def change_settings(
    connection: Connection,
    settings_of: SettingsOf,
    subject_id: str,
    values: Mapping[str, Any],
    *where: ColumnElement[bool],
    now: datetime,
) -> bool:
    """Change settings that exist and meet the conditions; return whether there were any."""
    key, before = _KEYS[settings_of], _settings(connection, settings_of, subject_id)
    new = update(key.table).where(key == subject_id, *where).values({**values, **_PLAN_AGAIN})
    if before is None or not connection.execute(new).rowcount:
        return False
    _append_change(connection, settings_of, subject_id, before, _settings(connection, settings_of, subject_id), now=now)
    return True


def remove_settings(connection: Connection, settings_of: SettingsOf, subject_id: str, *, now: datetime) -> bool:
    """Delete settings; return whether there were any."""
    key, before = _KEYS[settings_of], _settings(connection, settings_of, subject_id)
    connection.execute(delete(key.table).where(key == subject_id))
    _append_change(connection, settings_of, subject_id, before, None, now=now)
    return before is not None


def _settings(connection: Connection, settings_of: SettingsOf, subject_id: str) -> dict[str, Any] | None:
    key = _KEYS[settings_of]
    # Locked, so that the values before are those that the change replaces.
    found = connection.execute(select(key.table).where(key == subject_id).with_for_update()).mappings().one_or_none()
    return None if found is None else {name: found[name] for name in found if name not in _NOT_SETTINGS}


def _append_change(
    connection: Connection,
    settings_of: SettingsOf,
    subject_id: str,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    *,
    now: datetime,
) -> None:
    changes = changes_of(before, after)
    if not changes:
        return
    row = {
        "at": now,
        "settings_of": settings_of,
        "subject_id": subject_id,
        "action": action_of(settings_of, changes, existed=before is not None, exists=after is not None),
        "changes": json.dumps(changes, ensure_ascii=False),
        "flow_run_id": flow_run_of(connection),
    }
    connection.execute(insert(history).values(row))
