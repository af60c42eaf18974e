"""What a page of HTML holds, read with the standard parser."""

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

_EMPTY = {"meta", "link", "img", "br", "hr", "input"}


@dataclass
class Seen(HTMLParser):
    """Elements, links, tables by their caption, and the text that a person reads."""

    tags: Counter[str] = field(default_factory=Counter)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    cards: dict[str, list[str]] = field(default_factory=dict)
    text: str = ""
    path: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in _EMPTY:
            self.path.append(tag)
        if tag in ("td", "th"):
            self._rows[-1].append("")
        elif tag == "tr":
            self._rows.append([])
        elif tag == "dt":
            self._term = ""
        elif tag == "dd":
            self.cards[self._term].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.path.pop() == tag, f"{tag} is not closed where it should be"
        if tag == "dt":
            self.cards[self._term] = []

    def handle_data(self, data: str) -> None:
        inside = set(self.path)
        if inside & {"style", "script", "svg"}:
            return
        self.text += data
        if "caption" in inside:
            self._rows = self.tables.setdefault(data, [])
        elif inside & {"td", "th"}:
            self._rows[-1][-1] += data
        elif "dd" in inside:
            self.cards[self._term][-1] += data
        elif "dt" in inside:
            self._term += data


def read(page: str) -> Seen:
    """Parse a whole page; every element that needs it must be closed."""
    seen = Seen()
    seen.feed(page)
    seen.close()
    assert seen.path == []
    return seen
