"""Imports users, achievements and awards from CSV files, for installations without a platform's database.

`python -m models.import_csv FOLDER` reads, as far as they exist and in this order, `portals.csv` (id, name, url),
`companies.csv` and `projects.csv` (the same columns), `users.csv` (id, first_name, last_name, email, profile_url),
`achievements.csv` (id, portal_id, name) and `awards.csv` (achievement_id, user_id, awarded_at, and where you have
them id, company_id, project_id, withdrawn_at). UTF-8, with commas, semicolons or tabs; the first line names the
columns. Times are ISO 8601 with a zone, such as 2026-11-02T08:00:00+01:00. An existing row is updated in the columns
that the file has. Rejected rows are listed by file, line and cause, without their values, and the others are imported.
The exit code is 0 if all rows were imported, 1 if some were rejected, 2 if nothing could be imported.
"""

import argparse
import asyncio
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, MetaData, String, Table, delete, inspect, select
from sqlalchemy.exc import StatementError

from models.base import Model
from models.columns import insert_into
from models.csv_rows import Award, Awardable, Named, Person, RejectedRow, Row, rows_in
from models.database import Database, open_configured
from models.migrate import create_platform_tables
from models.platform.tables import (
    Achievement,
    AchievementAward,
    Company,
    Portal,
    Project,
    User,
    UserEmail,
    platform_metadata,
)
from models.tables import table
from rules.forms.inputs import InvalidInput

_MARK = Table("laurel_imported_platform", MetaData(), Column("id", String(1), primary_key=True))
emails = table(UserEmail)
_ROWS_PER_TRANSACTION = 500
_LINES_SHOWN = 5
_FILES: tuple[tuple[str, type[Row], type[Model]], ...] = (
    ("portals.csv", Named, Portal),
    ("companies.csv", Named, Company),
    ("projects.csv", Named, Project),
    ("users.csv", Person, User),
    ("achievements.csv", Awardable, Achievement),
    ("awards.csv", Award, AchievementAward),
)


class ForeignPlatform(InvalidInput):
    """The database contains a platform's tables that Laurel did not create; they are never written."""


@dataclass
class Report:
    """How many rows of each file were imported, and which were rejected and why."""

    imported: dict[str, int] = field(default_factory=dict)
    _files: list[str] = field(default_factory=list)
    _rows: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def refuse(self, file: str, rejected: RejectedRow) -> None:
        if rejected.whole_file:
            self._files.append(f"{file} line {rejected.line}: {rejected.why}")
        else:
            self._rows.setdefault((file, rejected.why), []).append(rejected.line)

    def refuse_name(self, file: str, known: Sequence[str]) -> None:
        self._files.append(f"{file}: the file is none of {', '.join(known)}")

    @property
    def refused(self) -> list[str]:
        """What was rejected: files first, because rows of others refer to theirs; rows with one cause as one line."""
        return [*self._files, *(f"{file} {_lines(rows)}: {why}" for (file, why), rows in self._rows.items())]


def _lines(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"line {numbers[0]}"
    more = ", …" if len(numbers) > _LINES_SHOWN else ""
    return f"{len(numbers)} rows (lines {', '.join(map(str, sorted(numbers)[:_LINES_SHOWN]))}{more})"


async def import_folder(database: Database, folder: Path) -> Report:
    """Import the files of a folder.

    Raises:
        ForeignPlatform: the database contains a platform's tables that were not created by an import.
    """
    await _prepare(database)
    report = Report()
    known = [name for name, *_ in _FILES]
    unknown = sorted(set(await asyncio.to_thread(_csv_files, folder)) - set(known))
    for name in unknown:
        report.refuse_name(name, known)
    for name, kind, model in _FILES:
        if (folder / name).is_file():
            await _import_file(database, folder / name, kind, model, report)
    return report


def _csv_files(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.suffix.lower() == ".csv"]


async def _prepare(database: Database) -> None:
    await database.write(_mark)
    await create_platform_tables(database)


def _mark(connection: Connection) -> None:
    # A marker table, created before the platform's: an import writes only to tables that an import created.
    found = inspect(connection)
    there = {*found.get_table_names(), *found.get_view_names()}
    if _MARK.name in there:
        return
    taken = sorted(there & set(platform_metadata.tables))
    if taken:
        raise ForeignPlatform(
            f"The database has a platform's tables ({', '.join(taken)}), which Laurel only reads. Nothing was "
            "written. Unset LAUREL_DATABASE_URL, or name an empty database."
        )
    _MARK.create(connection)


async def _import_file(database: Database, file: Path, kind: type[Row], model: type[Model], report: Report) -> None:
    imported, waiting = 0, list[tuple[int, Row]]()

    async def flush() -> int:
        refused = await _write_batch(database, model, waiting)
        for each in refused:
            report.refuse(file.name, each)
        return len(waiting) - len(refused)

    for found in rows_in(file, kind):
        if isinstance(found, RejectedRow):
            report.refuse(file.name, found)
            continue
        waiting.append(found)
        if len(waiting) == _ROWS_PER_TRANSACTION:
            imported += await flush()
            waiting.clear()
    report.imported[file.name] = imported + await flush()


async def _write_batch(
    database: Database, model: type[Model], rows: Sequence[tuple[int, Row]]
) -> Sequence[RejectedRow]:
    if not rows:
        return []
    try:
        await database.write(_write_rows, model, [row for _line, row in rows])
    except StatementError as error:
        if getattr(error, "connection_invalidated", False):
            raise
        if len(rows) == 1:
            return [await _rejected_row(database, model, *rows[0])]
        # Each row in a transaction of its own, to find the one that the database refuses.
        return [refused for each in rows for refused in await _write_batch(database, model, [each])]
    return []


async def _rejected_row(database: Database, model: type[Model], line: int, row: Row) -> RejectedRow:
    missing = await database.read(_missing_references, model, row)
    return RejectedRow(line=line, why=missing or "the database refuses it")


def _missing_references(connection: Connection, model: type[Model], row: Row) -> str:
    found = []
    for foreign in sorted(table(model).foreign_keys, key=lambda each: each.parent.name):
        key = getattr(row, foreign.parent.name)
        there = select(foreign.column).where(foreign.column == key)
        if key is not None and connection.scalar(there) is None:
            found.append(f"{foreign.parent.name}: it is not in {foreign.column.table.name}")
    return "; ".join(found)


def _write_rows(connection: Connection, model: type[Model], rows: Sequence[Row]) -> None:
    _upsert(connection, model, [_values(row) for row in rows])
    given = {row.id: row.email for row in rows if isinstance(row, Person) and "email" in row.model_fields_set}
    without = [key for key, email in given.items() if not email]
    if without:
        connection.execute(delete(emails).where(emails.c.user_id.in_(without)))
    primary = [
        {"id": key, "user_id": key, "address": email, "is_primary": True} for key, email in given.items() if email
    ]
    _upsert(connection, UserEmail, primary)


def _values(row: Row) -> dict[str, Any]:
    values = row.model_dump(exclude_unset=True, exclude={"email"})
    return values | {"id": row.id or _key_of(row)} if isinstance(row, Award) else values


def _key_of(award: Award) -> str:
    # Derived from the award (in UTC), so that importing it again adds no second row.
    identity = "\n".join((award.achievement_id, award.user_id, award.awarded_at.isoformat()))
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def _upsert(connection: Connection, model: type[Model], rows: Sequence[dict[str, Any]]) -> None:
    # All rows have the same columns. The last one with a key wins.
    if not rows:
        return
    insert = insert_into(connection, table(model))
    changed = {name: insert.excluded[name] for name in rows[0]}
    connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=changed), list(rows))


def main(arguments: Sequence[str] | None = None) -> int:
    """Import a folder into the configured database and print the report; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m models.import_csv", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    if not any((folder / name).is_file() for name, _kind, _model in _FILES):
        sys.stderr.write(f"There is none of {', '.join(name for name, *_ in _FILES)} in {folder}.\n")
        return 2
    try:
        report = asyncio.run(_import(folder))
    except InvalidInput as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for line in report.refused:
        sys.stdout.write(f"not imported: {line}\n")
    for name, count in report.imported.items():
        sys.stdout.write(f"{name}: {count} rows\n")
    return 1 if report.refused else 0


async def _import(folder: Path) -> Report:
    async with open_configured() as database:
        return await import_folder(database, folder)


if __name__ == "__main__":
    sys.exit(main())
