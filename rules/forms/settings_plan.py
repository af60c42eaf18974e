"""What a file of settings changes: a comparison of its columns with those that are stored."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rules.forms.configuration import Columns
from rules.forms.settings import ConnectionForm, IntegrationForm
from rules.ledger.settings_changes import SettingsOf, changes_of


@dataclass(frozen=True, kw_only=True)
class Change:
    """Settings of a portal or an achievement that are created, changed or removed; None is no settings."""

    settings_of: SettingsOf
    key: str
    before: Columns | None
    after: Columns | None


def differences(
    settings_of: SettingsOf, wanted: Mapping[str, Columns], stored: Mapping[str, Columns], *, prune: bool
) -> list[Change]:
    """Return what has to change; with `prune` also what is stored and not wanted, to be removed.

    Columns that are stored and that no file has, such as the moment of a pause, are no difference.
    """
    found = []
    for key, after in wanted.items():
        before = {name: stored[key][name] for name in after} if key in stored else None
        if before != after:
            found.append(Change(settings_of=settings_of, key=key, before=before, after=after))
    gone = [key for key in stored if prune and key not in wanted]
    removed = [Change(settings_of=settings_of, key=key, before=stored[key], after=None) for key in gone]
    return [*found, *removed]


def plan_lines(changes: Sequence[Change], *, waiting: Mapping[str, int]) -> Iterator[str]:
    """Yield the changes as lines; `waiting` counts the badges by achievement that a removal cancels."""
    for change in changes:
        name = f"{change.settings_of} {change.key}"
        if change.after is None:
            count = waiting.get(change.key, 0) if change.settings_of is SettingsOf.INTEGRATION else 0
            yield f"- {name}{f': cancels {count} waiting' if count else ''}"
            continue
        yield f"{'+' if change.before is None else '~'} {name}"
        for column, (old, new) in changes_of(change.before, change.after).items():
            if change.before is not None:
                yield f"    {key_of(column)}: {_json(old)} → {_json(new)}"
            elif new not in _omitted(column):
                yield f"    {key_of(column)}: {_json(new)}"


def _omitted(column: str) -> tuple[Any, ...]:
    field = IntegrationForm.model_fields.get(column) or ConnectionForm.model_fields.get(column)
    return (None, "", False, field.default if field else False)


def key_of(column: str) -> str:
    """Return the key in the file that decides this column: `evidence.user.static_name`."""
    kind, evidence, part = column.partition("_evidence")
    if evidence:
        return f"evidence.{kind}.{f'static{part}' if part else 'on'}"
    field = IntegrationForm.model_fields.get(column)
    return (field.alias if field else None) or column


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
