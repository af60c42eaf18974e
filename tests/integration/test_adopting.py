"""A platform with other names, other keys and soft deletes, through views: docs/adopting.md, statement by statement."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from models.claiming import due_issuances
from models.database import Database
from models.examine import lacks_of
from models.facts import facts_of
from models.integrations import CredlyConnection
from models.migrate import migrate
from models.setting_up import put_integration
from rules.badge_request import Prepared, prepare_request
from settings import ROOT
from tests.support.databases import empty_postgresql_database
from tests.support.factories import a_connection, rows_of
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
    return re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "adopting.md").read_text(), flags=re.DOTALL)


async def run(database: Database, sql: str) -> None:
    async with database.writing() as connection:
        for statement in filter(str.strip, sql.split(";")):
            await connection.execute(text(statement.replace(":", "\\:")))


@pytest.fixture
async def platform(postgresql: str) -> AsyncIterator[Database]:
    """The platform's own database, seen by its owner, with what the document makes of it."""
    async with empty_postgresql_database(postgresql) as database:
        await run(database, PLATFORM)
        for block in documented():
            await run(database, block)
        yield database
        await run(database, "DROP OWNED BY laurel; DROP ROLE laurel")


@pytest.fixture
async def laurel(platform: Database) -> AsyncIterator[Database]:
    """The same database, seen by Laurel's role."""
    database = Database(platform.url.replace("//postgres:@", "//laurel:@").replace("//postgres@", "//laurel@"))
    yield database
    await database.dispose()


async def fill(platform: Database) -> None:
    rows = f"""
    INSERT INTO lms.site VALUES ('{SITE}', 'Northwind', 'https://northwind.example.org');
    INSERT INTO lms.course VALUES ('{COURSE}', '{SITE}', 'Forklift', NULL);
    INSERT INTO lms.employer VALUES (7, 'Acme', 'https://acme.example.org');
    INSERT INTO lms.person VALUES ('{ADA}', 'Ada King Lovelace', 'ada@example.org', NULL, NULL),
        ('{CHER}', 'Cher', 'cher@example.org', NULL, NULL), ('{GONE}', 'Gone By', 'gone@example.org', NULL, now()),
        ('{LATE}', 'Too Late', 'late@example.org', NULL, NULL);
    INSERT INTO lms.completion SELECT gen_random_uuid(), '{COURSE}', id, 7, now() - interval '1 hour',
        CASE WHEN full_name = 'Too Late' THEN now() END FROM lms.person
    """
    await run(platform, rows)


async def test_badges_are_planned_and_made_from_views(platform: Database, laurel: Database) -> None:
    await fill(platform)
    await migrate(laurel)
    await a_connection(laurel, portal=str(SITE), missing_name="-")
    async with laurel.writing() as connection:
        values = {"badge_template_id": "t", "company_evidence": True, "enabled_at": NOW - timedelta(days=1)}
        await put_integration(connection, str(COURSE), values)

    await planned(laurel, now=NOW)

    async with laurel.reading() as connection:
        due = [key for key, _ in await due_issuances(connection, portal_ids=[str(SITE)], now=NOW, after_id=0, limit=9)]
        facts = await facts_of(connection, due)
    prepared = {each.user_id: prepare_request(each, now=NOW) for each in facts}
    ada = prepared[str(ADA)]
    assert isinstance(ada, Prepared)
    assert (ada.request.issued_to_first_name, ada.request.issued_to_last_name) == ("Ada King", "Lovelace")
    assert [(item.name, item.value) for item in ada.request.evidence] == [("Acme", "https://acme.example.org")]
    cher = prepared[str(CHER)]
    assert isinstance(cher, Prepared)
    assert (cher.request.issued_to_first_name, cher.request.issued_to_last_name) == ("-", "Cher")
    assert str(LATE) not in prepared
    assert len(await rows_of(laurel, CredlyConnection)) == 1


async def test_the_role_reads_views_and_nothing_else_and_the_check_is_content(
    platform: Database, laurel: Database
) -> None:
    await migrate(laurel)

    async with laurel.reading() as connection:
        assert await lacks_of(connection) == []
    for forbidden in (
        "SELECT * FROM lms.person",
        "DELETE FROM laurel_in.users",
        "CREATE TABLE laurel_in.x ()",
    ):
        with pytest.raises(ProgrammingError, match="permission denied"):
            await run(laurel, forbidden)


@pytest.mark.parametrize(
    ("wrong", "where", "said"),
    [
        ("DROP VIEW laurel_in.projects", "projects", "There is no such table or view"),
        (
            "DROP VIEW laurel_in.portals; CREATE VIEW laurel_in.portals AS SELECT id, title AS name FROM lms.site; "
            "GRANT SELECT ON laurel_in.portals TO laurel",
            "portals.id",
            "It is UUID, and must be text.",
        ),
        (
            "DROP VIEW laurel_in.companies; CREATE VIEW laurel_in.companies AS SELECT id::text AS id, title AS name "
            "FROM lms.employer; GRANT SELECT ON laurel_in.companies TO laurel",
            "companies.url",
            "The column is missing.",
        ),
        ("GRANT INSERT ON laurel_in.users TO laurel", "users", "Laurel's role may write it."),
        ("DROP TABLE laurel.issuance_attempts CASCADE", "Laurel's own tables", "issuance_attempts are missing"),
        (
            "CREATE OR REPLACE VIEW laurel_in.user_emails AS SELECT id::text || n AS id, id::text AS user_id, "
            "mail AS address, true AS is_primary FROM lms.person, generate_series(1, 2) AS n",
            "user_emails",
            "Users with several primary addresses",
        ),
        (
            "DROP VIEW laurel_in.achievement_awards; "
            "CREATE VIEW laurel_in.achievement_awards AS SELECT id::text AS id, course_id::text AS achievement_id, "
            "person_id::text AS user_id, completed_at::timestamp AS awarded_at, "
            "NULL::text AS company_id, NULL::text AS project_id, revoked_at AS withdrawn_at FROM lms.completion; "
            "GRANT SELECT ON laurel_in.achievement_awards TO laurel",
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

    async with laurel.reading() as connection:
        found = await lacks_of(connection)

    assert any(lack.where == where and lack.what.startswith(said) and lack.advice for lack in found), found


async def test_an_ordinary_database_lacks_nothing(database: Database) -> None:
    async with database.reading() as connection:
        assert await lacks_of(connection) == []


async def test_an_empty_one_lacks_everything(empty_database: Database) -> None:
    async with empty_database.reading() as connection:
        found = await lacks_of(connection)

    assert [lack.where for lack in found][-1] == "Laurel's own tables"
    assert len(found) == 8
