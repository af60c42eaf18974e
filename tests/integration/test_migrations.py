import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Boolean, Connection, Integer, String, inspect, select, text
from sqlalchemy.exc import IntegrityError

from models.analytics.history_views import history_view_statements
from models.analytics.views import view_statements
from models.columns import UtcDateTime
from models.database import Database
from models.metadata import laurel_metadata, views_metadata
from models.migrate import create_platform_tables, migrate
from models.platform.tables import platform_metadata
from models.setup.history import SettingsChange
from models.tables import table
from reports.dictionary import BADGES, FIELDS
from reports.field import KEY, MOMENT, TEXT, WHOLE, YES_NO, Field
from rules.datasets import Dataset
from tests.support.migrating import alembic_config, go_to, insert_issuance, rows_of

VERSIONS = "laurel_alembic_version"
OURS = set(laurel_metadata.tables)
SETTINGS = table(SettingsChange)


async def tables_of(database: Database) -> set[str]:
    return set(await database.read(lambda sync: inspect(sync).get_table_names()))


async def views_of(database: Database) -> dict[str, str]:
    """What each view is defined as, in the database's own words."""

    def definitions(connection: Connection) -> dict[str, str]:
        found = inspect(connection)
        return {name: str(found.get_view_definition(name)) for name in found.get_view_names()}

    return await database.read(definitions)


async def differences(database: Database) -> list[Any]:
    def compare(connection: Connection) -> list[Any]:
        options = {
            "version_table": VERSIONS,
            "include_object": lambda _object, name, kind, *_: kind != "table" or name in OURS,
        }
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, laurel_metadata))

    return await database.read(compare)


def described_constraints(connection: Connection) -> dict[str, Any]:
    """What alembic does not compare: primary keys, foreign keys and the names of the CHECKs."""
    found = inspect(connection)
    return {
        name: (
            found.get_pk_constraint(name)["constrained_columns"],
            sorted(str(check["name"]) for check in found.get_check_constraints(name)),
            sorted((key["referred_table"], *key["constrained_columns"]) for key in found.get_foreign_keys(name)),
        )
        for name in sorted(OURS.intersection(found.get_table_names()))
    }


async def test_the_migrations_make_exactly_the_tables_of_the_models(empty_database: Database) -> None:
    await migrate(empty_database)

    assert await tables_of(empty_database) == OURS | {VERSIONS}
    assert await differences(empty_database) == []


async def test_the_migrations_make_the_constraints_of_the_models(empty_database: Database) -> None:
    await migrate(empty_database)
    migrated = await empty_database.read(described_constraints)
    await empty_database.write(laurel_metadata.drop_all)
    await empty_database.write(laurel_metadata.create_all)
    from_models = await empty_database.read(described_constraints)

    assert migrated == from_models


async def test_the_migrations_make_the_views_of_the_models(empty_database: Database) -> None:
    await migrate(empty_database)
    migrated = await views_of(empty_database)
    await empty_database.write(laurel_metadata.drop_all)
    assert await views_of(empty_database) == {}
    await empty_database.write(laurel_metadata.create_all)

    assert set(migrated) == set(view_statements("sqlite")) == set(views_metadata.tables)
    assert await views_of(empty_database) == migrated


async def history_as_created(database: Database) -> tuple[list[str], str]:
    """The triggers that fill the history with what they run, and on PostgreSQL the CHECK of its transitions.

    SQLite keeps that CHECK as it was written; PostgreSQL in a form of its own, in which two alike are the same text.
    """
    sources = {
        "sqlite": "SELECT sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name",
        "postgresql": "SELECT pg_get_triggerdef(t.oid) || p.prosrc FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
        " WHERE NOT t.tgisinternal ORDER BY t.tgname",
    }
    triggers = [row[0] for row in await rows_of(database, sources[database.engine.dialect.name])]

    def legal(connection: Connection) -> str:
        if connection.dialect.name == "sqlite":
            return ""
        checks = inspect(connection).get_check_constraints("issuance_history")
        return next(check["sqltext"] for check in checks if check["name"] == "ck_issuance_history_legal")

    return [" ".join(each.split()) for each in triggers], await database.read(legal)


async def test_the_migrations_make_the_history_of_the_models(empty_database: Database) -> None:
    await migrate(empty_database)
    migrated = await history_as_created(empty_database)
    await empty_database.write(laurel_metadata.drop_all)
    await empty_database.write(laurel_metadata.create_all)

    assert len(migrated[0]) == 2
    assert await history_as_created(empty_database) == migrated


async def test_the_views_have_the_columns_that_python_reads(empty_database: Database) -> None:
    await migrate(empty_database)

    def columns(connection: Connection) -> dict[str, list[str]]:
        found = inspect(connection)
        return {name: [str(column["name"]) for column in found.get_columns(name)] for name in found.get_view_names()}

    made = await empty_database.read(columns)
    read = {name: [column.name for column in view.columns] for name, view in views_metadata.tables.items()}
    assert made == read


OVER_HISTORY = history_view_statements("sqlite")


@pytest.mark.parametrize(
    ("view", "fields"),
    [
        ("laurel_badges", BADGES),
        *(
            (f"laurel_{each}", FIELDS[each])
            for each in Dataset
            if f"laurel_{each}" in history_view_statements("sqlite")
        ),
    ],
)
def test_the_dictionary_has_the_columns_of_the_views_over_the_history(view: str, fields: tuple[Field, ...]) -> None:
    stored = {WHOLE: Integer, YES_NO: Boolean, MOMENT: UtcDateTime, TEXT: String, KEY: String}
    columns = views_metadata.tables[view].columns

    assert [field.name for field in fields] == [column.name for column in columns]
    assert [
        field.name
        for field, column in zip(fields, columns, strict=True)
        if not isinstance(column.type, stored[field.dtype])
    ] == []


async def test_migrating_twice_changes_nothing(empty_database: Database) -> None:
    await migrate(empty_database)
    await migrate(empty_database)

    assert await differences(empty_database) == []


async def test_going_back_to_the_beginning_leaves_nothing_of_ours(empty_database: Database) -> None:
    await migrate(empty_database)

    await empty_database.write(lambda sync: command.downgrade(alembic_config(sync), "base"))

    assert await tables_of(empty_database) == {VERSIONS}
    assert await views_of(empty_database) == {}


async def test_going_back_and_forth_ends_where_it_began(empty_database: Database) -> None:
    await migrate(empty_database)

    await empty_database.write(lambda sync: command.downgrade(alembic_config(sync), "base"))
    await migrate(empty_database)

    assert await differences(empty_database) == []


async def test_issuances_under_way_are_kept_and_may_have_the_new_reason(empty_database: Database) -> None:
    async def insert(user: str, state: str, reason: str = "", claim: str = "") -> None:
        await insert_issuance(empty_database, user=user, state=state, reason=reason, claim=claim)

    async def reasons() -> list[Any]:
        query = "SELECT state, reason, claim FROM badge_issuances ORDER BY id"
        return [tuple(row) for row in await rows_of(empty_database, query)]

    await go_to(empty_database, "0003")
    await insert("ada", "issuing", claim="held")
    await insert("bob", "failed", "refused_by_credly")
    before = await reasons()
    await go_to(empty_database, "0004")
    assert await reasons() == before

    await insert("cyd", "failed", "not_permitted")
    with pytest.raises(IntegrityError):
        await insert("dee", "failed", "no_such_reason")
    await go_to(empty_database, "0003", back=True)

    assert await reasons() == [*before, ("failed", "refused_by_credly", None)]
    with pytest.raises(IntegrityError):
        await insert("eve", "failed", "not_permitted")


async def test_badges_may_be_replaced_for_a_corrected_name_and_wait_for_nothing_on_the_way_back(
    empty_database: Database,
) -> None:
    async def reasons() -> list[Any]:
        rows = await rows_of(empty_database, "SELECT state, reason FROM badge_issuances")
        history = await rows_of(empty_database, "SELECT to_state, reason FROM issuance_history")
        return [tuple(row) for row in (*rows, *history)]

    async def insert(round_name: str, reason: str) -> None:
        place = (
            f"INSERT INTO planning_progress VALUES ({len(round_name)}, '{round_name}', '', '', 0, 0, 0, '2026-11-02')"
        )
        await empty_database.write(Connection.execute, text(place))
        await insert_issuance(empty_database, user=round_name, state="pending", reason=reason)

    await go_to(empty_database, "0012")
    before = await empty_database.read(described_constraints)
    with pytest.raises(IntegrityError):
        await insert("names", "")
    await go_to(empty_database, "0013")
    await insert("names", "name_corrected")
    assert await reasons() == [("pending", "name_corrected")] * 2
    with pytest.raises(IntegrityError):
        await insert("no_such_round", "")

    await go_to(empty_database, "0012", back=True)

    assert await reasons() == [("pending", None)] * 2
    assert await rows_of(empty_database, "SELECT * FROM planning_progress") == []
    assert await empty_database.read(described_constraints) == before
    with pytest.raises(IntegrityError):
        await insert_issuance(empty_database, user="eve", state="pending", reason="name_corrected")


async def test_connections_from_before_do_not_count_deletions_and_survive_the_way_back(
    empty_database: Database,
) -> None:
    async def connection_and_constraints() -> tuple[dict[str, Any], Any]:
        (row,) = await rows_of(empty_database, "SELECT * FROM credly_connections")
        return dict(row._mapping), (await empty_database.read(described_constraints))["credly_connections"]

    await go_to(empty_database, "0004")
    columns = "portal_id, organization_id, token_block, base_url, calls_per_second, missing_name, connected_at"
    values = "'p', 'o', 'b', 'https://credly.example.org', 3, '', '2026-11-02 08:00:00'"
    insert = text(f"INSERT INTO credly_connections ({columns}) VALUES ({values})")
    await empty_database.write(Connection.execute, insert)
    before = await connection_and_constraints()
    await go_to(empty_database, "0005")
    after = await connection_and_constraints()
    await go_to(empty_database, "0004", back=True)

    assert (bool(after[0].pop("deletion_withdraws")), after) == (False, before)
    assert await connection_and_constraints() == before


async def test_moments_that_python_has_not_become_the_last_one_it_has(empty_database: Database) -> None:
    if empty_database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no such moments.")
    await go_to(empty_database, "0005")
    await insert_issuance(empty_database, awarded_at="-infinity", not_before="infinity")

    await go_to(empty_database, "0006")

    ((awarded_at, not_before),) = await rows_of(empty_database, "SELECT awarded_at, not_before FROM badge_issuances")
    assert (awarded_at.year, not_before.year) == (1, 9999)


async def test_the_histories_begin_with_what_is_known(empty_database: Database) -> None:
    await go_to(empty_database, "0006")
    for statement in (
        "INSERT INTO credly_connections (portal_id, organization_id, token_block, base_url, calls_per_second,"
        " missing_name, connected_at) VALUES ('p', 'o', 'b', 'https://credly.example.org', 3, '', '2026-11-02')",
        "INSERT INTO credly_integrations (achievement_id, badge_template_id, enabled_at, suppress_notification, locale,"
        " expiry, user_evidence, user_evidence_name, user_evidence_description, company_evidence,"
        " company_evidence_name, company_evidence_description, project_evidence, project_evidence_name,"
        " project_evidence_description, portal_evidence, portal_evidence_name, portal_evidence_description)"
        " VALUES ('a', 't', '2026-11-02 09:00:00', true, '', 'never', true, '', '', false, '', '', false, '', '',"
        " false, '', '')",
    ):
        await empty_database.write(Connection.execute, text(statement))
    await insert_issuance(empty_database, user="ada", award_id="award-1")
    await insert_issuance(empty_database, user="bob", origin="by_hand")
    await insert_issuance(empty_database, user="cyd", origin="by_hand", award_id="award-2")

    await go_to(empty_database, "0007")

    entries = await rows_of(empty_database, "SELECT user_id, transition, reconstructed FROM laurel_history ORDER BY 1")
    assert [(row.user_id, row.transition, bool(row.reconstructed)) for row in entries] == [
        ("ada", "enqueue", True),
        ("bob", "request", True),
        ("cyd", "unknown", True),
    ]
    connected, enabled = await empty_database.read(lambda sync: sync.execute(select(SETTINGS).order_by("id")).all())
    assert (connected.action, connected.subject_id, connected.reconstructed) == ("connected", "p", True)
    assert (enabled.action, enabled.subject_id, enabled.at) == ("enabled", "a", datetime(2026, 11, 2, 9, tzinfo=UTC))
    assert json.loads(connected.changes)["token_block"] == [None, "b"]
    assert "connected_at" not in connected.changes
    settings = json.loads(enabled.changes)
    assert settings["enabled_at"] == [None, "2026-11-02T09:00:00+00:00"]
    assert (settings["user_evidence"], settings["company_evidence"]) == ([None, True], [None, False])


async def test_the_platforms_tables_are_not_touched(empty_database: Database) -> None:
    await create_platform_tables(empty_database)
    platform = await tables_of(empty_database)

    await migrate(empty_database)
    await empty_database.write(lambda sync: command.downgrade(alembic_config(sync), "base"))

    assert platform == set(platform_metadata.tables)
    assert await tables_of(empty_database) == platform | {VERSIONS}


def test_the_migrations_are_one_line_numbered_without_a_gap() -> None:
    script = ScriptDirectory.from_config(alembic_config())

    line = [(revision.revision, revision.down_revision) for revision in script.walk_revisions()][::-1]

    numbers = [f"{number:04}" for number in range(1, len(line) + 1)]
    assert line == list(zip(numbers, [None, *numbers], strict=False))


def test_each_migration_is_in_a_file_that_begins_with_its_number() -> None:
    script = ScriptDirectory.from_config(alembic_config())

    files = {revision.revision: Path(revision.path).name for revision in script.walk_revisions()}

    assert all(name.startswith(f"{number}_") for number, name in files.items())


def test_importing_models_metadata_registers_every_table_that_alembic_sees() -> None:
    ledger = {"badge_issuances", "issuance_attempts", "organization_pace", "planning_progress"}
    runs = {"run_organizations", "run_findings", "run_portals", "run_parts"}
    history = {"issuance_history", "settings_history", "operator_runs"}
    erased = {"erased_users", "erased_badges"}
    credly = {"credly_calls", "credly_connections", "credly_integrations", "credly_organizations", "credly_templates"}
    cursors = {"organization_cursors"}
    assert ledger | runs | history | erased | credly | cursors == OURS
    assert OURS.isdisjoint(platform_metadata.tables)


async def test_keys_are_widened_without_losing_views_owners_or_grants(empty_database: Database) -> None:
    longest = "k" * 255
    await go_to(empty_database, "0008")
    on_postgresql = empty_database.engine.dialect.name == "postgresql"
    await insert_issuance(empty_database, user="ada")
    if on_postgresql:
        for statement in (
            "DROP ROLE IF EXISTS laurel_analyst",
            "CREATE ROLE laurel_analyst",
            "CREATE VIEW of_an_analyst WITH (security_barrier = true) AS SELECT user_id FROM laurel_issuances",
            "ALTER VIEW of_an_analyst OWNER TO laurel_analyst",
            "GRANT SELECT ON laurel_issuances TO laurel_analyst WITH GRANT OPTION",
            "GRANT SELECT ON of_an_analyst TO PUBLIC",
        ):
            await empty_database.write(Connection.execute, text(statement))
    before = await views_of(empty_database)

    await go_to(empty_database, "0009")

    assert await views_of(empty_database) == before
    await insert_issuance(empty_database, user=longest)
    users = await rows_of(empty_database, "SELECT user_id FROM laurel_issuances ORDER BY issuance_id")
    assert [row.user_id for row in users] == ["ada", longest]
    if on_postgresql:
        (rights,) = await rows_of(
            empty_database,
            "SELECT relowner::regrole::text AS owner, reloptions, relacl::text AS acl,"
            " (SELECT relacl::text FROM pg_class WHERE relname = 'laurel_issuances') AS theirs"
            " FROM pg_class WHERE relname = 'of_an_analyst'",
        )
        assert (rights.owner, rights.reloptions) == ("laurel_analyst", ["security_barrier=true"])
        assert "=r/laurel_analyst" in rights.acl
        assert "laurel_analyst=r*/" in rights.theirs
        await empty_database.write(Connection.execute, text("DROP OWNED BY laurel_analyst"))
        await empty_database.write(Connection.execute, text("DROP ROLE laurel_analyst"))
