"""A database or a server that cannot be used: said in a sentence with what to do, without traceback or password."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from models.database import Database, open_at
from models.errors import NotUsable, TableMissing
from settings import ROOT, settings
from tasks.runtime.run import run_context


@pytest.fixture(autouse=True)
def _read_anew() -> Iterator[None]:
    settings.cache_clear()
    yield
    settings.cache_clear()


async def ask(url: str, *statements: str) -> None:
    async with open_at(url) as opened:
        await opened.read(lambda connection: [connection.execute(text(statement)) for statement in statements])


@pytest.fixture
async def refusing(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The address of what refuses as PostgreSQL does, with these words."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big") - 4)
        told = b"SFATAL\0VFATAL\0M" + request.param.encode() + b"\0\0"
        writer.write(b"E" + (len(told) + 4).to_bytes(4, "big") + told)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        yield f"postgresql+psycopg://laurel:s3cret@127.0.0.1:{server.sockets[0].getsockname()[1]}/platform?sslmode=disable"


@pytest.mark.parametrize(
    ("refusing", "said"),
    [
        ('password authentication failed for user "laurel"', "refused the connection: the password is wrong"),
        ('no pg_hba.conf entry for host "192.0.2.1", user "laurel"', "pg_hba.conf rejects it"),
        ('role "laurel" is not permitted to log in', "it may not log in"),
        ('Peer authentication failed for user "laurel"', "there is no such role"),
        ('database "role too many" does not exist', "there is no database of this name"),
        ("sorry, too many clients already", "no connection left"),
        ('too many connections for role "laurel"', "no connection left"),
        ("remaining connection slots are reserved for roles with the SUPERUSER attribute", "no connection left"),
        ("the database system is starting up", "starting up or shutting down"),
        ('permission denied for database "platform"', "permission denied for database. "),
        ("Rolle existiert nicht", r"could not be reached \(FATAL: +Rolle existiert nicht\)"),
    ],
    indirect=["refusing"],
)
async def test_why_it_is_refused_is_said_without_the_password(refusing: str, said: str) -> None:
    with pytest.raises(NotUsable, match=said) as told:
        await ask(refusing)

    assert "s3cret" not in str(told.value)
    assert told.value.__suppress_context__


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("/nosuch?", "there is no database of this name"), ("//stranger@/postgres?", "there is no such role")],
)
async def test_a_wrong_name_is_said(postgresql: str, wrong: str, said: str) -> None:
    place = wrong if wrong.startswith("//") else f"//postgres@{wrong}"

    with pytest.raises(NotUsable, match=said):
        await ask(f"postgresql+psycopg:{place}{postgresql.partition('?')[2]}")


async def test_a_server_that_is_not_there_is_said_by_each_read_and_write() -> None:
    async with open_at("postgresql+psycopg://laurel:s3cret@127.0.0.1:1/platform") as opened:
        for begin in (opened.read, opened.write):
            with pytest.raises(NotUsable, match=r"at 127\.0\.0\.1 \(port 1\) could not be reached") as told:
                await begin(Connection.close)

    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize("url", ["postgresql+psycopg://laurel:s3@cret@db:port/x", "sqlite:////dev/null/x/y.db"])
async def test_what_is_no_address_is_said_without_repeating_it(url: str) -> None:
    with pytest.raises(NotUsable, match="is not an address that can be used") as told:
        await ask(url)

    assert "s3" not in str(told.value)


async def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    file = tmp_path / "letters.db"
    file.write_text("Dear Ada, this is not a database, but a letter of some length." * 20)

    with pytest.raises(NotUsable, match="cannot be used as a SQLite database: file is not a database"):
        await ask(f"sqlite:///{file}")


async def test_a_right_that_is_missing_is_named(postgresql: str) -> None:
    with pytest.raises(NotUsable, match="has no sufficient rights: permission denied for table pg_authid"):
        await ask(postgresql, "SET ROLE pg_monitor", "SELECT rolpassword FROM pg_authid")


async def test_a_table_that_is_missing_is_named_with_what_to_do(empty_database: Database) -> None:
    url = empty_database.engine.url.render_as_string(hide_password=False)

    async def read(what: str) -> None:
        async with open_at(url) as database:
            await database.read(lambda connection: connection.execute(text(what)))

    with pytest.raises(TableMissing, match=r"no table or view user_emails\. .*docs/how-to/adopting\.md"):
        await read("SELECT 1 FROM user_emails")
    with pytest.raises(DBAPIError):
        await read("SELECT 1 FRM user_emails")


@pytest.mark.parametrize(
    "module", ["flows.check", "flows.explain", "alembic", "models.import_csv", "models.find_user", "reports.html"]
)
def test_every_command_says_it_in_one_line(module: str, tmp_path: Path) -> None:
    (tmp_path / "portals.csv").write_text("id,name\n")
    arguments = {"alembic": ["upgrade", "head"], "models.import_csv": [str(tmp_path)], "models.find_user": ["x@y.test"]}
    arguments["flows.explain"] = ["--user", "u", "--achievement", "a"]
    url = "postgresql://laurel:s3cret@127.0.0.1:1/platform"

    done = subprocess.run(
        [sys.executable, "-m", module, *arguments.get(module, [])],
        cwd=ROOT,
        env=os.environ | {"LAUREL_DATABASE_URL": url, "PREFECT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "The database at 127.0.0.1 (port 1) could not be reached" in said
    assert len(said.strip().splitlines()) == 1
    assert "s3cret" not in said


async def test_the_check_says_that_prefect_does_not_answer(ready: Database, tmp_path: Path) -> None:
    url = ready.engine.url.render_as_string(hide_password=False)
    away = {"LAUREL_DATABASE_URL": url, "PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": "http://127.0.0.1:1/api"}

    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "flows.check"],
        cwd=ROOT,
        env=os.environ | away | {"COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (1, "")
    assert "Prefect's server does not answer; schedule, connections, templates and links were" in done.stdout
    assert "correct PREFECT_API_URL" in done.stdout


async def test_a_setting_that_is_wrong_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUREL_DATABASE_URL", "mysql://laurel:s3cret@db/platform")

    with pytest.raises(NotUsable, match=r"LAUREL_DATABASE_URL: .* must start with sqlite:/// or postgresql://") as told:
        async with run_context():
            pass

    assert "s3cret" not in str(told.value)
