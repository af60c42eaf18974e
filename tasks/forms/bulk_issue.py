"""Issuing badges to a list of users. Each row is handled by itself, so a bad one does not affect the others."""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from models.platform.names import exists
from models.platform.tables import Achievement, User
from reports.files import path_within
from rules.badge.text import tidy
from rules.forms.inputs import InvalidInput, UserId
from rules.markdown import code, plain
from rules.wording import FormResult, counted
from tasks.forms.manual_issue import ManualIssueForm, issue_manually, preview_manual_issue
from tasks.runtime.run import Run

_MAX_ROWS = 5000
_MAX_BYTES = 1_000_000
_user = TypeAdapter(UserId)


@dataclass(frozen=True, kw_only=True)
class Line:
    number: int
    user: str = ""
    achievement: str = ""
    fault: str = ""


async def issue_list(run: Run, *, rows: str, path: str, reason: str, preview: bool) -> FormResult:
    """Issue each valid row like a badge by hand, and report the result of each row.

    Raises:
        InvalidInput: the list is missing or too long.
    """
    lines = list(lines_of(_text(run, rows, path)))
    if not lines:
        raise InvalidInput("rows: the list is empty. Give lines of user id and achievement id, separated by a comma.")
    if len(lines) > _MAX_ROWS:
        raise InvalidInput(f"rows: {len(lines)} rows are more than {_MAX_ROWS}; cut the list into several.")
    if path.strip():
        lines = [await _known(run, line) for line in lines]
    results = [(line, await _issue_row(run, line, reason=reason, preview=preview)) for line in lines]
    counts = Counter(result.kind for _, result in results)
    sentence = (
        f"{'Preview: ' if preview else ''}{counts['done']} of {counted(len(lines), 'row')} "
        f"{'can be issued or are already' if preview else 'issued, now or before'} · "
        f"{counts['not done']} not issued · {counts['skipped']} skipped"
    )
    page = "\n".join(
        [f"# {'Preview' if preview else 'Row by row'}", "", f"{plain(sentence)}.", "", *_result_lines(results)]
    )
    return FormResult(sentence=sentence, page=page, needs_attention=counts["done"] < len(lines))


async def _known(run: Run, line: Line) -> Line:
    """Return the row; without its values if the platform does not have them: a file that is no list may have names."""
    for model, value, column in ((User, line.user, "first"), (Achievement, line.achievement, "second")):
        if not line.fault and not await run.platform.read(exists, model, value):
            kind = model.__name__.lower()
            return Line(number=line.number, fault=f"the platform has no {kind} with the id in the {column} column.")
    return line


@dataclass(frozen=True, kw_only=True)
class _Result:
    kind: Literal["done", "not done", "skipped"]
    text: str


async def _issue_row(run: Run, line: Line, *, reason: str, preview: bool) -> _Result:
    if line.fault:
        return _Result(kind="skipped", text=f"Skipped: {line.fault}")
    form = ManualIssueForm(user=line.user, achievement=line.achievement, reason=reason)
    try:
        result = await (preview_manual_issue(run, form) if preview else issue_manually(run, form))
    except InvalidInput as invalid:
        return _Result(kind="skipped", text=f"Skipped: {invalid}")
    return _Result(kind="done" if result.done else "not done", text=result.sentence)


def _result_lines(results: list[tuple[Line, _Result]]) -> Iterator[str]:
    # A list, not a table: Prefect's pages cut off long lines of a table.
    for line, result in results:
        ids = f"{plain(line.user)} · {plain(line.achievement)}: " if line.user else ""
        yield f"- line **{line.number}** · {ids}{plain(result.text, longest=700)}"


def _text(run: Run, rows: str, path: str) -> str:
    if bool(rows.strip()) == bool(path.strip()):
        raise InvalidInput("rows: give either rows or a path, not both and not neither.")
    return rows if rows.strip() else _text_of_file(path_within(path, run.settings.lists_folder, field="path"))


def _text_of_file(path: Path) -> str:
    try:
        if not path.is_file():
            raise InvalidInput(f"path: there is no file {code(str(path))} on the machine of the worker.")
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError):
        raise InvalidInput(f"path: the file {code(str(path))} cannot be read.") from None
    if len(content) > _MAX_BYTES:
        raise InvalidInput(f"path: the file is larger than {_MAX_BYTES} bytes; cut the list into several.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput("path: the file is not UTF-8 text. Save it as “CSV UTF-8” and try again.") from None


def lines_of(text: str) -> Iterator[Line]:
    """Yield the rows of a list that is separated by commas, semicolons or tabs, without header and blank lines."""
    sample = text.lstrip().partition("\n")[0]
    delimiter = next((mark for mark in ("\t", ";") if mark in sample), ",")
    seen: set[tuple[str, str]] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        # Each line by itself: an unbalanced quotation mark would otherwise swallow the rows after it.
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
    # An address typed here would be kept in the run history.
    if "@" in achievement:
        return Line(number=number, fault="the second column must be an achievement's id, and no e-mail address.")
    if (user, achievement) in seen:
        return Line(number=number, user=user, achievement=achievement, fault="the row stands above already.")
    seen.add((user, achievement))
    return Line(number=number, user=user, achievement=achievement)
