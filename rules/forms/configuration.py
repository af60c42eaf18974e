"""Settings as a file: `integrations.toml` with a table for each connection and each integration."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from rules.badge.evidence import EvidenceKind
from rules.forms.inputs import BASE_URLS, Environment, EvidenceChoice, EvidenceChoices, InvalidInput
from rules.forms.settings import ConnectionForm, IntegrationForm
from rules.forms.suggestions import did_you_mean
from rules.ledger.settings_changes import SettingsOf

Columns = Mapping[str, Any]
"""Settings of one portal or achievement by the names of their table's columns."""

CONNECTION_COLUMNS = tuple(name for name in ConnectionForm.model_fields if name != "environment")
FIELD_COLUMNS = tuple(name for name in IntegrationForm.model_fields if name not in ("evidence", "hold_above"))
INTEGRATION_COLUMNS = (
    *FIELD_COLUMNS,
    *(f"{kind}_evidence{part}" for kind in EvidenceKind for part in ("", "_name", "_description")),
)
SHOWN_FAULTS = 20
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_TABLES = {SettingsOf.CONNECTION: "connections", SettingsOf.INTEGRATION: "integrations"}


class Configuration(BaseModel):
    """The content of a file: connections by portal, integrations by achievement."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    connections: dict[str, ConnectionForm] = {}
    integrations: dict[str, IntegrationForm] = {}


class InvalidConfiguration(InvalidInput):
    """Nothing of the file can be used. Each fault is a sentence with its table and key."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        more = len(faults) - SHOWN_FAULTS
        super().__init__("\n".join([*faults[:SHOWN_FAULTS], *([f"… and {more} more."] if more > 0 else [])]))


def read_configuration(content: bytes) -> Configuration:
    """Return what the file says.

    Raises:
        InvalidConfiguration: it is not TOML, or a key or value is none that a form has.
    """
    try:
        found = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InvalidConfiguration(["The file is not UTF-8 text; save it as UTF-8."]) from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfiguration([f"The file is not TOML: {error}."]) from None
    return valid_configuration(found)


def valid_configuration(found: Mapping[str, Any]) -> Configuration:
    """Return the configuration.

    Raises:
        InvalidConfiguration: as `read_configuration`.
    """
    try:
        return Configuration.model_validate(found)
    except ValidationError as error:
        faults = [_fault(each["type"], each["loc"], each["msg"]) for each in error.errors(include_input=False)]
        raise InvalidConfiguration(faults) from None


def place_of(settings_of: SettingsOf, key: str) -> str:
    """Return the heading of the table: `[integrations.forklift]`."""
    return f"[{_TABLES[settings_of]}.{_key(key)}]"


def _fault(kind: str, where: tuple[int | str, ...], message: str) -> str:
    *tables, key = map(str, where)
    heading = ".".join(_key(each) for each in tables[:2])
    name = ".".join([*tables[2:], key])
    if not tables and kind == "dict_type":
        return f"[{_key(key)}]: it must be a table with a table for each id."
    if not tables:
        return f"[{_key(key)}]: there is no such table; a file has {' and '.join(Configuration.model_fields)}."
    if kind == "model_type":
        return f"{f'[{heading}] {name}' if tables[1:] else f'[{heading}.{_key(key)}]'}: it must be a table of settings."
    if kind == "extra_forbidden":
        return f"[{heading}] {name}: there is no such key.{did_you_mean(key, _known_keys(tables))}"
    if kind == "missing":
        return f"[{heading}] {name}: it is missing; give it."
    if kind == "expected":  # of rules/forms/inputs.py
        message = f"Input should be {message.split(chr(39))[1]}"
    said = message.replace("Input should", "it must").replace("String should", "it must")
    return f"[{heading}] {name}: {said[0].lower()}{said[1:]}."


def _known_keys(tables: Sequence[str]) -> dict[str, str]:
    model: type[BaseModel] = ConnectionForm if tables[0] == "connections" else IntegrationForm
    if tables[2:]:
        model = EvidenceChoice if tables[3:] else EvidenceChoices
    return {field.alias or name: "" for name, field in model.model_fields.items()}


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _text(key)


def as_toml(connections: Mapping[str, Columns], integrations: Mapping[str, Columns]) -> str:
    """Return stored settings as a file. Keys with the value that an omitted key has are left out."""
    tables = [
        *((SettingsOf.CONNECTION, key, _connection(columns)) for key, columns in sorted(connections.items())),
        *((SettingsOf.INTEGRATION, key, _integration(columns)) for key, columns in sorted(integrations.items())),
    ]
    return "\n".join("\n".join([place_of(of, key), *lines, ""]) for of, key, lines in tables)


def _connection(columns: Columns) -> Iterator[str]:
    known = {url: environment for environment, url in BASE_URLS.items()}
    environment = known.get(columns["base_url"], Environment.OTHER)
    address = columns["base_url"] if environment is Environment.OTHER else ""
    return _lines(ConnectionForm, {**columns, "environment": environment, "base_url": address})


def _integration(columns: Columns) -> Iterator[str]:
    yield from _lines(IntegrationForm, columns)
    for kind, choice in evidence_choices(columns).items():
        yield f"evidence.{kind} = {{ {', '.join(f'{name} = {_value(value)}' for name, value in choice.items())} }}"


def evidence_choices(columns: Columns) -> dict[EvidenceKind, dict[str, Any]]:
    """Return the evidence of an integration as the form has it, without what is off or empty."""
    choices = {
        kind: {
            "on": columns[f"{kind}_evidence"],
            "static_name": columns[f"{kind}_evidence_name"],
            "static_description": columns[f"{kind}_evidence_description"],
        }
        for kind in EvidenceKind
    }
    filled = {kind: {name: value for name, value in choice.items() if value} for kind, choice in choices.items()}
    return {kind: choice for kind, choice in filled.items() if choice}


def _lines(form: type[BaseModel], columns: Columns) -> Iterator[str]:
    # Not by an instance of the form: what was stored by an earlier version may be refused by now.
    for name, field in form.model_fields.items():
        if name in columns and columns[name] not in (None, field.default):
            yield f"{field.alias or name} = {_value(columns[name])}"


def _value(value: Any) -> str:
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return _text(value)


def _text(text: str) -> str:
    # JSON's escapes are TOML's, but for one control character that JSON leaves as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
