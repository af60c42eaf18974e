"""Exports a data set as a file: `python -m reports.export issuances --from 2026-11-01 --format parquet`."""

import argparse
import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from models.analytics.filters import CountFilter, RowFilter
from models.analytics.rows import count
from models.database import Database, open_configured
from reports import frames
from reports.archive import moved_out
from reports.dictionary import ISSUE_LINK, PERSONAL, fields
from reports.field import Field
from reports.files import folder_of, part_of_name, whole_file
from reports.formats import EXCEL_ROWS, Write, opened, too_many_for_excel
from reports.inputs import check_achievement, check_portal
from rules.datasets import Dataset, FileFormat, Group, Moment
from rules.forms.inputs import InvalidInput
from rules.forms.links import form_link
from rules.forms.period import ALWAYS, Period, period_of
from rules.ledger.states import IssuanceState
from settings import settings

SHOWN = 1_000
# What the table of a run's page has at its right end.
_DETAILS = (
    "portal_name",
    "achievement_name",
    "award_id",
    "origin",
    "settings_of",
    "changes",
    "task_run_id",
    "flow_run_id",
    "history_id",
    "settings_history_id",
    "attempt_id",
    "issuance_id",
    "badge_template_id",
    "reconstructed",
)
_NOT_ISSUED = (IssuanceState.FAILED.value, IssuanceState.BLOCKED.value)


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """The data set, filters and format of an export. `issue_form` is the address of the form issue-badge, for links."""

    dataset: Dataset
    file_format: FileFormat = FileFormat.CSV
    period: Period = ALWAYS
    portal: str = ""
    achievement: str = ""
    moment: Moment = Moment.ENTERED
    by: tuple[Group, ...] = ()
    states: tuple[IssuanceState, ...] = ()
    run: str = ""
    other_run: str = ""
    personal_data: bool = False
    folder: str = ""
    issue_form: str = ""

    def __post_init__(self) -> None:
        if self.personal_data and self.dataset is not Dataset.ISSUANCES:
            raise InvalidInput(
                f"personal_data: {self.dataset} hold no names and addresses; only issuances can be exported with them."
            )
        if self.states and not self.dataset.has_states:
            raise InvalidInput(f"states: {self.dataset} have none. Leave it empty, or export issuances or states.")
        if (self.run or self.other_run) and not self.dataset.of_run:
            raise InvalidInput(
                f"run: {self.dataset} are not of one. Leave it empty, or export run_today or between_runs."
            )
        if self.achievement and self.dataset is Dataset.RUNS:
            raise InvalidInput("achievement: runs are not of one. Leave it empty, or export attempts.")
        if self.by and self.dataset.is_log:
            raise InvalidInput(
                f"by: {self.dataset} are single rows and are not grouped. Leave it empty, or export counts."
            )
        if missing := [each for each in self.by if each not in self.dataset.groups]:
            known = ", ".join(each for each in Group if each in self.dataset.groups)
            raise InvalidInput(f"by: {self.dataset} cannot be grouped by {missing[0]}. Choose of {known}.")

    @property
    def fields(self) -> tuple[Field, ...]:
        links = (ISSUE_LINK,) if self.issue_form and self.dataset is Dataset.ISSUANCES else ()
        return fields(self.dataset, by=self.by, personal_data=self.personal_data) + links

    @property
    def rows(self) -> RowFilter:
        return RowFilter(moment=self.moment, run=self.run, other_run=self.other_run, **self._filter)

    @property
    def counts(self) -> CountFilter:
        return CountFilter(by=self.by, **self._filter)

    @property
    def _filter(self) -> dict[str, Any]:
        ids = {"portal_id": self.portal, "achievement_id": self.achievement}
        return ids | {"period": self.period, "states": self.states}

    @property
    def words(self) -> str:
        grouped = f" by {' and '.join(self.by)}" if self.by else ""
        portal = f" of portal {self.portal}" if self.portal else ""
        states = f" that are {' or '.join(self.states)}" if self.states else ""
        achievement = f" of achievement {self.achievement}" if self.achievement else ""
        runs = " and ".join(each for each in (self.run, self.other_run) if each)
        when = f" of run {runs}" if runs else f" {self.period.words}"
        return f"{self.dataset}{grouped}{states}{portal}{achievement}{when}"

    @property
    def file_name(self) -> str:
        """The file's name, the same for equal requests: a later export replaces the file."""
        parts = ["laurel", self.dataset.value.replace("_", "-"), *(f"by-{group}" for group in self.by)]
        parts += [
            *self.states,
            *(part_of_name(each) for each in (self.portal, self.achievement, self.run, self.other_run) if each),
        ]
        parts += [self.moment.value.replace("_", "-")] if self.moment is not Moment.ENTERED else []
        parts += [self.period.name] + (["PERSONAL-DATA"] if self.personal_data else [])
        return f"{'-'.join(parts)}.{self.file_format}"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A file that was written."""

    request: ExportRequest
    path: Path
    rows: int
    note: Path | None
    incomplete: str
    """A sentence if what was moved out of the ledger may be missing, else empty."""
    shown: list[dict[str, Any]]
    """The first `SHOWN` rows, without personal data."""


async def export(database: Database, request: ExportRequest) -> Exported:
    """Write the file batch by batch, and move it into place when it is complete.

    Raises:
        InvalidInput: there is no such portal or achievement, or the file's format cannot hold the rows.
    """
    await check_portal(database, request.portal)
    await check_achievement(database, request.achievement)
    chosen = request.rows
    incomplete = moved_out(request.dataset, request.period, settings(), now=chosen.now)
    if request.file_format is FileFormat.EXCEL and request.dataset.is_log:
        # Counted first, so that nobody waits minutes for a refusal.
        expected = await database.read(count, request.dataset, chosen)
        if expected > EXCEL_ROWS:
            raise too_many_for_excel(expected)
    path = folder_of(request.folder, default=settings().reports_folder) / request.file_name
    with whole_file(path) as unfinished:
        rows, shown = await _write(database, request, chosen, unfinished, incomplete)
        # Before the file is in place: it must not be there without its note.
        note = _write_note(path, request) if request.personal_data else None
    return Exported(request=request, path=path, rows=rows, note=note, incomplete=incomplete, shown=shown)


async def _write(
    database: Database, request: ExportRequest, chosen: RowFilter, path: Path, incomplete: str
) -> tuple[int, list[dict[str, Any]]]:
    rows, shown = 0, list[dict[str, Any]]()
    about = [request.words, *_notes(request), *filter(None, [incomplete])]
    with opened(path, request.file_format, request.fields, about) as write:
        async with aclosing(_parts(database, request, chosen)) as parts:
            async for part in parts:
                # In a thread: else the run's heartbeats stop while a batch is written.
                await asyncio.to_thread(_write_part, write, part, request)
                rows += len(part)
                shown += _plain_rows(part.head(SHOWN - len(shown)))
    return rows, shown


def _plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    # For an artifact of Prefect, which keeps JSON and must have nobody's name or address.
    personal = {field.name for field in PERSONAL}
    names = [name for name in frame if name not in personal]
    # Prefect's table shows about six columns beside each other.
    names.sort(key=lambda name: _DETAILS.index(name) + 1 if name in _DETAILS else 0)
    shown = frame[names].astype(object)
    for name, column in frame.select_dtypes("datetimetz").items():
        shown[name] = column.dt.strftime("%Y-%m-%d" if name in ("day", "week") else "%Y-%m-%d %H:%M:%SZ")
    return [
        {str(name): value for name, value in row.items()} for row in shown.where(shown.notna(), None).to_dict("records")
    ]


def _write_part(write: Write, part: pd.DataFrame, request: ExportRequest) -> None:
    if ISSUE_LINK in request.fields:
        # Only where it is of use: in a million rows links would be half of the file.
        rows = part.loc[part["state"].isin(_NOT_ISSUED), ["user_id", "achievement_id"]]
        links = [form_link(request.issue_form, user=user, achievement=key) for user, key in rows.to_numpy()]
        part[ISSUE_LINK.name] = pd.Series(links, index=rows.index, dtype="string")
    write(part)


async def _parts(database: Database, request: ExportRequest, chosen: RowFilter) -> AsyncGenerator[pd.DataFrame]:
    if request.dataset.is_log:
        batches = frames.in_batches(database, request.dataset, chosen, personal_data=request.personal_data)
        async with aclosing(batches):
            async for part in batches:
                yield part
        return
    yield await database.read(frames.counts_of, request.dataset, request.counts)


def _notes(request: ExportRequest) -> list[str]:
    lines = ["Moments and days are in UTC. docs/reference/data-dictionary.md explains the columns."]
    return [*lines, personal_note()] if request.personal_data else lines


def personal_note() -> str:
    """Return the note that accompanies personal data."""
    columns = ", ".join(field.name for field in PERSONAL)
    return (
        f"This export holds personal data: {columns}. Store it where only those who need it can read it, do not "
        "share it, and delete it after use."
    )


def _write_note(path: Path, request: ExportRequest) -> Path:
    note = path.with_name(f"{path.name}.txt")
    with whole_file(note) as unfinished:
        unfinished.write_text(f"{path.name}: {request.words}\n\n{personal_note()}\n", encoding="utf-8")
    return note


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m reports.export", description="Export what happened as a file.")
    parser.add_argument("dataset", choices=[each.value for each in Dataset])
    parser.add_argument("--from", dest="from_day", default="", help="first day, in UTC, such as 2026-11-01")
    parser.add_argument("--until", dest="until_day", default="", help="last day, in UTC, included")
    parser.add_argument("--portal", default="", help="only this portal (its id)")
    parser.add_argument("--achievement", default="", help="only this achievement (its id)")
    parser.add_argument("--run", default="", help="for between_runs and run_today: a flow run's id")
    parser.add_argument("--other-run", default="", help="for between_runs: the other flow run's id")
    parser.add_argument("--format", default="csv", choices=[each.value for each in FileFormat])
    parser.add_argument("--moment", default=Moment.ENTERED.value, choices=[each.value for each in Moment])
    parser.add_argument("--by", action="append", default=[], choices=[each.value for each in Group])
    parser.add_argument("--state", action="append", default=[], choices=[each.value for each in IssuanceState])
    parser.add_argument("--folder", default="", help="where to write; LAUREL_REPORTS_FOLDER if empty")
    parser.add_argument("--personal-data", action="store_true", help="with names and addresses (issuances only)")
    return parser.parse_args(arguments)


def _request_of(arguments: argparse.Namespace) -> ExportRequest:
    return ExportRequest(
        dataset=Dataset(arguments.dataset),
        file_format=FileFormat(arguments.format),
        period=period_of(arguments.from_day, arguments.until_day),
        portal=arguments.portal,
        achievement=arguments.achievement,
        run=arguments.run,
        other_run=arguments.other_run,
        moment=Moment(arguments.moment),
        by=tuple(Group(each) for each in arguments.by),
        states=tuple(IssuanceState(each) for each in arguments.state),
        personal_data=arguments.personal_data,
        folder=arguments.folder,
    )


async def _run(arguments: argparse.Namespace) -> Exported:
    async with open_configured() as database:
        return await export(database, _request_of(arguments))


def main(arguments: Sequence[str]) -> int:
    """Export by the options of the command line; print the path, or in one sentence what is wrong."""
    try:
        done = asyncio.run(_run(_arguments(arguments)))
    except InvalidInput as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{done.rows} rows: {done.path}\n")
    if done.incomplete:
        sys.stdout.write(f"{done.incomplete}\n")
    if done.note:
        sys.stdout.write(f"{personal_note()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
