"""Issuing badges to a list of users: each row by itself, so that a bad one keeps none of the good ones back."""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from rules.choices import Mistake, UserId
from rules.markup import code, plain
from rules.text import tidy
from rules.told import Told, counted
from tasks.by_hand import Asked, issue_by_hand, preview_by_hand
from tasks.runtime.run import Run

_ROWS_AT_MOST = 5000
_BYTES_AT_MOST = 1_000_000
_user = TypeAdapter(UserId)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of a list, with what is wrong with it, if anything is."""

    number: int
    user: str = ""
    achievement: str = ""
    fault: str = ""


async def issue_list(run: Run, *, rows: str, path: str, reason: str, preview: bool) -> Told:
    """Issue each good row as by hand, and tell row by row what came of it.

    Raises:
        Mistake: there is no list, or it is too long.
    """
    lines = list(lines_of(_text(rows, path)))
    if not lines:
        raise Mistake("rows: the list is empty. Give lines of user id and achievement id, separated by a comma.")
    if len(lines) > _ROWS_AT_MOST:
        raise Mistake(f"rows: {len(lines)} rows are more than {_ROWS_AT_MOST}; cut the list into several.")
    results = [(line, await _one(run, line, reason=reason, preview=preview)) for line in lines]
    counts = Counter(result.kind for _, result in results)
    sentence = (
        f"{'Preview: ' if preview else ''}{counts['done']} of {counted(len(lines), 'row')} "
        f"{'can be issued or are already' if preview else 'issued, now or before'} · "
        f"{counts['not done']} not issued · {counts['skipped']} skipped"
    )
    page = "\n".join([f"# {'Preview' if preview else 'Row by row'}", "", f"{plain(sentence)}.", "", *_told(results)])
    return Told(sentence=sentence, page=page, needs_a_person=counts["done"] < len(lines))


@dataclass(frozen=True, kw_only=True)
class _Result:
    kind: Literal["done", "not done", "skipped"]
    text: str


async def _one(run: Run, line: Line, *, reason: str, preview: bool) -> _Result:
    if line.fault:
        return _Result(kind="skipped", text=f"Skipped: {line.fault}")
    asked = Asked(user=line.user, achievement=line.achievement, reason=reason)
    try:
        told = await (preview_by_hand(run, asked) if preview else issue_by_hand(run, asked))
    except Mistake as mistake:
        return _Result(kind="skipped", text=f"Skipped: {mistake}")
    return _Result(kind="done" if told.done else "not done", text=told.sentence)


def _told(results: list[tuple[Line, _Result]]) -> Iterator[str]:
    """Yield a list, not a table: Prefect's pages cut the long lines of a table off."""
    for line, result in results:
        ids = f"{plain(line.user)} · {plain(line.achievement)}: " if line.user else ""
        yield f"- line **{line.number}** · {ids}{plain(result.text, longest=700)}"


def _text(rows: str, path: str) -> str:
    if bool(rows.strip()) == bool(path.strip()):
        raise Mistake("rows: give either rows or a path, not both and not neither.")
    return rows if rows.strip() else _text_of_file(path.strip())


def _text_of_file(path: str) -> str:
    try:
        if not Path(path).is_file():
            raise Mistake(f"path: there is no file {code(path)} on the machine of the worker.")
        with Path(path).open("rb") as file:
            content = file.read(_BYTES_AT_MOST + 1)
    except (OSError, ValueError):
        raise Mistake(f"path: the file {code(path)} cannot be read.") from None
    if len(content) > _BYTES_AT_MOST:
        raise Mistake(f"path: the file is larger than {_BYTES_AT_MOST} bytes; cut the list into several.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Mistake("path: the file is not UTF-8 text. Save it as “CSV UTF-8” and try again.") from None


def lines_of(text: str) -> Iterator[Line]:
    """Return the rows of a list; separated by commas, semicolons or tabs, a head line and blank lines left out.

    Each line is read by itself, so that a quotation mark without its partner spoils one row and not the rest.
    """
    sample = text.lstrip().partition("\n")[0]
    delimiter = next((mark for mark in ("\t", ";") if mark in sample), ",")
    seen: set[tuple[str, str]] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            values = [tidy(cell) for cells in csv.reader([line], delimiter=delimiter) for cell in cells]
        except csv.Error:
            yield Line(number=number, fault="the row cannot be read as comma-separated values.")
            continue
        head = [value.casefold() for value in values[:2]]
        if any(values) and head != ["user", "achievement"]:
            yield _line(number, values, seen)


def _line(number: int, values: list[str], seen: set[tuple[str, str]]) -> Line:
    if len(values) < 2 or not values[0] or not values[1]:
        return Line(number=number, fault="a row needs a user id and an achievement id.")
    user, achievement = values[0], values[1]
    try:
        _user.validate_python(user)
    except ValidationError:
        return Line(number=number, fault="the first column must be a user's id, and no name or e-mail address.")
    if "@" in achievement:
        return Line(number=number, fault="the second column must be an achievement's id, and no e-mail address.")
    if (user, achievement) in seen:
        return Line(number=number, user=user, achievement=achievement, fault="the row stands above already.")
    seen.add((user, achievement))
    return Line(number=number, user=user, achievement=achievement)
