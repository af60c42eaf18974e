"""Exports what happened as a file: `python -m reports.export issuances --from 2026-11-01 --format parquet`."""

import argparse
import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from models.counting import Which
from models.database import Database, open_configured
from models.reporting import Chosen, count
from reports import frames
from reports.asked import check_portal
from reports.dictionary import PERSONAL, Field, fields
from reports.files import folder_of, part_of_name, whole_file
from reports.formats import EXCEL_ROWS, opened, too_many_for_excel
from rules.choices import Mistake
from rules.datasets import Dataset, FileFormat, Group, Moment
from rules.period import ALWAYS, Period, period_of
from rules.states import IssuanceState
from settings import settings


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is to be exported."""

    dataset: Dataset
    file_format: FileFormat = FileFormat.CSV
    period: Period = ALWAYS
    portal: str = ""
    moment: Moment = Moment.ENTERED
    by: tuple[Group, ...] = ()
    states: tuple[IssuanceState, ...] = ()
    personal_data: bool = False
    folder: str = ""

    def __post_init__(self) -> None:
        if self.personal_data and self.dataset is not Dataset.ISSUANCES:
            raise Mistake(
                f"personal_data: {self.dataset} hold no names and addresses; only issuances can be exported with them."
            )
        if self.states and self.dataset is not Dataset.ISSUANCES:
            raise Mistake(f"states: {self.dataset} have none. Leave it empty, or export issuances.")
        if self.by and self.dataset.is_log:
            raise Mistake(f"by: {self.dataset} are single rows and are not grouped. Leave it empty, or export counts.")

    @property
    def fields(self) -> tuple[Field, ...]:
        """The columns of the file."""
        return fields(self.dataset, by=self.by, personal_data=self.personal_data)

    @property
    def words(self) -> str:
        """What it is, for a sentence."""
        grouped = f" by {' and '.join(self.by)}" if self.by else ""
        portal = f" of portal {self.portal}" if self.portal else ""
        states = f" that are {' or '.join(self.states)}" if self.states else ""
        return f"{self.dataset}{grouped}{states}{portal} {self.period.words}"

    @property
    def file_name(self) -> str:
        """The file's name; the same wish has the same name."""
        parts = ["laurel", self.dataset.value.replace("_", "-"), *(f"by-{group}" for group in self.by)]
        parts += [*self.states, *([part_of_name(self.portal)] if self.portal else [])]
        parts += [self.moment.value.replace("_", "-")] if self.moment is not Moment.ENTERED else []
        parts += [self.period.name] + (["PERSONAL-DATA"] if self.personal_data else [])
        return f"{'-'.join(parts)}.{self.file_format}"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A file that was written."""

    wish: Wish
    path: Path
    rows: int
    note: Path | None


async def export(database: Database, wish: Wish) -> Exported:
    """Write the file, part by part, and put it in its place when it is complete.

    Raises:
        Mistake: there is no such portal, or the rows do not fit the file's form.
    """
    await check_portal(database, wish.portal)
    chosen = Chosen(period=wish.period, portal_id=wish.portal, moment=wish.moment, states=wish.states)
    if wish.file_format is FileFormat.EXCEL and wish.dataset.is_log:
        expected = await database.read(count, wish.dataset, chosen)
        if expected > EXCEL_ROWS:
            raise too_many_for_excel(expected)
    path = folder_of(wish.folder, default=settings().reports_folder) / wish.file_name
    with whole_file(path, owner_only=wish.personal_data) as unfinished:
        rows = await _write(database, wish, chosen, unfinished)
        note = _write_note(path, wish) if wish.personal_data else None
    return Exported(wish=wish, path=path, rows=rows, note=note)


async def _write(database: Database, wish: Wish, chosen: Chosen, path: Path) -> int:
    rows = 0
    with opened(path, wish.file_format, wish.fields, [wish.words, *_about(wish)]) as write:
        async with aclosing(_parts(database, wish, chosen)) as parts:
            async for part in parts:
                await asyncio.to_thread(write, part)
                rows += len(part)
    return rows


async def _parts(database: Database, wish: Wish, chosen: Chosen) -> AsyncGenerator[pd.DataFrame]:
    if wish.dataset.is_log:
        batches = frames.in_batches(database, wish.dataset, chosen, personal_data=wish.personal_data)
        async with aclosing(batches):
            async for part in batches:
                yield part
        return
    which = Which(period=wish.period, portal_id=wish.portal, by=wish.by)
    yield await database.read(frames.counts_of, wish.dataset, which)


def _about(wish: Wish) -> list[str]:
    lines = ["Moments and days are in UTC. docs/data-dictionary.md explains the columns."]
    return [*lines, personal_note()] if wish.personal_data else lines


def personal_note() -> str:
    """Return what is said wherever personal data was exported."""
    columns = ", ".join(field.name for field in PERSONAL)
    return (
        f"This export holds personal data: {columns}. Keep it where only those can read it who need it, do not pass it "
        "on, and delete it when it has done its work."
    )


def _write_note(path: Path, wish: Wish) -> Path:
    note = path.with_name(f"{path.name}.txt")
    with whole_file(note, owner_only=True) as unfinished:
        unfinished.write_text(f"{path.name}: {wish.words}\n\n{personal_note()}\n", encoding="utf-8")
    return note


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m reports.export", description="Export what happened as a file.")
    parser.add_argument("dataset", choices=[each.value for each in Dataset])
    parser.add_argument("--from", dest="from_day", default="", help="first day, in UTC, such as 2026-11-01")
    parser.add_argument("--until", dest="until_day", default="", help="last day, in UTC, included")
    parser.add_argument("--portal", default="", help="only this portal (its id)")
    parser.add_argument("--format", default="csv", choices=[each.value for each in FileFormat])
    parser.add_argument("--moment", default=Moment.ENTERED.value, choices=[each.value for each in Moment])
    parser.add_argument("--by", action="append", default=[], choices=[each.value for each in Group])
    parser.add_argument("--state", action="append", default=[], choices=[each.value for each in IssuanceState])
    parser.add_argument("--folder", default="", help="where to write; LAUREL_REPORTS_FOLDER if empty")
    parser.add_argument("--personal-data", action="store_true", help="with names and addresses (issuances only)")
    return parser.parse_args(arguments)


def _wish(given: argparse.Namespace) -> Wish:
    return Wish(
        dataset=Dataset(given.dataset),
        file_format=FileFormat(given.format),
        period=period_of(given.from_day, given.until_day),
        portal=given.portal,
        moment=Moment(given.moment),
        by=tuple(Group(each) for each in given.by),
        states=tuple(IssuanceState(each) for each in given.state),
        personal_data=given.personal_data,
        folder=given.folder,
    )


async def _run(given: argparse.Namespace) -> Exported:
    async with open_configured() as database:
        return await export(database, _wish(given))


def main(arguments: Sequence[str]) -> int:
    """Export what the command line asks for; say where it is, or in one sentence why not."""
    try:
        done = asyncio.run(_run(_arguments(arguments)))
    except Mistake as mistake:
        sys.stderr.write(f"{mistake}\n")
        return 2
    sys.stdout.write(f"{done.rows} rows: {done.path}\n")
    if done.note:
        sys.stdout.write(f"{personal_note()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
