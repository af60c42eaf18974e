"""The parts of the report's page: charts with their text, and tables with their cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports.charts import Picture
from rules.spans import time_in_words


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A table's cell: its text, and the sort key where that differs."""

    text: str
    order: str | int | float | None = None
    is_code: bool = False

    @property
    def is_number(self) -> bool:
        return isinstance(self.order, int | float)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table that can be sorted."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    more: str = ""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart with its title, its text alternative, and its numbers as a table."""

    title: str
    words: str
    explanation: str = ""
    picture: Picture | None = None
    table: Table | None = None


def more(shown: Sequence[Any], noun: str) -> str:
    of = int(shown[0]["of"]) if shown else 0
    return f"{len(shown):,} of {of:,} {noun} are shown; export has all of them." if of > len(shown) else ""


def text(text: str) -> Cell:
    return Cell(text=text)


def number(value: int) -> Cell:
    return Cell(text=f"{int(value):,}", order=int(value))


def time(seconds: int | None) -> Cell:
    return Cell(text=time_in_words(seconds), order=-1 if seconds is None else int(seconds))


def ratio(part: int, whole: int) -> float:
    return part / whole if whole else -1.0
