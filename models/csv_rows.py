"""Reads CSV files of users, achievements and awards row by row, and validates each row."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from models.columns import LONGEST_KEY

LONGEST_FIELD = 100_000  # characters; a longer one has an unclosed quotation mark


def _empty_to_none(value: object) -> object:
    return value or None


def _reject_bare_number(value: object) -> object:
    # Pydantic reads a bare number as seconds since 1970, so 20261102 would be a day of that year.
    if isinstance(value, str) and value.replace(".", "", 1).lstrip("+-").isdigit():
        raise ValueError("should be a moment such as 2026-11-02T08:00:00+01:00")
    return value


def _utc(moment: datetime | None) -> datetime | None:
    try:
        return moment and moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is before or after all calendars") from None


Key = Annotated[str, Field(min_length=1, max_length=LONGEST_KEY)]
OptionalKey = Annotated[Annotated[str, Field(max_length=LONGEST_KEY)] | None, BeforeValidator(_empty_to_none)]
Text = Annotated[str | None, BeforeValidator(_empty_to_none)]
Moment = Annotated[AwareDatetime, BeforeValidator(_reject_bare_number), AfterValidator(_utc)]
OptionalMoment = Annotated[
    AwareDatetime | None, BeforeValidator(_reject_bare_number), BeforeValidator(_empty_to_none), AfterValidator(_utc)
]


class Row(BaseModel):
    """A row of a file. Fields without a column in the file stay unset."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Named(Row):
    """A portal, a company or a project."""

    id: Key
    name: Annotated[str, Field(min_length=1)]
    url: Text = None


class Person(Row):
    """A user with the primary address."""

    id: Key
    first_name: Text = None
    last_name: Text = None
    email: Text = None
    profile_url: Text = None


class Awardable(Row):
    """An achievement of a portal."""

    id: Key
    portal_id: Key
    name: Annotated[str, Field(min_length=1)]


class Award(Row):
    """An award, with a key of its own where there is one."""

    achievement_id: Key
    user_id: Key
    awarded_at: Moment
    id: OptionalKey = None
    company_id: OptionalKey = None
    project_id: OptionalKey = None
    withdrawn_at: OptionalMoment = None


@dataclass(frozen=True, kw_only=True)
class RejectedRow:
    """A row, or a whole file, that was rejected: its line and why, without its values."""

    line: int
    why: str
    whole_file: bool = False


def rows_in(file: Path, kind: type[Row]) -> Iterator[tuple[int, Row] | RejectedRow]:
    """Yield each row with its line, or why it was rejected; for an unreadable file only the reason."""
    if (unreadable := _encoding_error(file)) is not None:
        yield unreadable
        return
    with file.open(encoding="utf-8-sig", newline="") as opened:
        first = opened.readline()
        opened.seek(0)
        reader = csv.reader(opened, delimiter=max(",;\t", key=first.count))
        csv.field_size_limit(LONGEST_FIELD)
        try:
            names = _without_empty_end([name.strip().lower() for name in next(reader, [])])
            if wrong := _header_error(names, kind):
                yield RejectedRow(line=1, why=wrong, whole_file=True)
                return
            for values in filter(any, reader):
                yield _row(reader.line_num, names, values, kind)
        except csv.Error as error:
            why = f"it cannot be read as CSV ({error}), nor can what follows; is a quotation mark not closed?"
            yield RejectedRow(line=reader.line_num, why=why, whole_file=True)


def _encoding_error(file: Path) -> RejectedRow | None:
    # Checked before the first row, so that an unreadable file is not imported in part.
    with file.open("rb") as opened:
        for line, content in enumerate(opened, start=1):
            try:
                content.decode()
            except UnicodeDecodeError:
                why = "nothing of the file was imported: it is not in UTF-8. Save it as CSV UTF-8."
                return RejectedRow(line=line, why=why, whole_file=True)
    return None


def _header_error(names: Sequence[str], kind: type[Row]) -> str | None:
    # Unknown columns are named by position: in a file without a header the "names" are a user's data.
    known = ", ".join(kind.model_fields)
    must = f"nothing of the file was imported: its first line must name its columns, out of {known}"
    needed = [name for name, field in kind.model_fields.items() if field.is_required() and name not in names]
    unknown = [str(place) for place, name in enumerate(names, start=1) if name not in kind.model_fields]
    if needed:
        return f"{must}; missing: {', '.join(needed)}"
    if unknown:
        return f"{must}; not one of them: column {', '.join(unknown)}"
    return f"{must}; one comes twice" if len(set(names)) < len(names) else None


def _without_empty_end(values: Sequence[str]) -> Sequence[str]:
    # Excel keeps columns that were cleared, as `;;` at the end of each line.
    return values[: next((place for place in range(len(values), 0, -1) if values[place - 1]), 0)]


def _row(line: int, names: Sequence[str], values: Sequence[str], kind: type[Row]) -> tuple[int, Row] | RejectedRow:
    values = _without_empty_end(values)
    if len(values) > len(names):
        return RejectedRow(line=line, why=f"it has {len(values)} values for {len(names)} columns")
    if any("\0" in value for value in values):
        return RejectedRow(line=line, why="it contains a NUL character")
    given: Mapping[str, Any] = dict(zip(names, [*values, *[""] * (len(names) - len(values))], strict=True))
    try:
        return line, kind.model_validate(given)
    except ValidationError as error:
        return RejectedRow(line=line, why=_message(error))


def _message(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg'].lower()}" for each in error.errors())
