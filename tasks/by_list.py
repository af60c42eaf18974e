"""Issuing badges to a list of users: each row by itself, so that a bad one keeps none of the good ones back."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from rules.choices import Mistake, UserId
from rules.markup import plain, table
from rules.text import tidy
from rules.told import Told
from tasks.by_hand import Asked, issue_by_hand, preview_by_hand

_ROWS_AT_MOST = 5000
_user = TypeAdapter(UserId)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of a list, with what is wrong with it, if anything is."""

    number: int
    user: str = ""
    achievement: str = ""
    fault: str = ""


async def issue_list(*, rows: str, path: str, reason: str, preview: bool) -> Told:
    """Issue each good row as by hand, and tell row by row what came of it.

    Raises:
        Mistake: there is no list, or it is too long.
    """
    lines = list(lines_of(_text(rows, path)))
    if not lines:
        raise Mistake("rows: the list is empty. Give lines of user id and achievement id, separated by a comma.")
    if len(lines) > _ROWS_AT_MOST:
        raise Mistake(f"rows: {len(lines)} rows are more than {_ROWS_AT_MOST}; cut the list into several.")
    results = [(line, await _one(line, reason=reason, preview=preview)) for line in lines]
    skipped = sum(result.startswith("Skipped") for _, result in results)
    sentence = f"{len(lines) - skipped} of {len(lines)} rows {'checked' if preview else 'done'}, {skipped} skipped"
    shown = [(str(line.number), plain(line.user), plain(line.achievement), plain(result)) for line, result in results]
    page = f"# {sentence}\n\n{table(('line', 'user', 'achievement', 'result'), shown)}"
    return Told(sentence=sentence, page=page, needs_a_person=skipped > 0)


async def _one(line: Line, *, reason: str, preview: bool) -> str:
    if line.fault:
        return f"Skipped: {line.fault}"
    asked = Asked(user=line.user, achievement=line.achievement, reason=reason)
    try:
        told = await (preview_by_hand(asked) if preview else issue_by_hand(asked))
    except Mistake as mistake:
        return f"Skipped: {mistake}"
    return told.sentence


def _text(rows: str, path: str) -> str:
    if bool(rows.strip()) == bool(path.strip()):
        raise Mistake("rows: give either rows or a path, not both and not neither.")
    if rows.strip():
        return rows
    try:
        return Path(path.strip()).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(f"path: the file cannot be read ({type(error).__name__}). It must be UTF-8 text.") from None


def lines_of(text: str) -> Iterator[Line]:
    """Return the rows of a list; separated by commas, semicolons or tabs, a head line and blank lines left out."""
    sample = text.lstrip().partition("\n")[0]
    delimiter = next((mark for mark in ("\t", ";") if mark in sample), ",")
    seen: set[tuple[str, str]] = set()
    for number, cells in enumerate(csv.reader(io.StringIO(text), delimiter=delimiter), start=1):
        values = [tidy(cell) for cell in cells]
        if not any(values) or (number == 1 and values[:2] == ["user", "achievement"]):
            continue
        yield _line(number, values, seen)


def _line(number: int, values: list[str], seen: set[tuple[str, str]]) -> Line:
    if len(values) < 2 or not values[0] or not values[1]:
        return Line(number=number, fault="a row needs a user id and an achievement id.")
    user, achievement = values[0], values[1]
    try:
        _user.validate_python(user)
    except ValidationError:
        return Line(number=number, fault="the first column must be a user's id, and no e-mail address.")
    if (user, achievement) in seen:
        return Line(number=number, user=user, achievement=achievement, fault="the row stands above already.")
    seen.add((user, achievement))
    return Line(number=number, user=user, achievement=achievement)
