"""The commands of deploy/compose.yaml, run one after the other from what its image holds: a set-up that works."""

import asyncio
import os
import re
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import inspect

from demo.servers import free_port
from models.database import Database
from models.migrate import create_platform_tables
from tests.support.databases import administer, as_owner, run_script
from tests.support.demo_checkout import run_deployment
from tests.support.deploy_files import DEPLOY, compose, image_tree
from tests.support.factories import ACHIEVEMENT, PORTAL, USER, a_user, an_achievement, an_award
from tests.support.prefect_server import assert_no_errors, running_prefect_server, unmeasured
from tests.support.standin import Standin
from tests.support.waiting import until
from tests.support.workers import kill
from tests.support.world import ORGANIZATION, TEMPLATE, TOKEN

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


@dataclass(frozen=True)
class Image:
    """What the image holds, its files and its packages, with the services' environment from the compose file."""

    python: Path
    tree: Path
    api: str
    services: dict[str, dict[str, Any]]

    def environment(self, service: str) -> dict[str, str]:
        here = {"PREFECT_HOME": str(self.tree / "home"), "PREFECT_API_URL": self.api}
        here |= {"LAUREL_ROOT": str(self.tree), "LAUREL_PYTHON": str(self.python)}
        own: dict[str, str] = self.services[service]["environment"]
        return unmeasured(os.environ) | own | here

    def command(self, words: list[str]) -> list[str]:
        first, *others = words
        return [str(self.python), *(["-m", first] if first == "prefect" else []), *others]

    def run(self, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Do what `docker compose run setup` does; without words the service's own command."""
        return subprocess.run(
            self.command([*words] or self.services["setup"]["command"]),
            cwd=self.tree,
            env=self.environment("setup"),
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    @contextmanager
    def worker(self, port: int) -> Iterator[None]:
        own = self.environment("worker") | {"PREFECT_WORKER_WEBSERVER_PORT": str(port)}
        words = self.command(self.services["worker"]["command"])
        with (self.tree / "worker.log").open("wb") as log:
            process = subprocess.Popen(words, cwd=self.tree, env=own, stdout=log, stderr=log, start_new_session=True)
        try:
            yield
        finally:
            kill(process)
        assert_no_errors(self.tree / "worker.log")


def image(python: Path, folder: Path, *, api: str, **variables: str) -> Image:
    services = compose(FILLED | variables)["services"]
    return Image(python=python, tree=image_tree(folder), api=api, services=services)


async def on_the_platform(address: str, make: Callable[[Database], Coroutine[Any, Any, object]]) -> None:
    database = Database(address)
    try:
        await make(database)
    finally:
        await database.dispose()


async def a_new_platform(database: Database) -> None:
    """One achievement, and a user without an award."""
    await create_platform_tables(database)
    await an_achievement(database)
    await a_user(database)


def healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.acceptance
def test_the_documented_commands_lead_from_nothing_to_a_badge(
    databases: str, standin: Standin, runtime_python: Path, tmp_path: Path
) -> None:
    platform = f"sqlite:///{tmp_path / 'platform.db'}"
    asyncio.run(on_the_platform(platform, a_new_platform))
    ledger = as_owner(databases, "laurel", FILLED["PASSWORD_OF_LAUREL"])
    with prefect_server(tmp_path / "server") as api, httpx.Client(base_url=api, auth=LOGIN, timeout=30) as client:
        assert httpx.get(f"{api}/ready").status_code == 200
        assert httpx.post(f"{api}/deployments/filter", json={}).status_code == 401
        addresses = {"LAUREL_DATABASE_URL": ledger, "LAUREL_PLATFORM_URL": platform}
        here = image(runtime_python, tmp_path / "image", api=api, **addresses)

        done = here.run()
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"^  reconcile +20\d\d-.* UTC \(in \d+ min\)$", done.stdout, re.MULTILINE), done.stdout
        assert "laurel_alembic_version" in asyncio.run(tables_of(ledger))
        assert "achievement_awards" not in asyncio.run(tables_of(ledger))
        see_that_everything_is_applied(client, here.tree)
        see_that_changes_are_kept(client, here)

        port = free_port()
        with here.worker(port):
            until(lambda: healthy(port), what="the worker is healthy")
            until(lambda: online(client), what="the worker has reported to Prefect's server")
            check, connect, enable = documented_commands()
            missing = here.run(*check)
            connected = here.run(*connect[:-1], "other", "--base-url", standin.base_url, typed=TOKEN)
            enabled = here.run(*enable)
            assert (missing.returncode, connected.returncode, enabled.returncode) == (0, 0, 0), (
                missing.stdout + connected.stderr + enabled.stderr
            )
            asyncio.run(on_the_platform(platform, lambda database: an_award(database, awarded_at=datetime.now(UTC))))

            run_deployment(client, "reconcile")

            # Where the schedule's run came first, it holds the one place, and the one started here is cancelled.
            until(lambda: issued_one(client), what="a run of reconcile has issued the badge")
            (badge,) = standin.badges()
            assert (badge["issuer_earner_id"], badge["badge_template"]["id"]) == (USER, TEMPLATE)


def issued_one(client: httpx.Client) -> bool:
    completed = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}, "flows": {"name": {"any_": ["reconcile"]}}}
    return "1 issued" in [run["state"]["message"] for run in client.post("/flow_runs/filter", json=completed).json()]


def documented_commands() -> list[list[str]]:
    """The commands of deploy/README.md that run in the service `setup`, about this test's portal and achievement."""
    page = (DEPLOY / "README.md").read_text(encoding="utf-8")
    ours = {"PORTAL": PORTAL, "ORGANIZATION-ID": ORGANIZATION, "ACHIEVEMENT": ACHIEVEMENT, "TEMPLATE-ID": TEMPLATE}
    found = re.findall(r"^ +docker compose run --rm setup (.+)$", page, re.MULTILINE)
    return [[ours.get(word, word) for word in line.split()] for line in found]


def see_that_everything_is_applied(client: httpx.Client, tree: Path) -> None:
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


def see_that_changes_are_kept(client: httpx.Client, here: Image) -> None:
    schedule_of(client, "audit", active=False)
    schedule_of(client, "refresh-menus", schedule={"cron": "*/5 * * * *", "timezone": "Europe/Berlin"})
    schedule_of(client, "reconcile", schedule={"cron": "*/15 * * * *", "timezone": "UTC"})  # an earlier default
    (died,) = [each for each in client.post("/automations/filter", json={}).json() if "run died" in each["name"]]
    client.patch(f"/automations/{died['id']}", json={"enabled": False}).raise_for_status()
    flow = client.post("/flows/", json={"name": "of-somebody-else"}).json()
    client.post("/deployments/", json={"name": "check", "flow_id": flow["id"]}).raise_for_status()

    again = here.run()

    assert again.returncode == 0, again.stdout + again.stderr
    assert "audit: its schedule stays as it was changed: 40 2 * * * UTC, switched off" in again.stdout
    assert "refresh-menus: its schedule stays as it was changed: */5 * * * * Europe/Berlin" in again.stdout
    assert again.stdout.count("stays as it was changed") == 2
    assert not client.get(f"/automations/{died['id']}").json()["enabled"]
    assert schedule_of(client, "refresh-menus")["schedule"]["cron"] == "*/5 * * * *"
    assert schedule_of(client, "reconcile")["schedule"]["cron"] == "* * * * *"
    here.run("prefect", "--no-prompt", "deploy", "--name", "audit").check_returncode()
    assert not schedule_of(client, "audit")["active"]


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
def test_without_an_address_the_setup_starts_no_server_of_its_own(runtime_python: Path, tmp_path: Path) -> None:
    here = image(runtime_python, tmp_path / "image", api="", LAUREL_DATABASE_URL=f"sqlite:///{tmp_path}/laurel.db")

    done = here.run()

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Set PREFECT_API_URL")


@pytest.mark.acceptance
def test_without_passwords_no_role_is_made(postgresql: str) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run_script(postgresql, DEPLOY / "databases.sql", {"PASSWORD_OF_LAUREL": "p", "PASSWORD_OF_PREFECT": ""})

    # Nothing is there, so it works as soon as both are set.
    asyncio.run(administer(postgresql, "CREATE ROLE laurel", "DROP ROLE laurel"))
