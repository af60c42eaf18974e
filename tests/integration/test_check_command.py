"""`python -m flows.check`: its help, the databases that it names, and a ledger that cannot be used."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import event, text

from models.database import Database
from models.diagnostics.check import find_problems
from models.errors import usage_error
from settings import ROOT
from tests.support.databases import administer


async def command(tmp_path: Path, url: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {"LAUREL_DATABASE_URL": url, "PREFECT_HOME": str(tmp_path / "prefect"), "COLUMNS": "500"}
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "flows.check", *arguments],
        cwd=ROOT,
        env=os.environ | environment | more,
        capture_output=True,
        text=True,
        timeout=60,
    )


def files_in(tmp_path: Path) -> list[str]:
    return sorted(each.name for each in tmp_path.iterdir() if each.name != "prefect")


async def test_the_help_is_shown_and_nothing_else_done(tmp_path: Path) -> None:
    done = await command(tmp_path, f"sqlite:///{tmp_path}/none/laurel.db", "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: python -m flows.check [-h]")
    assert files_in(tmp_path) == []


async def test_a_file_that_does_not_exist_is_named_and_not_made(tmp_path: Path) -> None:
    done = await command(tmp_path, f"sqlite:///{tmp_path}/none/laurel.db")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"There is no database {tmp_path}/none/laurel.db: `python -m scripts.setup_deployment` makes it, with Laurel's "
        "own tables.\n"
    )
    assert files_in(tmp_path) == []


async def test_a_database_without_laurels_tables_is_a_problem_among_others(
    empty_database: Database, tmp_path: Path
) -> None:
    await empty_database.read(lambda connection: connection.execute(text("SELECT 1")))  # makes SQLite's file

    done = await command(tmp_path, empty_database.engine.url.render_as_string(hide_password=False))

    assert (done.returncode, done.stderr) == (1, "")
    assert "Run `python -m scripts.setup_deployment` with LAUREL_DATABASE_URL set." in done.stdout.replace("\\", "")


async def test_both_databases_are_named_without_their_passwords(ready: Database, tmp_path: Path) -> None:
    url = ready.engine.url
    if ready.engine.dialect.name == "postgresql":
        url = url.set(password="s3cret")
    platform = tmp_path / "platform.db"
    platform.touch()

    done = await command(
        tmp_path,
        url.render_as_string(hide_password=False),
        LAUREL_PLATFORM_URL=f"sqlite:///{platform}",
    )

    assert f"Laurel's own tables: {url.set(query={}).render_as_string(hide_password=True)}." in done.stdout
    assert f"The platform: sqlite:///{platform}, mapping native." in done.stdout
    assert "s3cret" not in done.stdout + done.stderr


async def test_a_ledger_that_is_read_only_is_one_sentence(ready: Database, tmp_path: Path) -> None:
    if ready.engine.dialect.name == "sqlite":
        # As root nearly every file can be written, so SQLite itself refuses to.
        event.listen(ready.engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only = ON"))
        ready.engine.dispose()
        with pytest.raises(Exception, match="readonly database") as caught:
            await find_problems(ready)
        said = str(usage_error(caught.value, ready.engine.url))  # type: ignore[arg-type]
    else:
        url = ready.engine.url.update_query_dict({"options": "-cdefault_transaction_read_only=on"})
        done = await command(tmp_path, url.render_as_string(hide_password=False))
        assert (done.returncode, done.stdout) == (2, "")
        said = done.stderr.strip()

    named = ready.engine.url.set(query={}).render_as_string()
    assert said == f"{named} is read-only, and Laurel's own tables are written: look at LAUREL_DATABASE_URL."


async def test_a_role_without_any_right_is_shown_the_statements_that_grant_them(
    migrated_address: str, tmp_path: Path
) -> None:
    await administer(migrated_address, 'CREATE ROLE "laurel-2" LOGIN')
    owner, role = Database(migrated_address), Database(migrated_address.replace("//postgres:@", "//laurel-2:@"))
    try:
        done = await command(tmp_path, role.url)
        assert (done.returncode, done.stderr) == (1, "")
        lines = [line.strip() for line in done.stdout.splitlines()]
        statements = [line for line in lines if line.startswith("GRANT ") and line.endswith(";")]
        assert 'GRANT SELECT ON public.achievements TO "laurel-2";' in statements

        await administer(migrated_address, *statements)

        assert await find_problems(role) == []
        insert = "INSERT INTO run_findings SELECT * FROM run_findings"
        await role.write(lambda connection: connection.execute(text(insert)))
    finally:
        await role.dispose()
        await owner.dispose()
        await administer(migrated_address, 'DROP OWNED BY "laurel-2"', 'DROP ROLE "laurel-2"')
