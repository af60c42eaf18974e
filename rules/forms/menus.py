"""Menus of the forms: their entries, and the form's schema with and without a menu.

A field that may have one is marked in its JSON schema (`MARK`), so that `tasks/menus` finds it in a
deployment.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from rules.badge.text import tidy

MARK = "x-menu"
MOST_ENTRIES = 1000
"""A kind with more has no menu: its fields stay text."""
LONGEST_ID = 255
LONGEST_ENTRY = 500
_LONGEST_NAME = 80
BEFORE_ID = " · "
AT = "[@＠﹫]|%40"
"""The sign of an address: also as typed with a full-width sign, or copied from a link."""


class Menu(StrEnum):
    """What a menu offers."""

    PORTAL = "portal"
    ACHIEVEMENT = "achievement"
    TEMPLATE = "badge template"
    COMPANY = "company"
    PROJECT = "project"


def entry(key: str, name: str, *, note: str = "") -> str:
    """Return the entry `name (note) · key`; empty where the key cannot be entered in a form."""
    if key != tidy(key) or not key or len(key) > LONGEST_ID or re.search(AT, key) or BEFORE_ID in key:
        return ""
    # A form refuses addresses, and what looks like one may be in a name, too.
    shown = re.sub(AT, " at ", tidy(name))
    if len(shown) > _LONGEST_NAME:
        shown = f"{shown[: _LONGEST_NAME - 1]}…"
    noted = f" ({re.sub(AT, ' at ', note)})" if note else ""
    return f"{shown or '(no name)'}{noted}{BEFORE_ID}{key}"


def id_of_entry(text: str) -> str:
    """Return the id of an entry; a text that is no entry is an id itself."""
    return text.rpartition(BEFORE_ID)[2].strip()


def with_menus(schema: Mapping[str, Any], menus: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return a deployment's parameter schema with these entries, by kind, in place of those that it has."""
    properties = {name: _with_menu(field, menus) for name, field in schema.get("properties", {}).items()}
    return {**schema, "properties": properties}


def has_menus(schema: Mapping[str, Any]) -> bool:
    """Whether a field of a deployment's parameter schema has a menu."""
    return any(MARK in field and "anyOf" in field for field in schema.get("properties", {}).values())


def _with_menu(field: dict[str, Any], menus: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    if MARK not in field:
        return field
    plain = {name: value for name, value in field.items() if name not in ("type", "anyOf")}
    entries = menus.get(field[MARK], ())
    if not entries:
        return plain | {"type": "string"}
    # Prefect's V2 pages open the tab that the default is valid in.
    none = [""] if field.get("default") == "" else []
    choose = {"type": "string", "enum": [*none, *entries], "title": "Choose"}
    return plain | {"anyOf": [choose, {"type": "string", "title": "Enter an id"}]}
