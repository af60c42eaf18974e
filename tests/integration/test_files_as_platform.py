"""CSV and Parquet files as a platform, read in place by DuckDB: Excel's habits, refused and replaced files."""

import itertools
import os
from collections.abc import Collection
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError

from models.database import Database
from models.diagnostics.check import find_problems
from models.errors import PlatformNotUsable
from models.ledger.tables import BadgeIssuance
from models.planning import planner
from models.planning.planner import Sweep, plan, sweep
from models.platform.awards import awards, awards_of
from models.platform.engine import Source
from models.platform.links import odd_names_of
from models.platform.mapping import mapping_of
from models.platform.people import persons, user_exists
from models.platform.tables import Company
from models.tables import table
from rules.badge.evidence import EvidenceKind
from tests.support.databases import sqlite_database
from tests.support.factories import NOW, TEMPLATE, a_connection, rows_of

IN_MEMORY = "duckdb:///:memory:"
AWARDED = NOW - timedelta(days=1)
GOOD = {
    "portals": "id,name\nnorthwind,Northwind\n",
    "users": "id,first_name,last_name,email\n007,Ada,Lovelace,ada@example.org\n8,Bob,,\n",
    "achievements": "id,portal_id,name\nforklift,northwind,Forklift\n",
    "awards": f"achievement_id,user_id,awarded_at\nforklift,007,{AWARDED.isoformat()}\n",
}


@pytest.fixture(autouse=True)
def duckdb() -> Any:
    pytest.importorskip("duckdb_engine", reason="There is no DuckDB: pip install duckdb duckdb-engine.")
    return pytest.importorskip("duckdb", reason="There is no DuckDB: pip install duckdb duckdb-engine.")


def a_folder(tmp_path: Path, **changed: str | bytes) -> Path:
    for name, content in {**GOOD, **changed}.items():
        (tmp_path / f"{name}.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return tmp_path


@asynccontextmanager
async def laurel(tmp_path: Path, migrated_file: Path, mapping: str = "csv", url: str = IN_MEMORY, **more: timedelta):  # type: ignore[no-untyped-def]
    (tmp_path / "ledger").mkdir(exist_ok=True)
    async with sqlite_database(tmp_path / "ledger", copy_of=migrated_file) as ledger:
        parameters = "" if mapping == "native" else f"folder={tmp_path}"
        database = Database(ledger.url, Source(url=url, mapping=mapping_of(mapping, parameters), **more))
        try:
            yield database
        finally:
            await database.dispose()


async def enable(database: Database, achievement: str = "forklift") -> None:
    from models.setup.history import put_settings
    from rules.ledger.settings_changes import SettingsOf

    await a_connection(database)
    values = {"badge_template_id": TEMPLATE, "enabled_at": NOW - timedelta(days=300)}
    await database.write(put_settings, SettingsOf.INTEGRATION, achievement, values, now=NOW)


async def planned(database: Database) -> list[tuple[str, str]]:
    await plan(database, now=NOW)
    await sweep(database, Sweep(), now=NOW)
    return [(row.achievement_id, row.user_id) for row in await rows_of(database, BadgeIssuance)]


async def read(database: Database, statement: str) -> Any:
    return await database.platform.read(lambda connection: connection.execute(text(statement)).all())


async def test_files_that_excel_wrote_are_read_as_they_are(tmp_path: Path, migrated_file: Path) -> None:
    users = (
        "\ufeffid;First_Name ;last_name;email;;\r\n"
        '007;"Ada; ""the first""";Müller, Łuk;ada@example.org;;\r\n8;Bob;;;;\r\n'
    )
    awards = f"achievement_id;user_id;awarded_at;;\r\nforklift;007;{AWARDED.isoformat()};;\r\n"
    a_folder(tmp_path, users=users, awards=awards)

    async with laurel(tmp_path, migrated_file) as database:
        assert await find_problems(database) == []
        await enable(database)

        assert await planned(database) == [("forklift", "007")]
        found = await database.platform.read(persons, ["007", "8"])
        assert (found["007"].first_name, found["007"].last_name) == ('Ada; "the first"', "Müller, Łuk")
        assert (found["007"].email, found["8"].email, found["8"].last_name) == ("ada@example.org", None, None)
        assert [key for key in ("007", "7", "8", "08") if await database.platform.read(user_exists, key)] == [
            "007",
            "8",
        ]


async def test_parquet_files_are_read_with_their_types(tmp_path: Path, migrated_file: Path, duckdb: Any) -> None:
    moment = f"TIMESTAMP '{AWARDED:%Y-%m-%d %H:%M:%S}'"
    rows = {
        "portals": "'northwind' AS id, 'Northwind' AS name",
        "users": "7 AS id, 'Ada' AS first_name, 'Lovelace' AS last_name, 'ada@example.org' AS email",
        "achievements": "9 AS id, 'northwind' AS portal_id, 'Forklift' AS name",
        "awards": f"9 AS achievement_id, 7 AS user_id, {moment} AS awarded_at, NULL::TIMESTAMP AS withdrawn_at",
    }
    with duckdb.connect() as connection:
        for name, columns in rows.items():
            connection.execute(f"COPY (SELECT {columns}) TO '{tmp_path}/{name}.parquet'")

    async with laurel(tmp_path, migrated_file, "parquet") as database:
        assert await find_problems(database) == []
        await enable(database, "9")

        assert await planned(database) == [("9", "7")]
        assert (await rows_of(database, BadgeIssuance))[0].awarded_at == AWARDED
    (tmp_path / "users.parquet").write_bytes((tmp_path / "users.parquet").read_bytes()[:-9])
    async with laurel(tmp_path, migrated_file, "parquet") as database:
        with pytest.raises(PlatformNotUsable, match=r"users\.parquet: it is no Parquet file, or only a part of one\."):
            await database.platform.read(persons, ["7"])


ROW = "8,Bob,B,secret@example.org\n"
HEADER = "id,first_name,last_name,email\n"


@pytest.mark.parametrize(
    ("users", "cause"),
    [
        (None, ": there is no such file"),
        ("", " names no column email, which a query reads"),
        ("4711,Ada,B,secret@example.org\n", " names no column email, which a query reads"),
        (HEADER.replace("email", "mail") + ROW, " names no column email, which a query reads"),
        (HEADER + ROW + "9,C,D,E,secret@example.org\n" + ROW, " line 3: it has 5 values for 4 columns"),
        (HEADER + ROW * 5000 + "9,C,D,E,secret@example.org\n" + ROW, " line 5002: it has 5 values for 4 columns"),
        (HEADER + ROW * 5000 + "8,Bo", " line 5002: it has 2 values for 4 columns"),
        (HEADER + ROW * 5000 + '8,"Bo,b,secret@example.org\n' + ROW, " line 5002: a quotation mark is not closed"),
        ((HEADER + ROW.replace("Bob", "Zoë")).encode("cp1252"), " line 2: it is not in UTF-8: save it as CSV UTF-8"),
        ((HEADER + ROW).encode("utf-16"), " line 1: it is not in UTF-8: save it as CSV UTF-8"),
    ],
)
async def test_a_refused_file_is_one_sentence_that_begins_with_the_cause(
    tmp_path: Path, migrated_file: Path, users: str | bytes | None, cause: str
) -> None:
    file = a_folder(tmp_path, users=users or "") / "users.csv"
    if users is None:
        file.unlink()

    async with laurel(tmp_path, migrated_file) as database:
        with pytest.raises(PlatformNotUsable) as caught:
            await database.platform.read(persons, ["8"])
        try:
            checked = next(each.what for each in await find_problems(database) if each.where == "user_emails.sql")
        except PlatformNotUsable as unusable:  # after the sample of each query
            checked = str(unusable)

    sentence = f"{file}{cause}."
    if "names no" in cause:
        sentence = f"The first line of {sentence}"
    assert str(caught.value) == f"{sentence} Nothing is lost: once it is corrected, the next run continues."
    assert checked.startswith(sentence)
    assert caught.value.__cause__ is None


async def test_a_value_that_is_no_moment_concerns_its_row_alone(tmp_path: Path, migrated_file: Path) -> None:
    awards = GOOD["awards"] + "forklift,8,02.11.2026\n"
    a_folder(tmp_path, awards=awards, users=GOOD["users"].replace("Bob", "Bo&amp;b"))

    async with laurel(tmp_path, migrated_file) as database:
        found = [(each.where, each.what) for each in await find_problems(database)]
        await enable(database)
        rows = await planned(database)
        odd = await database.platform.read(odd_names_of, EvidenceKind.USER, ["forklift"], at_most=9)

    assert [where for where, _ in found] == ["achievement_awards.awarded_at"]
    assert found[0][1] == "It is NULL in 1 of 2 rows, and Laurel cannot use such rows."
    assert sorted(rows) == [("forklift", "007"), ("forklift", "8")]
    assert odd == [("8", "Bo&amp;b")]


async def test_a_hidden_character_is_found_anywhere_in_a_name(tmp_path: Path, migrated_file: Path) -> None:
    a_folder(tmp_path, users=GOOD["users"].replace("Ada", "A\u200bda"))

    async with laurel(tmp_path, migrated_file) as database:
        odd = await database.platform.read(odd_names_of, EvidenceKind.USER, ["forklift"], at_most=9)

    assert [key for key, _ in odd] == ["007"]


@pytest.mark.parametrize("in_place", [True, False])
async def test_a_file_may_be_replaced_between_two_statements_of_a_run(
    tmp_path: Path, migrated_file: Path, monkeypatch: pytest.MonkeyPatch, in_place: bool
) -> None:
    a_folder(tmp_path)
    file, before = tmp_path / "awards.csv", (tmp_path / "awards.csv").stat()

    def replaced(connection: Connection, keys: Collection[tuple[str, str]], **more: Any) -> Any:
        new = file if in_place else tmp_path / "awards.new"
        # As many bytes at the same moment: nothing but the content differs.
        new.write_text(GOOD["awards"].replace("007", "008"))
        os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
        new.replace(file)
        return awards_of(connection, keys, **more)

    async with laurel(tmp_path, migrated_file) as database:
        await enable(database)
        monkeypatch.setattr(planner, "awards_of", replaced)

        # What the first page had is gone when its awards are read; the next page has what came instead.
        assert await planned(database) == [("forklift", "008")]


async def test_a_statement_reads_one_version_of_a_file_that_is_replaced_meanwhile(
    tmp_path: Path, migrated_file: Path
) -> None:
    def write(version: int) -> None:
        rows = "".join(f"forklift,{version}-{number},{AWARDED.isoformat()}\n" for number in range(20_000))
        (tmp_path / "awards.new").write_text(f"achievement_id,user_id,awarded_at\n{rows}")
        (tmp_path / "awards.new").replace(tmp_path / "awards.csv")

    def keep_writing() -> None:
        for version in itertools.count(2):
            write(version)
            if ended.is_set():
                return

    a_folder(tmp_path)
    write(1)
    ended, seen = Event(), set[tuple[str, int]]()
    async with laurel(tmp_path, migrated_file) as database:
        query = select(func.min(awards.c.user_id), func.max(awards.c.user_id), func.count())
        writer = Thread(target=keep_writing)
        writer.start()
        try:
            for _ in range(40):
                first, last, rows = await database.platform.read(lambda c: c.execute(query).one())
                assert first.partition("-")[0] == last.partition("-")[0]
                seen.add((first.partition("-")[0], rows))
        finally:
            ended.set()
            writer.join()

    assert {rows for _, rows in seen} == {20_000}
    assert len(seen) > 1


async def test_companies_are_read_once_there_is_a_file_of_them(tmp_path: Path, migrated_file: Path) -> None:
    a_folder(tmp_path)

    async with laurel(tmp_path, migrated_file) as database:
        assert await find_problems(database) == []
        companies = select(table(Company).c.id, table(Company).c.name, table(Company).c.url)
        assert await database.platform.read(lambda c: c.execute(companies).all()) == []
        (tmp_path / "companies.csv").write_text("id,name\nacme,Acme\n")

        assert await database.platform.read(lambda c: c.execute(companies).all()) == [("acme", "Acme", None)]


async def test_a_file_of_duckdb_is_never_written(tmp_path: Path, migrated_file: Path, duckdb: Any) -> None:
    file = tmp_path / "platform.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE portals AS SELECT 'northwind' AS id, 'Northwind' AS name, NULL AS url")

    async with laurel(tmp_path, migrated_file, "native", url=f"duckdb:///{file}") as database:
        assert len(await read(database, "SELECT * FROM portals")) == 1
        with pytest.raises((DBAPIError, PlatformNotUsable)) as caught:
            await read(database, "CREATE TABLE written (id INT)")
    async with laurel(tmp_path, migrated_file, "native", url=f"duckdb:///{file}.gone") as database:
        with pytest.raises(PlatformNotUsable):
            await read(database, "SELECT 1")

    assert "InvalidInputException" in str(caught.value)
    assert not os.path.exists(f"{file}.gone")  # noqa: ASYNC240, PTH110


async def test_a_statement_that_takes_too_long_is_ended(tmp_path: Path, migrated_file: Path) -> None:
    a_folder(tmp_path)
    slow = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 1"

    async with laurel(tmp_path, migrated_file, time_limit=timedelta(seconds=1)) as database:
        with pytest.raises(PlatformNotUsable, match="took longer than LAUREL_PLATFORM_TIMEOUT"):
            await read(database, slow)
        assert await database.platform.read(user_exists, "8")
