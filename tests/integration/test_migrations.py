from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import IntegrityError

import models
from models.base import laurel_metadata
from models.database import Database
from models.migrate import ROOT, create_platform_tables, migrate
from models.platform.tables import platform_metadata
from models.views import view_statements, views_metadata
from tests.support.factories import an_issuance

VERSIONS = "laurel_alembic_version"
OURS = set(laurel_metadata.tables)


def alembic_config(connection: Connection | None = None) -> Config:
    config = Config(str(ROOT / "alembic.ini"))
    config.attributes["connection"] = connection
    return config


async def tables_of(database: Database) -> set[str]:
    return set(await database.read(lambda sync: inspect(sync).get_table_names()))


async def rows_of(database: Database, query: str) -> Sequence[Any]:
    return await database.read(lambda connection: connection.execute(text(query)).all())


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
        for name in sorted(OURS)
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


async def test_the_views_have_the_columns_that_python_reads(empty_database: Database) -> None:
    await migrate(empty_database)

    def columns(connection: Connection) -> dict[str, list[str]]:
        found = inspect(connection)
        return {name: [str(column["name"]) for column in found.get_columns(name)] for name in found.get_view_names()}

    made = await empty_database.read(columns)
    read = {name: [column.name for column in view.columns] for name, view in views_metadata.tables.items()}
    assert made == read


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


async def go_to(database: Database, revision: str, *, back: bool = False) -> None:
    go = command.downgrade if back else command.upgrade
    await database.write(lambda sync: go(alembic_config(sync), revision))


async def test_issuances_under_way_are_kept_and_may_have_the_new_reason(empty_database: Database) -> None:
    async def insert(user: str, state: str, reason: str = "", claim: str = "") -> None:
        moment = "'2026-11-02 08:00:00'"
        columns = "achievement_id, user_id, badge_template_id, portal_id, origin, state, reason, claim, lease_until, "
        columns += "not_before, looked_again_at, planned_at, updated_at, attempts, adopted, "
        columns += "evidence_sent, evidence_left_out"
        quoted = [f"'{value}'" if value else "NULL" for value in (reason, claim)]
        values = f"'a', '{user}', 't', 'p', 'award', '{state}', {', '.join(quoted)}, {moment if claim else 'NULL'}, "
        values += f"{moment}, {moment}, {moment}, {moment}, 0, false, '', ''"
        statement = f"INSERT INTO badge_issuances ({columns}) VALUES ({values})"
        await empty_database.write(Connection.execute, text(statement))

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
    await an_issuance(empty_database)
    await empty_database.write(
        lambda connection: connection.execute(
            text("UPDATE badge_issuances SET awarded_at = '-infinity', not_before = 'infinity'")
        )
    )

    await go_to(empty_database, "0006")

    ((awarded_at, not_before),) = await rows_of(empty_database, "SELECT awarded_at, not_before FROM badge_issuances")
    assert (awarded_at.year, not_before.year) == (1, 9999)


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


def test_importing_the_models_package_fills_the_metadata_that_alembic_sees() -> None:
    assert models.__name__ == "models"
    ledger = {"badge_issuances", "issuance_attempts", "organization_pace", "planning_progress", "run_parts"}
    assert ledger | {"credly_calls"} | {"credly_connections", "credly_integrations"} == OURS
    assert OURS.isdisjoint(platform_metadata.tables)
