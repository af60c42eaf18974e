"""Reading CSV files of users, achievements and awards: row by row, in little memory, and strictly."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

LONGEST_FIELD = 100_000  # characters; more is a quotation mark that was never closed


def _or_none(value: object) -> object:
    return value or None


def _no_number(value: object) -> object:
    """A bare number would be taken for seconds since 1970, and 20261102 for a day of that year."""
    if isinstance(value, str) and value.replace(".", "", 1).lstrip("+-").isdigit():
        raise ValueError("should be a moment such as 2026-11-02T08:00:00+01:00")
    return value


def _utc(moment: datetime | None) -> datetime | None:
    try:
        return moment and moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is before or after all calendars") from None


Key = Annotated[str, Field(min_length=1, max_length=64)]
OtherKey = Annotated[Annotated[str, Field(max_length=64)] | None, BeforeValidator(_or_none)]
Text = Annotated[str | None, BeforeValidator(_or_none)]
Moment = Annotated[AwareDatetime, BeforeValidator(_no_number), AfterValidator(_utc)]
OtherMoment = Annotated[
    AwareDatetime | None, BeforeValidator(_no_number), BeforeValidator(_or_none), AfterValidator(_utc)
]


class Row(BaseModel):
    """A row of a file. What the file has no column for stays unset."""

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
    id: OtherKey = None
    company_id: OtherKey = None
    project_id: OtherKey = None
    withdrawn_at: OtherMoment = None


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A row that cannot be taken, or a whole file: its line, and why, without what is in it."""

    line: int
    why: str


def rows_in(file: Path, kind: type[Row]) -> Iterator[tuple[int, Row] | Refused]:
    """Yield each row with its line, or why it cannot be taken; of a file that cannot be read at all, only that."""
    if (unreadable := _not_utf8(file)) is not None:
        yield unreadable
        return
    with file.open(encoding="utf-8-sig", newline="") as opened:
        first = opened.readline()
        opened.seek(0)
        reader = csv.reader(opened, delimiter=max(",;\t", key=first.count))
        csv.field_size_limit(LONGEST_FIELD)
        try:
            names = [name.strip().lower() for name in next(reader, [])]
            if wrong := _fault_of_header(names, kind):
                yield Refused(line=1, why=wrong)
                return
            for values in filter(None, reader):
                yield _row(reader.line_num, names, values, kind)
        except csv.Error as error:
            why = f"it cannot be read as CSV ({error}), nor can what follows; is a quotation mark not closed?"
            yield Refused(line=reader.line_num, why=why)


def _not_utf8(file: Path) -> Refused | None:
    """Look through the whole file, so that nothing of it is imported if a part cannot be read."""
    with file.open("rb") as opened:
        for line, content in enumerate(opened, start=1):
            try:
                content.decode()
            except UnicodeDecodeError:
                why = "nothing of the file was imported: it is not in UTF-8. Save it as CSV UTF-8."
                return Refused(line=line, why=why)
    return None


def _fault_of_header(names: Sequence[str], kind: type[Row]) -> str | None:
    """The names themselves are not told: without a header they are a person's data."""
    known = ", ".join(kind.model_fields)
    must = f"nothing of the file was imported: its first line must name its columns, out of {known}"
    needed = [name for name, field in kind.model_fields.items() if field.is_required() and name not in names]
    strange = [str(place) for place, name in enumerate(names, start=1) if name not in kind.model_fields]
    if needed:
        return f"{must}; missing: {', '.join(needed)}"
    if strange:
        return f"{must}; not one of them: column {', '.join(strange)}"
    return f"{must}; one comes twice" if len(set(names)) < len(names) else None


def _row(line: int, names: Sequence[str], values: Sequence[str], kind: type[Row]) -> tuple[int, Row] | Refused:
    if len(values) > len(names):
        return Refused(line=line, why=f"it has {len(values)} values for {len(names)} columns")
    if any("\0" in value for value in values):
        return Refused(line=line, why="there is something in it that is no text")
    given: Mapping[str, Any] = dict(zip(names, [*values, *[""] * (len(names) - len(values))], strict=True))
    try:
        return line, kind.model_validate(given)
    except ValidationError as error:
        return Refused(line=line, why=_in_words(error))


def _in_words(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg'].lower()}" for each in error.errors())
