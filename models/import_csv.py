"""Users, achievements and awards from CSV files, for those without a platform's database.

`python -m models.import_csv FOLDER` reads, as far as they are there and in this order, `portals.csv` (id, name, url),
`companies.csv` and `projects.csv` (the same columns), `users.csv` (id, first_name, last_name, email, profile_url),
`achievements.csv` (id, portal_id, name) and `awards.csv` (achievement_id, user_id, awarded_at, and where you have
them id, company_id, project_id, withdrawn_at). UTF-8, with commas, semicolons or tabs; the first line names the
columns. Times are ISO 8601 with a zone, such as 2026-11-02T08:00:00+01:00. A row that is there already is changed, in
what the file has a column for. Rows that cannot be taken are told by file and line, without what is in them, and the
others are imported. The exit code is 0 where all were, 1 where some were not, 2 where nothing could be done.
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
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import StatementError
from sqlmodel import SQLModel

from models.csv_rows import Award, Awardable, Named, Person, Refused, Row, rows_in
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
from rules.choices import Mistake

_MARK = Table("laurel_imported_platform", MetaData(), Column("id", String(1), primary_key=True))
emails = table(UserEmail)
_AT_A_TIME = 500  # rows in one transaction
_FILES: tuple[tuple[str, type[Row], type[SQLModel]], ...] = (
    ("portals.csv", Named, Portal),
    ("companies.csv", Named, Company),
    ("projects.csv", Named, Project),
    ("users.csv", Person, User),
    ("achievements.csv", Awardable, Achievement),
    ("awards.csv", Award, AchievementAward),
)


class NotOurs(Mistake):
    """The database has a platform's tables that Laurel did not make: nothing is written to them."""


@dataclass
class Report:
    """What became of each file's rows: how many were imported, and which were not and why."""

    imported: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


async def import_folder(database: Database, folder: Path) -> Report:
    """Import what the folder has, row by row.

    Raises:
        NotOurs: the database has a platform's tables that were not made by an import.
    """
    await _prepare(database)
    report = Report()
    known = [name for name, *_ in _FILES]
    strange = sorted(set(await asyncio.to_thread(_csv_files, folder)) - set(known))
    report.refused += [f"{name}: the file is none of {', '.join(known)}" for name in strange]
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
    """Mark the database as one that is filled from files, unless a platform's tables are in it already."""
    found = inspect(connection)
    there = {*found.get_table_names(), *found.get_view_names()}
    if _MARK.name in there:
        return
    taken = sorted(there & set(platform_metadata.tables))
    if taken:
        raise NotOurs(
            f"The database has a platform's tables ({', '.join(taken)}), which Laurel only reads. Nothing was "
            "written. Unset LAUREL_DATABASE_URL, or name an empty database."
        )
    _MARK.create(connection)


async def _import_file(database: Database, file: Path, kind: type[Row], model: type[SQLModel], report: Report) -> None:
    imported, waiting = 0, list[tuple[int, Row]]()

    async def put() -> int:
        refused = await _put_together(database, model, waiting)
        report.refused += [f"{file.name} line {each.line}: {each.why}" for each in refused]
        return len(waiting) - len(refused)

    for found in rows_in(file, kind):
        if isinstance(found, Refused):
            report.refused.append(f"{file.name} line {found.line}: {found.why}")
            continue
        waiting.append(found)
        if len(waiting) == _AT_A_TIME:
            imported += await put()
            waiting.clear()
    report.imported[file.name] = imported + await put()


async def _put_together(
    database: Database, model: type[SQLModel], rows: Sequence[tuple[int, Row]]
) -> Sequence[Refused]:
    """Put all in one transaction; if one of them is refused, each in its own."""
    if not rows:
        return []
    try:
        await database.write(_put, model, [row for _line, row in rows])
    except StatementError as error:
        if getattr(error, "connection_invalidated", False):
            raise
        if len(rows) == 1:
            return [await _refused(database, model, *rows[0])]
        return [refused for each in rows for refused in await _put_together(database, model, [each])]
    return []


async def _refused(database: Database, model: type[SQLModel], line: int, row: Row) -> Refused:
    missing = await database.read(_missing, model, row)
    return Refused(line=line, why=missing or "the database does not take it")


def _missing(connection: Connection, model: type[SQLModel], row: Row) -> str:
    """Say which column names something that is not there."""
    found = []
    for foreign in sorted(table(model).foreign_keys, key=lambda each: each.parent.name):
        key = getattr(row, foreign.parent.name)
        there = select(foreign.column).where(foreign.column == key)
        if key is not None and connection.scalar(there) is None:
            found.append(f"{foreign.parent.name}: it is not in {foreign.column.table.name}")
    return "; ".join(found)


def _put(connection: Connection, model: type[SQLModel], rows: Sequence[Row]) -> None:
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
    """Return the same key for the same award, so that importing it again adds none, in whatever zone its time is."""
    told = "\n".join((award.achievement_id, award.user_id, award.awarded_at.isoformat()))
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _upsert(connection: Connection, model: type[SQLModel], rows: Sequence[dict[str, Any]]) -> None:
    """Put rows that have the same columns; of those with the same key the last stands."""
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(table(model))
    changed = {name: insert.excluded[name] for name in rows[0]}
    connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=changed), list(rows))


def main(arguments: Sequence[str] | None = None) -> int:
    """Import a folder into the configured database and print the report; 1 where rows were refused."""
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
    except Mistake as mistake:
        sys.stderr.write(f"{mistake}\n")
        return 2
    for name, count in report.imported.items():
        sys.stdout.write(f"{name}: {count} rows\n")
    for line in report.refused:
        sys.stdout.write(f"not imported: {line}\n")
    return 1 if report.refused else 0


async def _import(folder: Path) -> Report:
    async with open_configured() as database:
        return await import_folder(database, folder)


if __name__ == "__main__":
    sys.exit(main())
