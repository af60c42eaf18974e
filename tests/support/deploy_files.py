"""What deploy/ says, read as its readers do: Compose its variables, a build its COPY lines, systemd its units."""

import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from settings import ROOT

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])((?:[^{}]|\$\{[^{}]*\})*))?\}")


def compose(variables: dict[str, str] | None = None) -> dict[str, Any]:
    """The compose file, with its variables replaced when some are given."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text if variables is None else replaced(text, variables))
    return loaded


def replaced(text: str, variables: dict[str, str]) -> str:
    """Replace ${NAME}, ${NAME:-default} and ${NAME:?message}; a variable that is needed and empty is a mistake."""

    def value(found: re.Match[str]) -> str:
        name, kind, other = found.groups()
        if variables.get(name):
            return variables[name]
        assert kind == "-", f"{name} is needed: {other}"
        return replaced(other, variables)

    return _VARIABLE.sub(value, text)


def variables_named() -> set[str]:
    return set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text(encoding="utf-8")))


def lines_of(file: Path) -> dict[str, str]:
    """The NAME=value lines of an environment file, without quotes."""
    found = re.findall(r"^(\w+)=(.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: value.strip("'") for name, value in found}


def instructions() -> list[tuple[str, list[str]]]:
    """The Dockerfile's instructions, each with its words."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(words[0], words[1:]) for words in lines]


def copied() -> list[str]:
    return [source for name, words in instructions() if name == "COPY" for source in words[:-1]]


def image_tree(folder: Path) -> Path:
    """Copy into the folder what the image has in its own, and nothing else."""
    folder.mkdir(exist_ok=True)
    for source in copied():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, folder / source)
    return folder


def unit(file: Path) -> dict[str, list[tuple[str, str]]]:
    """A unit's sections, each with its settings in order; a name may come more than once."""
    parsed: dict[str, list[tuple[str, str]]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if section := re.fullmatch(r"\[(\w+)\]", line):
            parsed[section[1]] = []
        elif line and not line.startswith("#"):
            name, equals, value = line.partition("=")
            assert equals, line
            parsed[list(parsed)[-1]].append((name, value))
    return parsed


def unit_environment(file: Path) -> dict[str, str]:
    values = [value for name, value in unit(file)["Service"] if name == "Environment"]
    return dict(pair.split("=", 1) for value in values for pair in value.split())
