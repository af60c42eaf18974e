"""Ready-made mappings on the platforms' own schemas: from rows of Moodle and Open edX to badges at the stand-in."""

import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.connect_portal import connect_portal
from rules.forms.configuration import InvalidConfiguration, read_configuration
from settings import ROOT, settings
from tasks.configuration.plan import plan_of
from tasks.runtime.run import run_context
from tests.support.databases import sqlite_database
from tests.support.mariadb import administer
from tests.support.platforms import MOODLE, OPENEDX
from tests.support.running import run_reconcile as run
from tests.support.seen import refused
from tests.support.standin import Standin
from tests.support.world import BLOCK, ORGANIZATION, TEMPLATE, World

NOW = datetime.now(UTC).replace(microsecond=0)
AWARDED = NOW - timedelta(hours=3)
WWWROOT = "https://moodle.example.org"


@pytest.fixture
async def ledger(
    migrated_file: Path, tmp_path: Path, standin: Standin, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """Laurel's own database, without any table of a platform's in use, connected to the stand-in."""
    async with sqlite_database(tmp_path, copy_of=migrated_file) as database:
        built = World(database=database, base_url=standin.base_url)
        built.configure(monkeypatch, DATABASE_URL=database.url, RETRY_DELAY="0.05", LOOKUP_GRACE="0")
        await built.put_token()
        yield built
    settings.cache_clear()


def blocks(page: str, kind: str) -> list[tuple[str, str]]:
    """Return the blocks of a page of docs/how-to in this language, each with the name behind the language."""
    text = (ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8")
    return re.findall(rf"```{kind} ?(\w*)\n(.*?)```", text, re.DOTALL)


def settings_in(page: str) -> dict[str, str]:
    ((_, lines),) = blocks(page, "ini")
    return dict(line.removeprefix("LAUREL_").split("=", 1) for line in lines.splitlines())


def documented(page: str, mariadb: str) -> dict[str, str]:
    """Make the account of a page, and return the settings that the page names, for this server."""
    ((_, statements),) = blocks(page, "sql")
    administer(mariadb, *filter(str.strip, statements.split(";")))
    values = settings_in(page)
    return values | {"PLATFORM_URL": values["PLATFORM_URL"].replace("HOST:3306", mariadb.rpartition("@")[2])}


@pytest.fixture
def moodle(mariadb: str, ledger: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Moodle of two users with a badge, one of whom has another; and a deleted user."""
    issued = ((7, 2, AWARDED), (7, 10, AWARDED - timedelta(days=1)), (7, 11, AWARDED), (8, 2, AWARDED))
    administer(
        mariadb,
        "CREATE DATABASE moodle CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
        "USE moodle",
        *MOODLE,
        "INSERT INTO mdl_course (id, category, fullname) VALUES (1, 0, 'Academy'), (2, 1, 'Welding')",
        "INSERT INTO mdl_user (id, firstname, lastname, email, deleted) VALUES"
        " (2, 'Ada', 'Lovelace', 'ada@example.org', 0),"
        " (10, 'Zoë', 'Müller-Łuk', 'zoe@example.org', 0), (11, 'Gone', 'Away', 'gone@example.org', 1)",
        "INSERT INTO mdl_badge (id, name) VALUES (7, 'Forklift'), (8, 'Not with Credly')",
        *(
            "INSERT INTO mdl_badge_issued (id, badgeid, userid, uniquehash, dateissued)"
            f" VALUES ({number}, {badge}, {user}, '', {int(moment.timestamp())})"
            for number, (badge, user, moment) in enumerate(issued, start=1)
        ),
    )
    values = documented("moodle.md", mariadb)
    ledger.configure(monkeypatch, **values)
    yield values["PLATFORM_URL"]
    administer(mariadb, "DROP DATABASE moodle", "DROP USER laurel_reader")


async def test_badges_that_moodle_issued_become_badges(moodle: str, ledger: World, standin: Standin) -> None:
    await ledger.connect("moodle")
    await ledger.enable("7", user_evidence=True, portal_evidence=True)

    state = await run()

    assert (state.name, state.message) == ("Completed", "2 issued")
    shown = {badge["issuer_earner_id"]: badge for badge in standin.badges()}
    assert sorted(shown) == ["10", "2"]
    zoe = shown["10"]
    assert (zoe["issued_to_first_name"], zoe["issued_to_last_name"]) == ("Zoë", "Müller-Łuk")
    assert zoe["recipient_email"] == "zoe@example.org"
    assert zoe["badge_template"]["id"] == TEMPLATE
    assert zoe["issued_at"] == (AWARDED - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert [(each["name"], each["value"]) for each in zoe["evidence"]] == [
        ("Zoë Müller-Łuk", f"{WWWROOT}/user/profile.php?id=10"),
        ("Academy", WWWROOT),
    ]
    assert shown["2"]["issued_at"] == AWARDED.strftime("%Y-%m-%dT%H:%M:%S.000Z")

    again = await run()

    assert (again.message, len(standin.badges())) == ("0 issued", 2)


async def test_what_was_planned_goes_out_though_planning_cannot_read_the_platform(
    moodle: str, mariadb: str, ledger: World, standin: Standin
) -> None:
    await ledger.connect("moodle")
    await ledger.enable("7")
    await run(limit=1)
    administer(mariadb, "USE moodle", "RENAME TABLE mdl_badge TO being_loaded")

    state = await run()

    assert state.name == "Failed"
    assert str(state.message).startswith(
        "1 issued. The platform's database at 127.0.0.1 could not be read: a table or view that a query names does not"
    )
    assert len(standin.badges()) == 2


async def test_a_platform_that_is_away_fails_the_run_and_loses_nothing(
    moodle: str, ledger: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.connect("moodle")
    await ledger.enable("7")
    await run(limit=1)
    ledger.configure(monkeypatch, PLATFORM_URL="mysql://laurel@127.0.0.1:1/moodle")

    state = await run()

    away = "The platform's database at 127.0.0.1 could not be read: it could not be reached"
    assert (state.name, str(state.message).startswith(f"0 issued · now 1 waiting. {away}")) == ("Failed", True)
    assert sorted(row.state for row in await ledger.ledger()) == ["issued", "pending"]

    ledger.configure(monkeypatch, PLATFORM_URL=moodle)
    assert (await run()).message == "1 issued"
    assert len(standin.badges()) == 2


async def test_certificates_of_open_edx_become_badges(
    mariadb: str, ledger: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = f"course-v1:NorthwindX+{'Forklift_' * 12}+2026_T1"
    administer(
        mariadb,
        "CREATE DATABASE openedx CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
        "USE openedx",
        *OPENEDX,
        "INSERT INTO auth_user (id, username, first_name, last_name, email) VALUES"
        " (1, 'ada', '', '', 'ada@example.org'),"
        " (2, 'bob', 'Bob', 'van Babbage', 'bob@example.org'), (3, 'cher', '', '', 'cher@example.org'),"
        " (4, 'gone', '', '', 'retired__user_0123@retired.invalid')",
        "INSERT INTO auth_userprofile (user_id, name)"
        " VALUES (1, ' Ada  King Lovelace '), (2, 'Bobby'), (3, 'C D'), (4, '')",
        "INSERT INTO organizations_organization (name, short_name) VALUES ('Northwind', 'NorthwindX')",
        f"INSERT INTO course_overviews_courseoverview VALUES ('{course}', 'NorthwindX', 'Forklift'),"
        " ('course-v1:northwindx+a+b', 'northwindx', NULL)",
        "INSERT INTO certificates_generatedcertificate (user_id, course_id, status, created_date, modified_date)"
        " VALUES "
        + ", ".join(
            f"({user}, '{course}', '{status}', '2026-01-01', '{AWARDED:%Y-%m-%d %H:%M:%S}')"
            for user, status in ((1, "downloadable"), (2, "downloadable"), (3, "notpassing"), (4, "downloadable"))
        ),
    )
    ledger.configure(monkeypatch, **documented("openedx.md", mariadb))
    said = await refused(
        connect_portal,
        portal="NorthwindX",
        organization_id=ORGANIZATION,
        token_block=BLOCK,
        environment="other",
        base_url=standin.base_url,
        deletion_withdraws=True,
    )
    assert said.startswith("deletion_withdraws: switch it off")
    file = (
        f'[connections.NorthwindX]\norganization_id = "{ORGANIZATION}"\ntoken_block = "{BLOCK}"\n'
        f'environment = "other"\nbase_url = "{standin.base_url}"\ndeletion_withdraws = true\n'
    )
    async with run_context() as opened:
        with pytest.raises(InvalidConfiguration, match="deletion_withdraws: switch it off"):
            await plan_of(opened, read_configuration(file.encode()), prune=False, remove_at_most=0)
    await ledger.connect("NorthwindX")
    await ledger.enable(course, user_evidence=True, portal_evidence=True)

    state = await run()

    assert (len(course) > 64, state.name, state.message) == (True, "Completed", "2 issued")
    shown = {badge["issuer_earner_id"]: badge for badge in standin.badges()}
    assert {key: (each["issued_to_first_name"], each["issued_to_last_name"]) for key, each in shown.items()} == {
        "1": ("Ada King", "Lovelace"),
        "2": ("Bob", "van Babbage"),
    }
    assert {each["issued_at"] for each in shown.values()} == {f"{AWARDED:%Y-%m-%dT%H:%M:%S}.000Z"}
    assert [(each["name"], each["value"]) for each in shown["1"]["evidence"]] == [
        ("Ada King Lovelace", "https://lms.example.org/u/ada"),
        ("Northwind", "https://lms.example.org"),
    ]
    administer(mariadb, "DROP DATABASE openedx")


async def test_awards_in_csv_files_become_badges(
    tmp_path: Path, ledger: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("duckdb_engine", reason="There is no DuckDB: pip install duckdb duckdb-engine.")
    for name, content in blocks("files.md", "csv"):
        (tmp_path / f"{name}.csv").write_text(content)
    values = settings_in("files.md")
    values["MAPPING_PARAMETERS"] = values["MAPPING_PARAMETERS"].replace("/srv/files", str(tmp_path))
    ledger.configure(monkeypatch, **values)
    await ledger.connect("academy")
    await ledger.enable(
        "forklift", user_evidence=True, portal_evidence=True, enabled_at=datetime(2026, 1, 1, tzinfo=UTC)
    )

    state = await run()

    assert (state.name, state.message) == ("Completed", "1 issued")
    (badge,) = standin.badges()
    assert (badge["issuer_earner_id"], badge["issued_to_first_name"], badge["issued_to_last_name"]) == (
        "4711",
        "Ada",
        "Lovelace",
    )
    assert (badge["recipient_email"], badge["issued_at"]) == ("ada@example.org", "2026-11-02T07:00:00.000Z")
    assert [each["value"] for each in badge["evidence"]] == ["https://academy.example.org"]

    with (tmp_path / "awards.csv").open("a") as awards:
        awards.write("forklift,4711\n")
    state = await run()

    assert (state.name, len(standin.badges())) == ("Failed", 1)
    assert str(state.message) == (
        f"0 issued. {tmp_path}/awards.csv line 3: it has 2 values for 3 columns. "
        "Nothing is lost: once it is corrected, the next run continues."
    )


async def test_a_dump_of_stack_exchange_is_read_by_the_queries_of_the_page(
    tmp_path: Path, ledger: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("duckdb_engine", reason="There is no DuckDB: pip install duckdb duckdb-engine.")
    (tmp_path / "Users.csv").write_text(
        "Id,Reputation,DisplayName,WebsiteUrl\n-1,1,Community,\n12,101,Ada Lovelace,https://ada.example.org\n"
    )
    (tmp_path / "Badges.csv").write_text(
        "Id,UserId,Name,Date,Class,TagBased\n1,12,Teacher,2026-11-02T08:00:00.123,3,False\n"
        "2,12,c#,2026-11-02T08:00:00.123,3,True\n3,12,Teacher,2026-11-03T08:00:00.000,3,False\n"
    )
    ((_, toml),) = blocks("files.md", "toml")
    (tmp_path / "mapping.toml").write_text(toml)
    for name, query in blocks("files.md", "sql"):
        (tmp_path / f"{name}.sql").write_text(query)
    values = settings_in("files.md") | {"MAPPING": str(tmp_path), "MAPPING_PARAMETERS": f"folder={tmp_path}"}
    ledger.configure(monkeypatch, **values)
    await ledger.connect("site")
    await ledger.enable("c#", enabled_at=datetime(2026, 1, 1, tzinfo=UTC))

    assert (await run()).message == "1 issued"

    (badge,) = standin.badges()
    assert (badge["issued_to_first_name"], badge["issued_to_last_name"]) == ("Ada", "Lovelace")
    assert (badge["recipient_email"], badge["issued_at"]) == ("user-12@example.org", "2026-11-02T08:00:00.000Z")
