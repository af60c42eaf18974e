"""Mappings on MariaDB, PostgreSQL and SQLite: exact keys, moments, what the check says, and a platform that is away."""

from collections.abc import Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from models.database import Database
from models.diagnostics.check import find_problems
from models.errors import PlatformNotUsable
from models.ledger.tables import BadgeIssuance
from models.planning.pairs import active_of
from models.planning.planner import Sweep, plan, sweep
from models.planning.writing import PlanCounts
from models.platform.awards import awards_of, present_among
from models.platform.badge_data import latest_award
from models.platform.engine import Source
from models.platform.mapping import mapping_of
from models.platform.names import achievements_of, exists
from models.platform.pages import page_after
from models.platform.people import near_user_ids, user_exists, users_like
from models.platform.tables import Achievement, Company
from tests.support.databases import administer as administer_postgresql
from tests.support.databases import sqlite_database
from tests.support.factories import NOW, TEMPLATE, a_connection, an_issuance, rows_of
from tests.support.mariadb import administer, as_reader
from tests.support.platforms import MOODLE

ENABLED = NOW - timedelta(days=300)
AWARDED = NOW - timedelta(days=1)
WWWROOT = "wwwroot=https://moodle.example.org"
_numbers = count(1)
_MOMENTS = ("awarded_at", "withdrawn_at")
# Three keys that the usual collations find equal, one with a blank at its end, and one in another script.
TRAPS = ("Ada", "ada", "adá", "ada ", "ада")
_COLUMNS = {
    "portals": "'northwind' AS id, 'Northwind' AS name, NULL AS url",
    "users": "id, first_name, last_name, NULL AS profile_url",
    "user_emails": "id, id AS user_id, email AS address, TRUE AS is_primary",
    "achievements": "id, 'northwind' AS portal_id, title AS name",
    "achievement_awards": "id, achievement AS achievement_id, person AS user_id, given AS awarded_at,"
    " NULL AS company_id, NULL AS project_id, taken AS withdrawn_at",
}
_TABLES = {
    "portals": "(SELECT 1 AS one) AS t",
    "users": "person",
    "user_emails": "person",
    "achievements": "achievement",
    "achievement_awards": "award",
}


def a_folder(tmp_path: Path, toml: str = "", **changed: str) -> str:
    """A mapping of tables with other names: person, achievement, award."""
    folder = tmp_path / f"mapping-{next(_numbers)}"
    folder.mkdir()
    for relation, columns in _COLUMNS.items():
        query = changed.get(relation, f"SELECT {columns} FROM {_TABLES[relation]};\n")
        (folder / f"{relation}.sql").write_text(query, encoding="utf-8")
    (folder / "mapping.toml").write_text(toml)
    return str(folder)


@pytest.fixture
def platform(mariadb: str) -> Iterator[str]:
    """The name of an empty database on MariaDB, with the collation that most installations have."""
    name = f"platform_{next(_numbers)}"
    administer(mariadb, f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
    yield name
    administer(mariadb, f"DROP DATABASE {name}")


def fill(mariadb: str, platform: str, *statements: str) -> None:
    administer(mariadb, f"USE {platform}", *statements)


TEXT_KEYS = (
    "CREATE TABLE person (id VARCHAR(255), first_name TEXT, last_name TEXT, email TEXT)",
    "CREATE TABLE achievement (id VARCHAR(255), title TEXT)",
    "CREATE TABLE award (id VARCHAR(255), achievement VARCHAR(255), person VARCHAR(255), given DATETIME(6),"
    " taken DATETIME(6), KEY (achievement, person))",
)


@asynccontextmanager
async def laurel(tmp_path: Path, migrated_file: Path, url: str, mapping: str, parameters: str = "", **more: timedelta):  # type: ignore[no-untyped-def]
    async with sqlite_database(tmp_path, copy_of=migrated_file) as ledger:
        source = Source(url=url, mapping=mapping_of(mapping, parameters), **more)
        database = Database(ledger.url, source)
        try:
            yield database
        finally:
            await database.dispose()


async def enable(database: Database, *achievements: str, portal: str = "northwind") -> None:
    from models.setup.history import put_settings
    from rules.ledger.settings_changes import SettingsOf

    await a_connection(database, portal=portal)
    for achievement in achievements:
        values = {"badge_template_id": TEMPLATE, "enabled_at": ENABLED}
        await database.write(put_settings, SettingsOf.INTEGRATION, achievement, values, now=NOW)


async def planned(database: Database) -> list[tuple[str, str]]:
    await plan(database, now=NOW)
    await sweep(database, Sweep(), now=NOW)
    return [(row.achievement_id, row.user_id) for row in await rows_of(database, BadgeIssuance)]


@pytest.mark.parametrize("page", [1, 2, 10_000])
async def test_keys_that_the_database_finds_equal_stay_apart(
    mariadb: str, platform: str, tmp_path: Path, migrated_file: Path, page: int
) -> None:
    fill(mariadb, platform, *TEXT_KEYS)
    engine = create_engine(f"{mariadb}/{platform}", poolclass=NullPool)
    with engine.begin() as connection:
        for key in TRAPS:
            values = {"key": key}
            connection.execute(text("INSERT INTO person VALUES (:key, 'A', 'B', 'a@example.org')"), values)
            connection.execute(text("INSERT INTO achievement VALUES (:key, :key)"), values)
            for later, of in enumerate(TRAPS):
                insert = text("INSERT INTO award VALUES (UUID(), :of, :key, :given, NULL)")
                given = AWARDED.replace(tzinfo=None) + timedelta(minutes=later)
                connection.execute(insert, values | {"of": of, "given": given})
    async with laurel(
        tmp_path, migrated_file, as_reader(mariadb, platform), a_folder(tmp_path, 'moments = "UTC"')
    ) as database:
        await enable(database, *TRAPS[:-1])
        database.rows_per_page = page

        assert sorted(await planned(database)) == sorted((of, key) for of in TRAPS[:-1] for key in TRAPS)
        tried = (*TRAPS, "ADA", "ada  ")
        assert [key for key in tried if await database.platform.read(user_exists, key)] == list(TRAPS)
        latest = await database.platform.read(latest_award, "ada", now=NOW)
        assert latest is not None
        assert (latest.achievement_id, latest.awarded_at) == ("ada", AWARDED + timedelta(minutes=1))
        named = await database.platform.read(achievements_of, ["ada", "ada "])
        assert {key: each.achievement_name for key, each in named.items()} == {"ada": "ada", "ada ": "ada "}
        assert await database.platform.read(near_user_ids, "аdb") == ["ада"]


async def test_pages_are_in_the_order_in_which_the_ledger_compares(
    mariadb: str, platform: str, tmp_path: Path, migrated_file: Path
) -> None:
    keys = sorted(["a", "B", "ä", "Z", "z", "0", "ß", "é", "e", "𝒜", "\ufffd", "_"])
    rows = ", ".join(f"('{n}', 'x', '{key}', '2026-11-01', NULL)" for n, key in enumerate(keys))
    fill(mariadb, platform, *TEXT_KEYS, f"INSERT INTO award VALUES {rows}")
    url = as_reader(mariadb, platform)
    async with laurel(tmp_path, migrated_file, url, a_folder(tmp_path, 'moments = "UTC"')) as database:
        found, after = [], ("", "")
        while after is not None:
            page = await database.platform.read(page_after, after, size=5, now=NOW, since=ENABLED)
            found += sorted(user for _, user, _ in page.awards)
            after = page.following
        for user in keys:
            await an_issuance(database, achievement="x", user=user)
        ledger = [
            row.user_id
            for row in await database.read(
                lambda c: c.execute(text("SELECT user_id FROM badge_issuances ORDER BY 1")).all()
            )
        ]

    assert found == keys == ledger


@pytest.mark.parametrize(
    ("toml", "column", "given", "meant"),
    [
        ('moments = "UTC"', "DATETIME(6)", "2026-10-25 00:30:00.25", datetime(2026, 10, 25, 0, 30, 0, 250_000, UTC)),
        ('moments = "Europe/Berlin"', "DATETIME", "2026-07-01 08:00:00", datetime(2026, 7, 1, 6, tzinfo=UTC)),
        ('moments = "Europe/Berlin"', "DATETIME", "2026-11-02 08:00:00", datetime(2026, 11, 2, 7, tzinfo=UTC)),
        ('moments = "epoch"', "BIGINT", "1793606400", datetime(2026, 11, 2, 8, tzinfo=UTC)),
        ('moments = "aware"', "TIMESTAMP NULL", "2026-11-02 08:00:00", datetime(2026, 11, 2, 8, tzinfo=UTC)),
    ],
)
async def test_a_moment_is_read_as_the_mapping_declares_it(
    mariadb: str,
    platform: str,
    tmp_path: Path,
    migrated_file: Path,
    toml: str,
    column: str,
    given: str,
    meant: datetime,
) -> None:
    fill(
        mariadb,
        platform,
        *TEXT_KEYS,
        f"ALTER TABLE award MODIFY given {column}, MODIFY taken {column}",
        "SET time_zone = '+00:00'",
        f"INSERT INTO award VALUES ('1', 'x', 'ada', '{given}', NULL), ('2', 'x', 'bob', '{given}', '{given}')",
        "INSERT INTO achievement VALUES ('x', 'X')",
    )
    url = as_reader(mariadb, platform)
    async with laurel(tmp_path, migrated_file, url, a_folder(tmp_path, toml)) as database:
        await enable(database, "x")

        assert await planned(database) == [("x", "ada")]
        (row,) = await rows_of(database, BadgeIssuance)
        found = (await database.platform.read(awards_of, [("x", "bob")], now=NOW))["x", "bob"]

    assert row.awarded_at == meant
    assert [(each.withdrawn, each.withdrawn_at) for each in found] == [(True, meant)]


@pytest.mark.parametrize(
    ("toml", "column", "zero"),
    [('moments = "UTC"', "DATETIME", "0000-00-00 00:00:00"), ('moments = "epoch"', "BIGINT NOT NULL", "0")],
)
async def test_a_zero_is_no_moment_where_the_mapping_says_so(
    mariadb: str, platform: str, tmp_path: Path, migrated_file: Path, toml: str, column: str, zero: str
) -> None:
    given = "2026-11-02" if "UTC" in toml else "1793606400"
    fill(
        mariadb,
        platform,
        *TEXT_KEYS,
        "SET sql_mode = ''",
        f"ALTER TABLE award MODIFY given {column}, MODIFY taken {column}",
        f"INSERT INTO award VALUES ('1', 'x', 'ada', '{given}', '{zero}'), ('2', 'x', 'bob', '{zero}', '{zero}')",
        "INSERT INTO achievement VALUES ('x', 'X')",
    )
    url = as_reader(mariadb, platform)
    async with laurel(tmp_path, migrated_file, url, a_folder(tmp_path, toml)) as database:
        problems = [each.what for each in await find_problems(database) if each.stops]
    async with laurel(tmp_path, migrated_file, url, a_folder(tmp_path, f"{toml}\nzero_is_none = true")) as database:
        await enable(database, "x")

        assert await planned(database) == [("x", "ada")]
        assert [each for each in await find_problems(database) if each.stops] == []

    assert problems == [
        "awarded_at is zero in 1 of 2 rows, which is no moment.",
        "withdrawn_at is zero in 2 of 2 rows, which is no moment.",
    ]


async def test_integer_keys_are_text_for_laurel_and_no_other_text_matches(
    mariadb: str, platform: str, tmp_path: Path, migrated_file: Path
) -> None:
    fill(
        mariadb,
        platform,
        *MOODLE,
        "INSERT INTO mdl_user (id, firstname, email) VALUES (7, 'Ada', 'ADA@example.org'), (70, 'B', '')",
        "INSERT INTO mdl_badge (id, name) VALUES (9, 'Forklift')",
        f"INSERT INTO mdl_badge_issued VALUES (5, 9, 7, '', {int(AWARDED.timestamp())}, NULL, 1),"
        f" (6, 9, 70, '', {int(AWARDED.timestamp())}, NULL, 1)",
    )
    async with laurel(tmp_path, migrated_file, as_reader(mariadb, platform), "moodle", WWWROOT) as database:
        await enable(database, "9", portal="moodle")

        assert await planned(database) == [("9", "7"), ("9", "70")]
        tried = ["7", "07", "7 ", "7.0", "+7", "x", "", "9" * 40, "-7"]
        assert [key for key in tried if await database.platform.read(exists, Achievement, key)] == []
        assert [key for key in tried if await database.platform.read(user_exists, key)] == ["7"]
        assert await database.platform.read(present_among, ["5", "x"]) == {"5"}
        assert await database.platform.read(present_among, ["05", "5 ", "+5"]) == set()
        assert await database.platform.read(near_user_ids, "71") == ["7", "70"]
        assert await database.platform.read(users_like, "ada@example.org", limit=2) == ["7"]
        assert await database.platform.read(users_like, "ADA", limit=2) == ["7"]


async def test_moodle_on_postgresql_is_read_by_the_same_queries(
    postgresql: str, tmp_path: Path, migrated_file: Path
) -> None:
    name = f"moodle_{next(_numbers)}"
    await administer_postgresql(postgresql, f"CREATE DATABASE {name}")
    url = postgresql.replace("/postgres?", f"/{name}?")
    await administer_postgresql(
        url,
        *MOODLE,
        "INSERT INTO mdl_course (id, category, fullname) VALUES (1, 0, 'Academy'), (2, 1, 'Welding')",
        "INSERT INTO mdl_user (id, firstname, lastname, email) VALUES (7, 'Ada', 'L', 'ada@example.org')",
        "INSERT INTO mdl_badge (id, name) VALUES (9, 'Forklift')",
        f"INSERT INTO mdl_badge_issued VALUES (5, 9, 7, '', {int(AWARDED.timestamp())}, NULL, 1)",
        f"INSERT INTO mdl_course_completions VALUES (3, 7, 2, 0, {int(AWARDED.timestamp())}), (4, 8, 2, 0, NULL)",
    )
    for mapping, achievement in (("moodle", "9"), ("moodle-completions", "2")):
        async with laurel(tmp_path, migrated_file, url, mapping, WWWROOT) as database:
            await enable(database, achievement, portal="moodle")

            assert await planned(database) == [(achievement, "7")]
            assert [each for each in await find_problems(database) if each.stops] == []
            assert await database.platform.read(near_user_ids, "71") == ["7"]


async def test_tables_of_laurel_s_names_on_mariadb_need_no_mapping(
    mariadb: str, platform: str, tmp_path: Path, migrated_file: Path
) -> None:
    text_key = "id VARCHAR(64) PRIMARY KEY"
    fill(
        mariadb,
        platform,
        *(f"CREATE TABLE {name} ({text_key}, name TEXT, url TEXT)" for name in ("portals", "companies", "projects")),
        f"CREATE TABLE users ({text_key}, first_name TEXT, last_name TEXT, profile_url TEXT)",
        f"CREATE TABLE user_emails ({text_key}, user_id VARCHAR(64), address TEXT, is_primary BOOLEAN)",
        f"CREATE TABLE achievements ({text_key}, portal_id VARCHAR(64), name TEXT)",
        f"CREATE TABLE achievement_awards ({text_key}, achievement_id VARCHAR(64), user_id VARCHAR(64),"
        " awarded_at DATETIME, company_id VARCHAR(64), project_id VARCHAR(64), withdrawn_at DATETIME)",
        "INSERT INTO portals VALUES ('northwind', 'Northwind', NULL)",
        "INSERT INTO users VALUES ('ada', 'Ada', 'L', NULL)",
        "INSERT INTO achievements VALUES ('x', 'northwind', 'X')",
        "INSERT INTO achievement_awards VALUES ('1', 'x', 'ada', '2026-11-02', NULL, NULL, NULL)",
    )
    async with laurel(tmp_path, migrated_file, as_reader(mariadb, platform), "native") as database:
        await enable(database, "x")

        assert await planned(database) == [("x", "ada")]
        assert [each for each in await find_problems(database) if each.stops] == []


@pytest.mark.parametrize("kind", ["mariadb", "postgresql", "sqlite"])
async def test_the_platform_is_never_written_even_by_an_account_that_may(
    mariadb: str, platform: str, postgresql: str, tmp_path: Path, migrated_file: Path, kind: str
) -> None:
    (tmp_path / "platform.db").touch()
    urls = {"mariadb": f"{mariadb}/{platform}", "postgresql": postgresql, "sqlite": f"sqlite:///{tmp_path}/platform.db"}
    written = {
        "mariadb": "error 1792",
        "postgresql": "read-only transaction",
        "sqlite": "readonly database|could not be",
    }
    async with laurel(tmp_path, migrated_file, urls[kind], a_folder(tmp_path)) as database:
        with pytest.raises((PlatformNotUsable, DBAPIError), match=written[kind]):
            await database.platform.read(lambda connection: connection.execute(text("CREATE TABLE written (id INT)")))


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        ({"users": "SELECT id, first_name FROM person"}, "users.sql", "It returns no column last_name."),
        (
            {"users": "SELECT nothing FROM person"},
            "users.sql",
            "a query names a column or function that does not exist",
        ),
        ({"users": "SELECT id FROM people"}, "users.sql", "a table or view that a query names does not exist"),
        ({"users": "SELEKT id"}, "users.sql", "a query is not valid SQL here"),
        (
            {"achievements": "SELECT 1 AS id, 'p' AS portal_id, 7 AS name"},
            "achievements.sql",
            "name is a number, and must be text.",
        ),
    ],
)
async def test_the_check_says_what_is_wrong_with_a_query(
    mariadb: str, platform: str, tmp_path: Path, migrated_file: Path, change: dict[str, str], where: str, what: str
) -> None:
    fill(mariadb, platform, *TEXT_KEYS)
    url = as_reader(mariadb, platform)
    async with laurel(tmp_path, migrated_file, url, a_folder(tmp_path, **change)) as database:
        found = [each for each in await find_problems(database) if each.stops]

    assert {each.where for each in found} == {where}
    assert any(what in each.what for each in found)
    assert all("127.0.0.1" in each.what or where == each.where for each in found)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("mysql+pymysql://laurel:wrong@{host}/none", "the account may not log in"),
        ("mysql+pymysql://laurel@127.0.0.1:1/none", "it could not be reached"),
        ("postgresql+psycopg://laurel:s3cret@127.0.0.1:1/none", "it could not be reached"),
        ("mysql+pymysql://laurel:s3cret@{host}/none?nonsense=1", "its driver has no such parameter"),
        ("postgresql+psycopg://laurel:s3cret@127.0.0.1:1/none?nonsense=1", "its driver has no such parameter"),
    ],
)
async def test_a_platform_that_is_away_is_one_sentence(
    mariadb: str, tmp_path: Path, migrated_file: Path, url: str, what: str
) -> None:
    url = url.format(host=mariadb.rpartition("@")[2])
    async with laurel(tmp_path, migrated_file, url, a_folder(tmp_path)) as database:
        with pytest.raises(PlatformNotUsable) as caught:
            await plan(database, now=NOW)

    assert what in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("kind", ["mariadb", "postgresql", "sqlite"])
async def test_a_statement_that_takes_too_long_is_ended(
    mariadb: str, postgresql: str, tmp_path: Path, migrated_file: Path, kind: str
) -> None:
    (tmp_path / "platform.db").touch()
    slow = {
        "mariadb": "SELECT SLEEP(30) AS slept",
        "postgresql": "SELECT pg_sleep(30)",
        "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n",
    }[kind]
    url = {"mariadb": mariadb, "postgresql": postgresql, "sqlite": f"sqlite:///{tmp_path}/platform.db"}[kind]
    limit = timedelta(seconds=1)
    async with laurel(tmp_path, migrated_file, url, a_folder(tmp_path), time_limit=limit) as database:
        with pytest.raises(PlatformNotUsable, match="took longer than LAUREL_PLATFORM_TIMEOUT"):
            await database.platform.read(lambda connection: connection.execute(text(slow)).all())


@pytest.mark.parametrize(
    ("kind", "toml", "column", "given"),
    [
        ("mariadb", 'moments = "epoch"', "DOUBLE", [AWARDED.timestamp() + each / 8 for each in range(5)]),
        (
            "mariadb",
            'moments = "Europe/Berlin"',
            "DATETIME(6)",
            [f"'2026-11-09 12:00:00.{n}'" for n in range(5)],
        ),
        ("postgresql", "", "timestamptz", [f"'2026-11-09 12:00:00.{n}+00'" for n in range(5)]),
        ("postgresql", 'moments = "UTC"', "timestamp", [f"'2026-11-09 12:00:00.{n}'" for n in range(5)]),
        ("sqlite", "", "TEXT", [f"'2026-11-09 12:00:00.{n}00000'" for n in range(5)]),
    ],
)
async def test_new_awards_are_read_in_pages_by_moments_of_each_form(
    mariadb: str,
    platform: str,
    postgresql: str,
    tmp_path: Path,
    migrated_file: Path,
    kind: str,
    toml: str,
    column: str,
    given: list[object],
) -> None:
    tables = [each.replace(", KEY (achievement, person)", "").replace("DATETIME(6)", column) for each in TEXT_KEYS]
    rows = ", ".join(f"('{n}', 'x', 'user-{n}', {moment}, NULL)" for n, moment in enumerate(given))
    statements = (*tables, "INSERT INTO achievement VALUES ('x', 'X')", f"INSERT INTO award VALUES {rows}")
    match kind:
        case "mariadb":
            fill(mariadb, platform, *statements)
            url = as_reader(mariadb, platform)
        case "postgresql":
            await administer_postgresql(postgresql, f"CREATE DATABASE {platform}")
            url = postgresql.replace("/postgres?", f"/{platform}?")
            await administer_postgresql(url, *statements)
        case _:
            url = f"sqlite:///{tmp_path}/platform.db"
            administer(url, *statements)
    async with laurel(tmp_path, migrated_file, url, a_folder(tmp_path, toml)) as database:
        await enable(database, "x")
        await plan(database, now=AWARDED - timedelta(days=1))
        database.rows_per_page = 2

        assert await plan(database, now=NOW) == PlanCounts(entered=5)


async def test_a_relation_without_a_query_is_empty_on_sqlite(tmp_path: Path, migrated_file: Path) -> None:
    url = f"sqlite:///{tmp_path}/platform.db"
    administer(url, TEXT_KEYS[0])
    async with laurel(tmp_path, migrated_file, url, a_folder(tmp_path)) as database:
        assert not await database.platform.read(exists, Company, "acme")


@pytest.mark.parametrize(
    ("toml", "good", "meant"),
    [
        ("", "2026-11-02 08:00:00", "text such as 2026-11-02 08:00:00, in UTC: datetime(…) gives it"),
        ('moments = "Europe/Berlin"', "2026-11-02 09:00:00.5", "text such as 2026-11-02 08:00:00, in Europe/Berlin"),
        ('moments = "epoch"', "1793606400", ""),
    ],
)
async def test_on_sqlite_moments_that_do_not_sort_are_named_and_read_with_their_own_offset(
    tmp_path: Path, migrated_file: Path, toml: str, good: str, meant: str
) -> None:
    url = f"sqlite:///{tmp_path}/platform.db"
    kind, given, another = "TEXT", f"'{good}'", "'2026-11-02T08:00:00Z'"
    if good.isdecimal():
        kind, given, another = "INTEGER", good, good
    administer(
        url,
        *TEXT_KEYS[:2],
        f"CREATE TABLE award (id TEXT, achievement TEXT, person TEXT, given {kind}, taken)",
        f"INSERT INTO award VALUES ('1', 'x', 'ada', {given}, NULL)",
    )
    async with laurel(tmp_path, migrated_file, url, a_folder(tmp_path, toml)) as database:
        checked = [each for each in await find_problems(database) if each.needs_attention]
        administer(url, f"INSERT INTO award VALUES ('2', 'x', 'bob', {another}, NULL)")
        found = [each for each in await find_problems(database) if each.needs_attention]
        awards = (await database.platform.read(awards_of, [("x", "bob")], now=NOW))["x", "bob"]

    assert checked == []
    assert [(each.where, each.advice) for each in found] == (
        [("achievement_awards.awarded_at", f"It must be {meant}.")] if meant else []
    )
    assert [each.awarded_at for each in awards] == [datetime(2026, 11, 2, 8, tzinfo=UTC)]


@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
async def test_a_look_up_without_an_index_is_a_note_with_the_statement_that_makes_one(
    mariadb: str, postgresql: str, tmp_path: Path, migrated_file: Path, kind: str
) -> None:
    name = f"moodle-{next(_numbers)}"  # which has to be quoted
    some = "seq AS n FROM seq_1_to_90000" if kind == "mariadb" else "n FROM generate_series(1, 90000) AS n"
    statements = (
        *MOODLE,
        f"INSERT INTO mdl_user (id, firstname, email) SELECT n, 'A', 'a@example.org' FROM (SELECT {some}) AS s",
        "INSERT INTO mdl_badge (id, name) VALUES (7, 'Forklift')",
        "INSERT INTO mdl_badge_issued (id, badgeid, userid, uniquehash, dateissued)"
        f" SELECT n, 7, n, '', 1760000000 + n FROM (SELECT {some}) AS s",
    )
    if kind == "mariadb":
        administer(mariadb, f"CREATE DATABASE `{name}`")
        fill(mariadb, f"`{name}`", *statements, "ANALYZE TABLE mdl_badge_issued, mdl_user")
        url, table = as_reader(mariadb, name), f"`{name}`.mdl_badge_issued"
    else:
        await administer_postgresql(postgresql, f'CREATE DATABASE "{name}"')
        url, table = postgresql.replace("/postgres?", f"/{name}?"), "public.mdl_badge_issued"
        await administer_postgresql(url, *statements, "ANALYZE")
    async with laurel(tmp_path, migrated_file, url, "moodle", WWWROOT) as database:
        (found,) = await find_problems(database)

        assert (found.where, found.needs_attention) == ("achievement_awards.sql", False)
        assert found.what == f"To find rows by awarded_at, the database reads the whole of {table}."
        assert found.statement == f"CREATE INDEX laurel_dateissued ON {table} (dateissued);"
        if kind == "mariadb":
            administer(mariadb, found.statement)
        else:
            await administer_postgresql(url, found.statement, "ANALYZE")
        assert await find_problems(database) == []
    if kind == "mariadb":
        administer(mariadb, f"DROP DATABASE `{name}`")


async def test_no_statement_is_shown_where_no_index_would_answer(
    mariadb: str, platform: str, tmp_path: Path, migrated_file: Path
) -> None:
    fill(
        mariadb,
        platform,
        *TEXT_KEYS,
        "INSERT INTO person SELECT seq, 'A', 'B', 'a@example.org' FROM seq_1_to_20000",
        "INSERT INTO award SELECT seq, 'x', seq, '2026-11-01', NULL FROM seq_1_to_20000",
        "ANALYZE TABLE award, person",
    )
    moment = "DATE_ADD(given, INTERVAL 1 HOUR) AS awarded_at"
    awards = f"SELECT {_COLUMNS['achievement_awards'].replace('given AS awarded_at', moment)} FROM award"
    folder = a_folder(tmp_path, 'moments = "UTC"', achievement_awards=awards)
    async with laurel(tmp_path, migrated_file, as_reader(mariadb, platform), folder) as database:
        found = await find_problems(database)

    advice = {each.what.partition(",")[0]: each.advice for each in found}
    assert {each.statement for each in found} == {""}
    assert "name the relation in integer_keys" in advice["To find rows by user_id"]
    assert "the query returns an expression" in advice["To find rows by awarded_at"]


async def test_of_a_page_in_the_order_of_integers_active_pairs_are_known_by_achievement(
    mariadb: str, platform: str, tmp_path: Path, migrated_file: Path
) -> None:
    users, moment = (2, 10, 9, 100), int((NOW - timedelta(days=20)).timestamp())
    fill(
        mariadb,
        platform,
        *MOODLE,
        *(f"INSERT INTO mdl_user (id, firstname) VALUES ({user}, 'A')" for user in users),
        *(f"INSERT INTO mdl_badge (id, name) VALUES ({badge}, 'B')" for badge in (9, 10)),
        *(
            f"INSERT INTO mdl_badge_issued VALUES ({badge}{user}, {badge}, {user}, '', {moment}, NULL, 1)"
            for badge in (9, 10)
            for user in users
        ),
    )
    async with laurel(tmp_path, migrated_file, as_reader(mariadb, platform), "moodle", WWWROOT) as database:
        await enable(database, "9", "10", portal="moodle")
        database.rows_per_page = 2
        assert len(await planned(database)) == 8
        known = await database.read(active_of, ["9"], at_most=5)
        assert known == {("9", str(user)) for user in users}
        assert await database.read(active_of, ["9"], at_most=4) == set()
        await database.write(
            lambda c: c.execute(
                text(
                    "UPDATE badge_issuances SET state = 'cancelled', transition = 'cancel',"
                    " reason = 'award_withdrawn' WHERE achievement_id = '10' AND user_id = '9'"
                )
            )
        )

        assert (await sweep(database, Sweep(), now=NOW)).revived == 1
        assert await sweep(database, Sweep(), now=NOW) == PlanCounts()
