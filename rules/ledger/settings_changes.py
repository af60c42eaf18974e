"""Changes of a portal's connection and of an achievement's integration: their names, and their text."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

Changes = Mapping[str, tuple[Any, Any]]
"""By column, the value before and after; None where there was or is none."""


class SettingsOf(StrEnum):
    """What the settings belong to: a portal or an achievement."""

    CONNECTION = "connection"
    INTEGRATION = "integration"


class SettingsAction(StrEnum):
    """What a change of settings does. Stored in the history by value."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    ENABLED = "enabled"
    DISABLED = "disabled"
    CHANGED = "changed"
    PAUSED = "paused"
    RESUMED = "resumed"
    HELD = "held"
    RELEASED = "released"


_MADE = {SettingsOf.CONNECTION: SettingsAction.CONNECTED, SettingsOf.INTEGRATION: SettingsAction.ENABLED}
_REMOVED = {SettingsOf.CONNECTION: SettingsAction.DISCONNECTED, SettingsOf.INTEGRATION: SettingsAction.DISABLED}
_SWITCHES = {
    "paused_at": (SettingsAction.PAUSED, SettingsAction.RESUMED),
    "held_at": (SettingsAction.HELD, SettingsAction.RELEASED),
}
_SUBJECT = {SettingsOf.CONNECTION: "Portal", SettingsOf.INTEGRATION: "Achievement"}


def changes_of(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> dict[str, tuple[Any, Any]]:
    """Return what differs between two states of the same settings, as JSON can hold it; None is no settings."""
    old, new = before or {}, after or {}
    pairs = {name: (_as_json(old.get(name)), _as_json(new.get(name))) for name in {**old, **new}}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _as_json(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def action_of(settings_of: SettingsOf, changes: Changes, *, existed: bool, exists: bool) -> SettingsAction:
    """Return the kind of a change; pausing and holding only if nothing else changes with them."""
    if not existed:
        return _MADE[settings_of]
    if not exists:
        return _REMOVED[settings_of]
    (column, (_, after)), *others = changes.items()
    if others or column not in _SWITCHES:
        return SettingsAction.CHANGED
    begun, ended = _SWITCHES[column]
    return ended if after is None else begun


def change_text(settings_of: SettingsOf, subject_id: str, action: SettingsAction, changes: Changes) -> str:
    """Return a change as text: `Achievement forklift was changed: locale en → de.`"""
    details: list[str] = []
    if action is SettingsAction.CHANGED:
        details = [f"{name} {_shown(old)} → {_shown(new)}" for name, (old, new) in changes.items()]
    elif action in _MADE.values():
        details = [f"{name} {_shown(new)}" for name, (_, new) in changes.items() if new not in (None, "", False)]
    what = f"{_SUBJECT[settings_of]} {subject_id} was {_WORDS.get(action, action)}"
    return f"{what}: {'; '.join(details)}." if details else f"{what}."


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "–" if value in (None, "") else str(value)


_WORDS = {
    SettingsAction.CONNECTED: "connected to Credly",
    SettingsAction.DISCONNECTED: "disconnected from Credly",
    SettingsAction.ENABLED: "enabled for Credly",
    SettingsAction.DISABLED: "disabled for Credly",
    SettingsAction.CHANGED: "changed in its Credly settings",
    SettingsAction.HELD: "held: many badges may be due at once",
}
