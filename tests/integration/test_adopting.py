"""A platform with other names, keys and soft deletes, through views: docs/how-to/adopting.md, each statement."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from models.database import Database
from models.diagnostics.check import find_problems
from models.ledger.claiming import Scope, due_issuances
from models.ledger.issuance_data import facts_of
from models.migrate import create_platform_tables, migrate
from models.platform.engine import Source
from models.platform.mapping import NATIVE_MAPPING
from models.setup.history import put_settings
from models.setup.tables import CredlyConnection
from rules.badge.request import Prepared, prepare_request
from rules.ledger.settings_changes import SettingsOf
from settings import ROOT
from tests.support.databases import empty_postgresql_database, sqlite_database
from tests.support.factories import a_connection, a_portal, an_award, rows_of
from tests.support.plans import planned

PLATFORM = """
CREATE SCHEMA lms;
CREATE TABLE lms.site (id uuid PRIMARY KEY, title text, address text);
CREATE TABLE lms.person (id uuid PRIMARY KEY, full_name text, mail text, page text, deleted_at timestamptz);
CREATE TABLE lms.employer (id bigint PRIMARY KEY, title text, homepage text);
CREATE TABLE lms.course (id uuid PRIMARY KEY, site_id uuid, title text, archived_at timestamptz);
CREATE TABLE lms.completion (id uuid PRIMARY KEY, course_id uuid, person_id uuid, employer_id bigint,
                             completed_at timestamptz, revoked_at timestamptz);
"""
SITE, COURSE = UUID(int=1), UUID(int=2)
ADA, CHER, GONE, LATE = UUID(int=11), UUID(int=12), UUID(int=13), UUID(int=14)
NOW = datetime.now(UTC)


def documented() -> list[str]:
    """The SQL of the document, block by block."""
    return re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "how-to" / "adopting.md").read_text(), flags=re.DOTALL)


async def run(database: Database, sql: str) -> None:
    def execute(connection: Connection) -> None:
        for statement in filter(str.strip, sql.split(";")):
            connection.execute(text(statement.replace(":", "\\:")))

    await database.write(execute)


@pytest.fixture
async def platform(postgresql: str) -> AsyncIterator[Database]:
    """The platform's own database, seen by its owner, with what the document makes of it."""
    async with empty_postgresql_database(postgresql) as database:
        await run(database, PLATFORM)
        for block in documented()[:-1]:
            await run(database, block)
        yield database
        await run(database, "DROP OWNED BY laurel_reader; DROP ROLE laurel_reader")


def as_reader(platform: Database) -> str:
    return platform.url.replace("//postgres:@", "//laurel_reader:@").replace("//postgres@", "//laurel_reader@")


@pytest.fixture
async def laurel(platform: Database) -> AsyncIterator[Database]:
    """The same database, seen by Laurel's account, with Laurel's own tables beside the views."""
    await run(platform, documented()[-1])
    database = Database(as_reader(platform))
    yield database
    await database.dispose()


@pytest.fixture(params=["apart", "beside"])
async def either(request: pytest.FixtureRequest, platform: Database, tmp_path: Path) -> AsyncIterator[Database]:
    """Laurel's own tables in a database of their own, as documented first, and beside the views."""
    reader = as_reader(platform)
    if request.param == "beside":
        await run(platform, documented()[-1])
        database = Database(reader)
    else:
        database = Database(f"sqlite:///{tmp_path / 'ledger.db'}", Source(url=reader, mapping=NATIVE_MAPPING))
    await migrate(database)
    yield database
    await database.dispose()


async def fill(platform: Database) -> None:
    rows = f"""
    INSERT INTO lms.site VALUES ('{SITE}', 'Northwind', 'https://northwind.example.org');
    INSERT INTO lms.course VALUES ('{COURSE}', '{SITE}', 'Forklift', NULL);
    INSERT INTO lms.employer VALUES (7, 'Acme', 'https://acme.example.org');
    INSERT INTO lms.person VALUES ('{ADA}', 'Ada King Lovelace', 'ada@example.org', NULL, NULL),
        ('{CHER}', 'Cher ', 'cher@example.org', NULL, NULL), ('{GONE}', 'Gone By', 'gone@example.org', NULL, now()),
        ('{LATE}', 'Too Late', 'late@example.org', NULL, NULL);
    INSERT INTO lms.completion SELECT gen_random_uuid(), '{COURSE}', id, 7, now() - interval '1 hour',
        CASE WHEN full_name = 'Too Late' THEN now() - interval '1 hour' END FROM lms.person
    """
    await run(platform, rows)


async def test_badges_are_planned_and_made_from_views(platform: Database, either: Database) -> None:
    await fill(platform)
    await a_connection(either, portal=str(SITE), missing_name="-")
    values = {"badge_template_id": "t", "company_evidence": True, "enabled_at": NOW - timedelta(days=1)}
    await either.write(put_settings, SettingsOf.INTEGRATION, str(COURSE), values, now=NOW)

    await planned(either, now=NOW)

    due = await either.read(due_issuances, Scope([str(SITE)]), now=NOW, after_id=0, limit=9)
    facts = await facts_of(either, [issuance_id for issuance_id, _ in due], now=NOW)
    prepared = {each.user_id: prepare_request(each, now=NOW) for each in facts}
    ada = prepared[str(ADA)]
    assert isinstance(ada, Prepared)
    assert (ada.request.issued_to_first_name, ada.request.issued_to_last_name) == ("Ada King", "Lovelace")
    assert [(item.name, item.value) for item in ada.request.evidence] == [("Acme", "https://acme.example.org")]
    cher = prepared[str(CHER)]
    assert isinstance(cher, Prepared)
    assert (cher.request.issued_to_first_name, cher.request.issued_to_last_name) == ("-", "Cher")
    assert str(LATE) not in prepared
    assert len(await rows_of(either, CredlyConnection)) == 1


async def test_the_role_reads_views_and_nothing_else_and_the_check_is_content(
    platform: Database, either: Database
) -> None:
    assert await find_problems(either) == []
    reader = Database(as_reader(platform))
    for forbidden in (
        "SELECT * FROM lms.person",
        "DELETE FROM laurel_in.users",
        "CREATE TABLE laurel_in.x ()",
    ):
        with pytest.raises(ProgrammingError, match="permission denied"):
            await run(reader, forbidden)
    await reader.dispose()


@pytest.mark.parametrize(
    ("wrong", "where", "said"),
    [
        ("DROP VIEW laurel_in.projects", "projects", "There is no such table or view"),
        (
            "DROP VIEW laurel_in.portals; CREATE VIEW laurel_in.portals AS SELECT id, title AS name FROM lms.site; "
            "GRANT SELECT ON laurel_in.portals TO laurel_reader",
            "portals.id",
            "It is UUID, and must be text.",
        ),
        (
            "DROP VIEW laurel_in.companies; CREATE VIEW laurel_in.companies AS SELECT id::text AS id, title AS name "
            "FROM lms.employer; GRANT SELECT ON laurel_in.companies TO laurel_reader",
            "companies.url",
            "The column is missing.",
        ),
        ("GRANT INSERT ON laurel_in.users TO laurel_reader", "users", "Laurel's role may write it."),
        ("DROP TABLE laurel.issuance_attempts CASCADE", "Laurel's own tables", "issuance_attempts, laurel_attempts"),
        (
            "CREATE OR REPLACE VIEW laurel_in.user_emails AS SELECT id::text || n AS id, id::text AS user_id, "
            "mail AS address, true AS is_primary FROM lms.person, generate_series(1, 2) AS n",
            "user_emails",
            "Users with several primary addresses",
        ),
        ("REVOKE SELECT ON laurel_in.companies FROM laurel_reader", "companies", "Laurel's role may not read it."),
        (
            "REVOKE USAGE ON SCHEMA laurel_in FROM laurel_reader",
            "users",
            "There is no such table or view. Looked for in the schemas laurel. There is one in laurel_in.",
        ),
        ("ALTER ROLE laurel_reader SET search_path = laurel", "users", "There is no such table or view. Looked for"),
        (
            "ALTER ROLE laurel_reader SET search_path = public, laurel_in",
            "Laurel's own tables",
            "badge_issuances, credly_calls, credly_connections, credly_integrations, credly_organizations, "
            "credly_templates, erased_badges, erased_users, issuance_attempts, issuance_history, operator_runs, "
            "organization_cursors, organization_pace, planning_progress, run_findings, run_organizations, run_parts, "
            "run_portals, settings_history, laurel_attempts, laurel_badges, laurel_history, laurel_issuances, "
            "laurel_runs, laurel_sent_settings, laurel_settings, laurel_settings_history, laurel_states are missing. "
            "Looked for in the schemas public, laurel_in",
        ),
        (
            "UPDATE laurel.laurel_alembic_version SET version_num = '0002_the_log_tables_as_views'",
            "Laurel's own tables",
            "They are of revision 0002_the_log_tables_as_views, and this Laurel needs 0015",
        ),
        ("DROP VIEW laurel.laurel_runs", "Laurel's own tables", "laurel_runs are missing"),
        (
            "REVOKE INSERT, DELETE ON laurel.badge_issuances FROM laurel_reader",
            "badge_issuances",
            "Laurel's role may not INSERT, DELETE",
        ),
        (
            "CREATE OR REPLACE VIEW laurel_in.portals AS SELECT id::text AS id, title AS name, address AS url "
            "FROM lms.site, generate_series(1, 2)",
            "portals.id",
            f"Keys come twice, such as {SITE}.",
        ),
        (
            "UPDATE lms.completion SET completed_at = NULL",
            "achievement_awards.awarded_at",
            "It is NULL in 4 of 4 rows, and Laurel cannot use such rows.",
        ),
        (
            "CREATE OR REPLACE VIEW laurel_in.companies AS SELECT repeat(id::text, 300) AS id, title AS name, "
            "homepage AS url FROM lms.employer",
            "companies.id",
            "It has another form than Laurel can use in 1 of 1 rows.",
        ),
        (
            "CREATE OR REPLACE VIEW laurel_in.companies AS SELECT id || '@x.org' AS id, title AS name, homepage AS url "
            "FROM lms.employer",
            "companies.id",
            "Keys have an @, as e-mail addresses do, in 1 rows.",
        ),
        (
            "CREATE OR REPLACE VIEW laurel_in.companies AS SELECT 'A · ' || id AS id, title AS name, homepage AS url "
            "FROM lms.employer",
            "companies.id",
            "Keys have “ · ”, two blanks in a row, or one at an end, in 1 rows.",
        ),
        (
            "DROP VIEW laurel_in.user_emails; CREATE VIEW laurel_in.user_emails AS SELECT id::text AS id, "
            "id::text AS user_id, mail AS address, 1 AS is_primary FROM lms.person; "
            "GRANT SELECT ON laurel_in.user_emails TO laurel_reader",
            "user_emails.is_primary",
            "It is INTEGER, and must be true or false.",
        ),
        ("ALTER ROLE laurel_reader SUPERUSER", "role laurel_reader", "It is a superuser"),
        (
            "ALTER VIEW laurel_in.users OWNER TO laurel_reader",
            "users",
            "It cannot be read: permission denied for table person.",
        ),
        (
            "ALTER VIEW laurel_in.projects OWNER TO laurel_reader",
            "projects",
            "The role laurel_reader owns it, and may change it.",
        ),
        (
            "DROP VIEW laurel_in.achievement_awards; "
            "CREATE VIEW laurel_in.achievement_awards AS SELECT id::text AS id, course_id::text AS achievement_id, "
            "person_id::text AS user_id, completed_at::timestamp AS awarded_at, "
            "NULL::text AS company_id, NULL::text AS project_id, revoked_at AS withdrawn_at FROM lms.completion; "
            "GRANT SELECT ON laurel_in.achievement_awards TO laurel_reader",
            "achievement_awards.awarded_at",
            "It is TIMESTAMP, and must be a time with its zone.",
        ),
    ],
)
async def test_what_is_wrong_is_said_in_words_to_act_on(
    platform: Database, laurel: Database, wrong: str, where: str, said: str
) -> None:
    await fill(platform)
    await migrate(laurel)
    await run(platform, wrong)
    laurel.engine.dispose()  # what is set for a role holds for its new connections

    found = await find_problems(laurel)

    assert any(lack.where == where and lack.what.startswith(said) and lack.advice for lack in found), found


@pytest.mark.parametrize(
    ("wrong", "statement"),
    [
        (
            "REVOKE SELECT ON laurel_in.companies FROM laurel_reader",
            "GRANT SELECT ON laurel_in.companies TO laurel_reader;",
        ),
        (
            "GRANT INSERT ON laurel_in.users TO laurel_reader",
            "REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON laurel_in.users FROM laurel_reader;",
        ),
        ("REVOKE USAGE ON SCHEMA laurel_in FROM laurel_reader", "GRANT USAGE ON SCHEMA laurel_in TO laurel_reader;"),
        (
            "ALTER ROLE laurel_reader SET search_path = laurel",
            "ALTER ROLE laurel_reader SET search_path = laurel, laurel_in;",
        ),
        (
            'ALTER SCHEMA laurel_in RENAME TO "Laurel in"; REVOKE SELECT ON "Laurel in".users FROM laurel_reader; '
            'ALTER ROLE laurel_reader SET search_path = laurel, "Laurel in"',
            'GRANT SELECT ON "Laurel in".users TO laurel_reader;',
        ),
        (
            "REVOKE INSERT, DELETE ON laurel.badge_issuances FROM laurel_reader",
            "GRANT INSERT, DELETE ON laurel.badge_issuances TO laurel_reader;",
        ),
    ],
)
async def test_what_an_owner_is_to_run_works_as_it_is_shown(
    platform: Database, laurel: Database, wrong: str, statement: str
) -> None:
    await migrate(laurel)
    await run(platform, wrong)
    laurel.engine.dispose()
    statements = {each.statement for each in await find_problems(laurel)}
    assert statements == {statement}

    await run(platform, statement)
    laurel.engine.dispose()

    assert await find_problems(laurel) == []


async def test_each_documented_index_is_used_and_missed(platform: Database, laurel: Database) -> None:
    await fill(platform)
    await run(
        platform,
        "INSERT INTO lms.person SELECT gen_random_uuid(), 'A B', 'x', NULL, NULL FROM generate_series(1, 80000);"
        "INSERT INTO lms.employer SELECT n, 'E', NULL FROM generate_series(8, 60000) AS n;"
        # Many courses: of few, PostgreSQL 18 finds a person's completions by the index that begins with the course.
        "INSERT INTO lms.completion SELECT gen_random_uuid(), id, id, 7, now(), NULL FROM lms.person;"
        "ANALYZE lms.person; ANALYZE lms.employer; ANALYZE lms.completion",
    )
    await migrate(laurel)
    assert await find_problems(laurel) == []

    indexes = re.findall(r"CREATE INDEX (\w+) ON (lms\.\w+)[^;]+", "".join(documented()))
    statements = re.findall(r"CREATE INDEX [^;]+", "".join(documented()))
    assert len(indexes) == 6
    for (name, table), statement in zip(indexes, statements, strict=True):
        # Autovacuum does the same at any moment: what an index on an expression holds changes what is planned.
        await run(platform, f"DROP INDEX lms.{name}; ANALYZE {table}")
        found = await find_problems(laurel)
        assert any(f"reads the whole of {table}" in lack.what and not lack.stops for lack in found), (name, found)
        await run(platform, statement)


async def test_a_role_that_owns_the_platform_is_noted_and_nothing_else(database: Database) -> None:
    found = await find_problems(database)

    on_postgresql = database.engine.dialect.name == "postgresql"
    assert [lack.what.partition(",")[0] for lack in found] == ["It is a superuser"] * on_postgresql
    assert not any(lack.needs_attention or lack.stops for lack in found)


@pytest.mark.parametrize(
    ("wrong", "where", "said"),
    [
        (
            "SELECT 4711 AS id, name, url FROM portals_",
            "portals.id",
            "It has another form than Laurel can use in 1 of 1 rows",
        ),
        ("SELECT id, name, NULL AS url FROM portals_ UNION ALL SELECT * FROM portals_", "portals.id", "Keys come"),
        ("SELECT id, NULL AS name, url FROM portals_", "portals.name", "It is NULL in 1 of 1 rows"),
    ],
)
async def test_on_sqlite_views_are_looked_at_by_their_values(tmp_path: Path, wrong: str, where: str, said: str) -> None:
    async with sqlite_database(tmp_path) as database:
        await create_platform_tables(database)
        await migrate(database)
        await a_portal(database)
        await run(database, f"ALTER TABLE portals RENAME TO portals_; CREATE VIEW portals AS {wrong}")

        found = await find_problems(database)

    assert any(lack.where == where and lack.what.startswith(said) for lack in found), found


@pytest.mark.parametrize("moment", ["2026-11-02T08:00:00Z", "2026-11-02 08:00:00+01:00", "02.11.2026", "1762070400"])
async def test_on_sqlite_times_that_do_not_sort_are_told(tmp_path: Path, moment: str) -> None:
    async with sqlite_database(tmp_path) as database:
        await create_platform_tables(database)
        await migrate(database)
        await an_award(database)
        await run(database, f"UPDATE achievement_awards SET awarded_at = '{moment}'")

        found = await find_problems(database)

    assert [lack.where for lack in found] == ["achievement_awards.awarded_at"]


async def test_an_empty_one_lacks_everything(empty_database: Database) -> None:
    found = await find_problems(empty_database)

    stopping = [lack.where for lack in found if lack.stops]
    assert stopping[-1] == "Laurel's own tables"
    assert len(stopping) == 8
