"""Issuing badges to a list of users. Each row is handled by itself, so a bad one does not affect the others."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from models.platform.names import names_of
from models.platform.people import names_of as names_of_users
from models.platform.tables import Achievement
from reports.files import path_within
from rules.badge.text import tidy
from rules.forms.inputs import InvalidInput, UserId
from rules.forms.links import form_link
from rules.markdown import code, plain
from rules.wording import FormResult, counted
from tasks.forms.manual_issue import ManualIssueForm, issue_manually, preview_manual_issue
from tasks.runtime.form_links import form_address
from tasks.runtime.run import Run

_MAX_ROWS = 5000
_MAX_BYTES = 1_000_000
_DELIMITERS = ",;\t"
_SEPARATOR_LINE = re.compile("sep=([,;\t])", re.IGNORECASE)  # as Excel writes it
_QUOTES = "\"'“”„‟‘’‚«»"
_NAMES = ("user", "achievement")
_user = TypeAdapter(UserId)


@dataclass(frozen=True, kw_only=True)
class Line:
    number: int
    user: str = ""
    achievement: str = ""
    fault: str = ""
    repeats: int = 0
    """The number of the earlier line that this one repeats."""


async def issue_list(run: Run, *, rows: str, path: str, reason: str, preview: bool) -> FormResult:
    """Issue each valid row like a badge by hand, and report the result of each row.

    Raises:
        InvalidInput: the list is missing or too long.
    """
    field, text = _text(run, rows, path)
    lines = list(lines_of(text, field=field))
    if not lines:
        raise InvalidInput(
            f"{field}: the list is empty. Give lines of user id and achievement id, separated by a comma."
        )
    if len(lines) > _MAX_ROWS:
        raise InvalidInput(f"{field}: {len(lines)} rows are more than {_MAX_ROWS}; cut the list into several.")
    lines = await _checked(run, lines, of_file=field == "path")
    results = [(line, await _issue_row(run, line, reason=reason, preview=preview)) for line in lines]
    counts = Counter(result.kind for _, result in results)
    sentence = (
        f"{'Preview: ' if preview else ''}{counts['done']} of {counted(len(lines), 'row')} "
        f"{'can be issued or are already' if preview else 'issued, now or before'} · "
        f"{counts['not done']} not issued · {counts['skipped']} skipped"
        + (f" · {counts['repeated']} repeated" if counts["repeated"] else "")
    )
    page = "\n".join(
        [f"# {'Preview' if preview else 'Row by row'}", "", f"{plain(sentence)}.", "", *_result_lines(results)]
    )
    return FormResult(
        sentence=sentence,
        outcome="preview" if preview else f"{counts['done']} of {len(lines)} issued",
        page=page,
        needs_attention=bool(counts["not done"] or counts["skipped"]),
    )


async def _checked(run: Run, lines: list[Line], *, of_file: bool) -> list[Line]:
    """Return the rows, with a fault where the platform does not have one of the ids.

    Not the first such row of a pasted list: the form suggests ids for it, which takes many statements. Rows of a file
    are without their values then: one that is no list may have names.
    """
    there = {
        "achievement": await run.platform.read(names_of, Achievement, {line.achievement for line in lines}),
        "user": await run.platform.read(names_of_users, {line.user for line in lines}),
    }
    checked, suggested = list[Line](), set(there) if of_file else set[str]()
    for line in lines:
        ids = {"achievement": line.achievement, "user": line.user}
        kind = "" if line.fault else next((kind for kind, value in ids.items() if value not in there[kind]), "")
        if not kind or kind not in suggested:
            suggested.add(kind)
            checked.append(line)
            continue
        known = Line(number=line.number) if of_file else line
        checked.append(replace(known, fault=f"the platform has no {kind} with this row's {kind} id."))
    return checked


@dataclass(frozen=True, kw_only=True)
class _Result:
    kind: Literal["done", "not done", "skipped", "repeated"]
    text: str
    link: str = ""


async def _issue_row(run: Run, line: Line, *, reason: str, preview: bool) -> _Result:
    if line.fault:
        return _Result(kind="skipped", text=f"Skipped: {line.fault}")
    if line.repeats:
        return _Result(kind="repeated", text=f"The same as line {line.repeats}.")
    form = ManualIssueForm(user=line.user, achievement=line.achievement, reason=reason)
    try:
        result = await (preview_manual_issue(run, form) if preview else issue_manually(run, form))
    except InvalidInput as invalid:
        return _Result(kind="skipped", text=f"Skipped: {invalid}")
    if result.done:
        return _Result(kind="done", text=result.sentence)
    link = form_link(await form_address(run, "issue-badge"), user=line.user, achievement=line.achievement)
    return _Result(kind="not done", text=result.sentence, link=link)


def _result_lines(results: list[tuple[Line, _Result]]) -> Iterator[str]:
    # A list, not a table: Prefect's pages cut off long lines of a table.
    for line, result in results:
        ids = f"{plain(line.user)} · {plain(line.achievement)}: " if line.user else ""
        link = f" [Issue it by hand]({result.link})" if result.link else ""
        yield f"- line **{line.number}** · {ids}{plain(result.text, longest=700)}{link}"


def _text(run: Run, rows: str, path: str) -> tuple[str, str]:
    """Return the field that has the list, and the list."""
    if bool(rows.strip()) == bool(path.strip()):
        raise InvalidInput("rows: give either rows or a path, not both and not neither.")
    if rows.strip():
        return "rows", rows
    return "path", _text_of_file(path_within(path, run.settings.lists_folder, field="path"))


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


def lines_of(text: str, *, field: str = "rows") -> Iterator[Line]:
    """Yield the rows of a list, without header and blank lines.

    A header names the columns, in any order and beside others; without one, user and achievement are the first two.

    Raises:
        InvalidInput: the header names one of the two columns only.
    """
    columns, delimiter, seen = (0, 1), "", dict[tuple[str, str], int]()
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        if not delimiter and (chosen := _SEPARATOR_LINE.fullmatch(line.strip())):
            delimiter = chosen[1]
            continue
        if delimiter not in line or not delimiter:
            delimiter = max(_DELIMITERS, key=line.count)
        # Each line by itself: an unbalanced quotation mark would otherwise swallow the rows after it.
        try:
            values = [_unquoted(tidy(cell)) for cells in csv.reader([line], delimiter=delimiter) for cell in cells]
        except csv.Error:
            yield Line(number=number, fault="the row cannot be read as comma-separated values.")
            continue
        if not any(values):
            continue
        found, field = _columns_of(values, field=field), ""
        if found:
            columns = found
        else:
            yield _line(number, values, columns, seen)


def _unquoted(value: str) -> str:
    return value[1:-1].strip() if len(value) > 1 and value[0] in _QUOTES and value[-1] in _QUOTES else value


def _columns_of(values: list[str], *, field: str) -> tuple[int, int] | None:
    """Return the columns of user and achievement if this row is a header, such as `User ID,Achievement`.

    `field` is empty for all rows but the first.
    """
    letters = [re.sub(r"[\s_.-]", "", value.casefold()).removesuffix("s") for value in values]
    names = [name.removesuffix("id").removesuffix("s") for name in letters]
    named = [name for name in _NAMES if name in names]
    if len(named) == len(_NAMES):
        return names.index(_NAMES[0]), names.index(_NAMES[1])
    if named and field and len(values) > 1:
        missing = next(name for name in _NAMES if name not in names)
        raise InvalidInput(
            f"{field}: the header line has a column {named[0]} and no column {missing}. Name the columns user and "
            "achievement, or remove the header line."
        )
    return None


def _line(number: int, values: list[str], columns: tuple[int, int], seen: dict[tuple[str, str], int]) -> Line:
    user, achievement = (values[column] if column < len(values) else "" for column in columns)
    if not user or not achievement:
        return Line(number=number, fault="a row needs a user id and an achievement id, separated by a comma.")
    try:
        _user.validate_python(user)
    except ValidationError:
        return Line(number=number, fault="the user must be given by id, not by name or e-mail address.")
    # An address typed here would be kept in the run history.
    if "@" in achievement:
        return Line(number=number, fault="the achievement must be given by id, and is no e-mail address.")
    repeats = seen.setdefault((user, achievement), number)
    return Line(number=number, user=user, achievement=achievement, repeats=repeats if repeats != number else 0)
