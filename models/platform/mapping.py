"""The mapping of a platform: a folder with a query for each relation that Laurel reads, and `mapping.toml`.

docs/how-to/mappings.md describes both. Without a mapping (`native`) the relations are tables or views of their names.
"""

import re
import shlex
import tomllib
from collections.abc import Mapping as Named
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, ValidationError

from models.errors import PlatformNotUsable
from models.platform.tables import platform_metadata

READY_MADE = Path(__file__).resolve().parents[2] / "mappings"
NATIVE = "native"
RELATIONS = tuple(sorted(platform_metadata.tables))
_MAY_BE_EMPTY = ("companies", "projects")
_AWARE, _EPOCH = "aware", "epoch"


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """The queries of the relations by name, with the parameters filled in, and how their values are stored.

    A relation without a query is empty. `zone` is that of moments without one; `epoch`: moments are seconds since 1970.
    """

    name: str
    queries: Named[str, str] = field(default_factory=dict)
    integer_keys: frozenset[str] = frozenset()
    zone: ZoneInfo | None = None
    epoch: bool = False
    zero_is_none: bool = False
    deletion_withdraws: bool = True

    @property
    def orders_as_text(self) -> bool:
        """Whether pages of awards are in the order in which the ledger, too, has its keys."""
        return not self.integer_keys & {"achievements", "users"}

    @property
    def is_native(self) -> bool:
        return self.name == NATIVE


NATIVE_MAPPING = Mapping(name=NATIVE)


class _File(BaseModel):
    """The content of `mapping.toml`. A parameter whose default is empty has to be set."""

    model_config = ConfigDict(extra="forbid")

    description: str = ""
    moments: str = _AWARE
    integer_keys: list[str] = []
    zero_is_none: bool = False
    deletion_withdraws: bool = False
    parameters: dict[str, str] = {}


def mapping_of(name: str, given: str) -> Mapping:
    """Return the mapping `native`, a ready-made one, or the one in a folder, with the parameters given as name=value.

    Raises:
        PlatformNotUsable: there is no such mapping, or one of its files or parameters is wrong.
    """
    parameters = _parameters(given)
    if name == NATIVE:
        if parameters:
            raise PlatformNotUsable("LAUREL_MAPPING_PARAMETERS is set, and the mapping `native` has none: unset it.")
        return NATIVE_MAPPING
    folder = READY_MADE.parent / name if "/" in name else READY_MADE / name  # a relative one is in the checkout
    if not folder.is_dir():
        known = ", ".join([NATIVE, *sorted(each.name for each in READY_MADE.iterdir() if each.is_dir())])
        raise PlatformNotUsable(
            f"LAUREL_MAPPING names {name}, which is no folder. Give one of {known}, or the path of a folder with a /."
        )
    described = _described(folder)
    values = _values(described, parameters)
    queries = {file.stem: _filled(file, values) for file in sorted(folder.glob("*.sql"))}
    _check_relations(folder, queries, described)
    return Mapping(
        name=name,
        queries=queries,
        integer_keys=frozenset(described.integer_keys),
        zone=None if described.moments in (_AWARE, _EPOCH) else _zone(folder, described.moments),
        epoch=described.moments == _EPOCH,
        zero_is_none=described.zero_is_none,
        deletion_withdraws=described.deletion_withdraws,
    )


def _parameters(given: str) -> dict[str, str]:
    try:
        return {name: value for name, _, value in (each.partition("=") for each in shlex.split(given))}
    except ValueError:
        raise PlatformNotUsable("LAUREL_MAPPING_PARAMETERS has a quotation mark that is not closed.") from None


def _described(folder: Path) -> _File:
    file = folder / "mapping.toml"
    try:
        return _File.model_validate(tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise PlatformNotUsable(f"{file}: {wrong}. docs/how-to/mappings.md lists what it may contain.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlatformNotUsable(f"{file} is not valid TOML in UTF-8: {error}.") from None


def _check_relations(folder: Path, queries: Named[str, str], described: _File) -> None:
    if unknown := sorted(set(queries) - set(RELATIONS)):
        raise PlatformNotUsable(f"{folder}/{unknown[0]}.sql is none of the relations {', '.join(RELATIONS)}.")
    if missing := sorted(set(RELATIONS) - set(queries) - set(_MAY_BE_EMPTY)):
        raise PlatformNotUsable(
            f"{folder} has no {missing[0]}.sql. Only {' and '.join(_MAY_BE_EMPTY)} may be left out, and are then empty."
        )
    if unknown := sorted(set(described.integer_keys) - set(queries)):
        raise PlatformNotUsable(f"{folder}/mapping.toml: integer_keys names {unknown[0]}, for which there is no query.")


def _values(described: _File, given: Named[str, str]) -> dict[str, str]:
    names = ", ".join(sorted(described.parameters)) or "none"
    if unknown := sorted(set(given) - set(described.parameters)):
        raise PlatformNotUsable(f"LAUREL_MAPPING_PARAMETERS: {unknown[0]} is no parameter of the mapping ({names}).")
    values = described.parameters | dict(given)
    if unset := sorted(key for key, value in values.items() if value == "" and described.parameters[key] == ""):
        raise PlatformNotUsable(f"The mapping needs a value for {unset[0]}: LAUREL_MAPPING_PARAMETERS='{unset[0]}=…'.")
    return values


def _filled(file: Path, values: Named[str, str]) -> str:
    """Return the query with `{name}` replaced by the value as part of a name, and `:name` by a string literal."""

    def part_of_name(found: re.Match[str]) -> str:
        value = values[found[1]]
        if not re.fullmatch(r"\w*", value, re.ASCII):
            raise PlatformNotUsable(f"The parameter {found[1]} is part of a name: letters, digits and _ only.")
        return value

    def literal(found: re.Match[str]) -> str:
        value = values[found[1]]
        # MySQL takes a backslash for an escape, other databases do not.
        if "\\" in value or not value.isprintable():
            raise PlatformNotUsable(f"The parameter {found[1]} may have no backslash and no line break.")
        return "'" + value.replace("'", "''") + "'"

    try:
        query = file.read_text(encoding="utf-8-sig").strip().rstrip(";").rstrip()
    except UnicodeDecodeError:
        raise PlatformNotUsable(f"{file} is not in UTF-8.") from None
    if names := "|".join(map(re.escape, values)):
        query = re.sub(rf"\{{({names})\}}", part_of_name, query)
        query = re.sub(rf"(?<![:\w]):({names})\b", literal, query)
    return query


def _zone(folder: Path, name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # a name that is no zone, or no name at all
        raise PlatformNotUsable(
            f"{folder}/mapping.toml: moments is {name}, and must be aware, epoch, or a time zone such as Europe/Berlin."
        ) from None
