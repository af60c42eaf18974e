"""The commands of docs/how-to, as a shell would read them."""

import json
import re
import shlex
from typing import Any

from settings import ROOT

HOW_TO = ROOT / "docs" / "how-to"


def text() -> str:
    """Return all pages, one after another."""
    return "\n".join(page.read_text(encoding="utf-8") for page in sorted(HOW_TO.glob("*.md")))


def commands() -> list[list[str]]:
    """Return the words of each Prefect command line in the pages, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text(), re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines]


def deployment_and_parameters(words: list[str]) -> tuple[str, dict[str, Any]]:
    """Return what a command line starts, and with what: values as Prefect's command reads them."""
    assert words[:3] == ["prefect", "deployment", "run"]
    options = words[4:]
    assert options[::2] == ["-p"] * len(options[::2])
    pairs = [option.partition("=")[::2] for option in options[1::2]]
    return words[3], {name: _value(text) for name, text in pairs}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
