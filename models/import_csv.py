"""Users, achievements and awards from CSV files, for those without a platform's database.

`python -m models.import_csv FOLDER` reads, as far as they are there and in this order, `portals.csv` (id, name, url),
`companies.csv` and `projects.csv` (the same columns), `users.csv` (id, first_name, last_name, email, profile_url),
`achievements.csv` (id, portal_id, name) and `awards.csv` (achievement_id, user_id, awarded_at, and where you have
them id, company_id, project_id, withdrawn_at). Times are ISO 8601 with a zone. A row that is there already is changed.
Rows that cannot be taken are told by file and line, without what is in them, and the others are imported.
"""

import argparse
import asyncio
import csv
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from sqlalchemy import Column, Connection, MetaData, String, Table, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from models.database import Database, open_configured
from models.migrate import create_platform_tables
from models.platform import (
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
Key = Annotated[str, Field(min_length=1, max_length=64)]
Text = Annotated[str | None, BeforeValidator(lambda value: value or None)]
Moment = Annotated[AwareDatetime | None, BeforeValidator(lambda value: value or None)]


class NotOurs(Mistake):
    """The database has a platform's tables that Laurel did not make: nothing is written to them."""


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class _Named(_Row):
    id: Key
    name: Annotated[str, Field(min_length=1)]
    url: Text = None


class _User(_Row):
    id: Key
    first_name: Text = None
    last_name: Text = None
    email: Text = None
    profile_url: Text = None


class _Achievement(_Row):
    id: Key
    portal_id: Key
    name: Annotated[str, Field(min_length=1)]


class _Award(_Row):
    achievement_id: Key
    user_id: Key
    awarded_at: AwareDatetime
    id: Text = None
    company_id: Text = None
    project_id: Text = None
    withdrawn_at: Moment = None


_FILES: tuple[tuple[str, type[_Row], type[SQLModel]], ...] = (
    ("portals.csv", _Named, Portal),
    ("companies.csv", _Named, Company),
    ("projects.csv", _Named, Project),
    ("users.csv", _User, User),
    ("achievements.csv", _Achievement, Achievement),
    ("awards.csv", _Award, AchievementAward),
)


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
    for name, kind, model in _FILES:
        if (folder / name).exists():
            report.imported[name] = await _import_file(database, folder / name, kind, model, report.refused)
    return report


async def _prepare(database: Database) -> None:
    async with database.writing() as connection:
        there = set(await connection.run_sync(_relations))
        if _MARK.name not in there:
            taken = sorted(there & set(platform_metadata.tables))
            if taken:
                raise NotOurs(
                    f"The database has a platform's tables ({', '.join(taken)}), which Laurel only reads. Nothing was "
                    "written. Unset LAUREL_DATABASE_URL, or name an empty database."
                )
            await connection.run_sync(_MARK.create)
    await create_platform_tables(database)


def _relations(connection: Connection) -> list[str]:
    found = inspect(connection)
    return [*found.get_table_names(), *found.get_view_names()]


async def _import_file(
    database: Database, file: Path, kind: type[_Row], model: type[SQLModel], refused: list[str]
) -> int:
    imported = 0
    for number, values in _lines(file):
        try:
            row = kind.model_validate(values)
            async with database.writing() as connection:
                await _put(connection, model, row)
        except ValidationError as error:
            refused.append(f"{file.name} line {number}: {_in_words(error)}")
        except IntegrityError:
            refused.append(f"{file.name} line {number}: it names something that is not there, or an address twice")
        else:
            imported += 1
    return imported


def _lines(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with file.open(encoding="utf-8-sig", newline="") as opened:
        reader = csv.DictReader(opened, restkey="too many columns")
        for values in reader:
            yield reader.line_num, {key.strip(): value or "" for key, value in values.items()}


async def _put(connection: AsyncConnection, model: type[SQLModel], row: _Row) -> None:
    values = row.model_dump()
    if isinstance(row, _User):
        values.pop("email")
    if isinstance(row, _Award):
        values["id"] = row.id or _key_of(row)
    await _upsert(connection, model, values)
    if isinstance(row, _User) and row.email:
        await _upsert(
            connection, UserEmail, {"id": row.id, "user_id": row.id, "address": row.email, "is_primary": True}
        )


def _key_of(award: _Award) -> str:
    """Return the same key for the same award, so that importing it again adds none."""
    told = "\n".join((award.achievement_id, award.user_id, award.awarded_at.isoformat()))
    return hashlib.sha256(told.encode()).hexdigest()[:32]


async def _upsert(connection: AsyncConnection, model: type[SQLModel], values: Mapping[str, Any]) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(table(model)).values(**values)
    await connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=dict(values)))


def _in_words(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg'].lower()}" for each in error.errors())


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
