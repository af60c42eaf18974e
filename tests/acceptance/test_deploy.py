"""The commands of deploy/compose.yaml, run one after the other from what its image holds: a set-up that works."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import inspect

from demo.servers import free_port
from models.database import Database
from tests.support.databases import administer, as_owner, run_script
from tests.support.deploy_files import DEPLOY, compose, image_tree
from tests.support.prefect_server import assert_no_errors, running_prefect_server, unmeasured
from tests.support.waiting import until
from tests.support.workers import kill

FILLED = {
    "POSTGRES_PASSWORD": "p",
    "PASSWORD_OF_LAUREL": "of-laurel",
    "PASSWORD_OF_PREFECT": "of-prefect",
    "API_LOGIN": "operator:secret",
    "ENCRYPTION_KEY": "a2V5IG9mIHRoZSBibG9ja3MsIDMyIGJ5dGVzIGxvbmc=",
}
SERVICES: dict[str, dict[str, Any]] = compose(FILLED)["services"]
LOGIN = ("operator", "secret")


@pytest.fixture
def databases(postgresql: str) -> Iterator[str]:
    """The server, with the two databases and their owners that deploy/databases.sql makes."""
    passwords = {name: value for name, value in FILLED.items() if name.startswith("PASSWORD_OF_")}
    run_script(postgresql, DEPLOY / "databases.sql", passwords)
    yield postgresql
    for name in ("laurel", "prefect"):
        asyncio.run(administer(postgresql, f"DROP DATABASE {name} WITH (FORCE)", f"DROP ROLE {name}"))


@contextmanager
def prefect_server(folder: Path) -> Iterator[str]:
    """Prefect's server with the set-up's settings, on SQLite: the tests' PostgreSQL lacks pg_trgm."""
    own = {"PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_SERVER_UI_API_URL", "PREFECT_SERVER_UI_STATIC_DIRECTORY"}
    environment = SERVICES["prefect-server"]["environment"].items()
    with running_prefect_server(
        folder, settings={name: value for name, value in environment if name not in own}
    ) as api:
        yield api


def command(service: str) -> list[str]:
    first, *others = SERVICES[service]["command"]
    return [sys.executable, *(["-m", first] if first == "prefect" else []), *others]


def environment(service: str, *, folder: Path, api: str, database: str) -> dict[str, str]:
    """The service's own, with the addresses and folders of this test; `folder` is what the image has."""
    here = {"PREFECT_HOME": str(folder / "home"), "PREFECT_API_URL": api, "LAUREL_DATABASE_URL": database}
    own: dict[str, str] = SERVICES[service]["environment"]
    return unmeasured(os.environ) | own | here | {"LAUREL_ROOT": str(folder)}


@contextmanager
def worker(environment: dict[str, str], folder: Path) -> Iterator[None]:
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            command("worker"), cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        kill(process)
    assert_no_errors(folder / "worker.log")


def healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.acceptance
def test_the_setup_makes_tables_pool_deployments_and_automations_that_a_worker_takes_up(
    databases: str, tmp_path: Path
) -> None:
    tree = image_tree(tmp_path)
    address = as_owner(databases, "laurel", FILLED["PASSWORD_OF_LAUREL"])
    with prefect_server(tmp_path / "server") as api, httpx.Client(base_url=api, auth=LOGIN, timeout=30) as client:
        assert httpx.get(f"{api}/ready").status_code == 200
        assert httpx.post(f"{api}/deployments/filter", json={}).status_code == 401
        of_setup = environment("setup", folder=tree, api=api, database=address)
        done = subprocess.run(
            command("setup"), cwd=tree, env=of_setup, capture_output=True, text=True, check=False, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr

        wanted = yaml.safe_load((tree / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
        there = client.post("/deployments/filter", json={}).json()
        assert {each["name"] for each in there} == {each["name"] for each in wanted}
        assert {each["work_pool_name"] for each in there} == {"badges"}
        assert {each["name"] for each in client.post("/automations/filter", json={}).json()} == {
            "Laurel: a run died",
            "Laurel: a run did not start",
            "Laurel: reconcile after a crash",
            "Laurel: Nothing has run",
        }

        assert "laurel_alembic_version" in asyncio.run(tables_of(address))
        assert re.search(r"^  reconcile +20\d\d-.* UTC \(in \d+ min\)$", done.stdout, re.MULTILINE), done.stdout

        schedule_of(client, "audit", active=False)
        schedule_of(client, "reconcile", schedule={"cron": "*/5 * * * *", "timezone": "Europe/Berlin"})
        (died,) = [each for each in client.post("/automations/filter", json={}).json() if "run died" in each["name"]]
        client.patch(f"/automations/{died['id']}", json={"enabled": False}).raise_for_status()
        again = subprocess.run(
            command("setup"), cwd=tree, env=of_setup, capture_output=True, text=True, check=False, timeout=240
        )
        assert again.returncode == 0, again.stdout + again.stderr
        assert "audit: its schedule stays as it was changed: 40 2 * * * UTC, switched off" in again.stdout
        assert "reconcile: its schedule stays as it was changed: */5 * * * * Europe/Berlin" in again.stdout
        assert again.stdout.count("stays as it was changed") == 2
        assert not client.get(f"/automations/{died['id']}").json()["enabled"]
        assert schedule_of(client, "reconcile")["schedule"]["cron"] == "*/5 * * * *"
        deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--name", "audit"]
        subprocess.run(deploy, cwd=tree, env=of_setup, check=True, capture_output=True, timeout=240)
        assert not schedule_of(client, "audit")["active"]

        port = free_port()
        of_worker = environment("worker", folder=tree, api=api, database=address)
        with worker(of_worker | {"PREFECT_WORKER_WEBSERVER_PORT": str(port)}, tree):
            until(lambda: healthy(port), what="the worker is healthy")
            until(lambda: online(client), what="the worker has reported to Prefect's server")


def schedule_of(client: httpx.Client, name: str, **changes: Any) -> dict[str, Any]:
    """Return the deployment's schedule, changed as on its page if there are changes."""
    (found,) = [each for each in client.post("/deployments/filter", json={}).json() if each["name"] == name]
    (schedule,) = found["schedules"]
    if changes:
        path = f"/deployments/{found['id']}/schedules/{schedule['id']}"
        client.patch(path, json={"active": schedule["active"], **changes}).raise_for_status()
    return dict(schedule)


async def tables_of(address: str) -> list[str]:
    database = Database(address)
    try:
        return await database.read(lambda connection: inspect(connection).get_table_names())
    finally:
        await database.dispose()


def online(client: httpx.Client) -> bool:
    workers = client.post("/work_pools/badges/workers/filter", json={})
    return workers.is_success and any(each["status"] == "ONLINE" for each in workers.json())


@pytest.mark.acceptance
def test_without_an_address_the_setup_starts_no_server_of_its_own(tmp_path: Path) -> None:
    tree = image_tree(tmp_path)
    lacking = environment("setup", folder=tree, api="", database=f"sqlite:///{tmp_path}/laurel.db")

    done = subprocess.run(command("setup"), cwd=tree, env=lacking, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Set PREFECT_API_URL")
