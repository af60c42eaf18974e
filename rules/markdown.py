"""Markdown of text from the platform: names are shown literally, never as markup."""

import re
from collections.abc import Sequence

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~&:@/])")


def plain(text: str, *, longest: int = 200) -> str:
    """Return text that Markdown shows literally: on one line, shortened, its special characters escaped."""
    line = " ".join(text.split())
    if len(line) > longest:
        line = f"{line[: longest - 1]}…"
    # With backslashes, as Prefect's pages show an entity such as &#45; letter by letter.
    return _SPECIAL.sub(r"\\\1", line)


def code(text: str, *, longest: int = 200) -> str:
    """Return text as inline code; grave accents and bars, which would end it or the table cell, are replaced."""
    line = " ".join(text.split()).replace("`", "'").replace("|", "¦")
    return f"`{line if len(line) <= longest else line[: longest - 1] + '…'}`"


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table of cells that are Markdown already."""
    return "\n".join([row(*head), row(*("---" for _ in head)), *(row(*cells) for cells in rows)])
