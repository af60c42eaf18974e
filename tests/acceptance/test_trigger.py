"""A platform that starts a run at once: over HTTP, with a right of its own, also while another run is going on."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect import State
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Completed, Failed

from demo.servers import free_port
from flows.reconcile import reconcile
from models.planning.progress import Cursor, Round, put_cursor
from settings import ROOT
from tasks.runtime.run import run_context
from tasks.trigger.starter import Starter
from tests.support.prefect_server import assert_no_errors
from tests.support.standin import Standin
from tests.support.waiting import until
from tests.support.workers import deploy, worker
from tests.support.world import World

pytestmark = pytest.mark.usefixtures("prefect_server")
TOKEN = "invented-token-of-the-platform"
NORTHWIND = "/portals/northwind/runs"


@pytest.fixture
async def endpoint(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    world.configure(monkeypatch, TRIGGER_TOKEN=TOKEN)
    await world.enable()
    port = free_port()
    command = [sys.executable, "-m", "tasks.trigger", "--port", str(port)]
    log = tmp_path / "trigger.log"
    process = await asyncio.to_thread(started, command, log)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
        try:
            await asyncio.to_thread(until, lambda: answers(port), what="the endpoint answers")
            yield client
        finally:
            process.terminate()
            assert process.wait(timeout=30) == -signal.SIGTERM
            assert_no_errors(log)


def started(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=output, stderr=output)


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False


def environment() -> dict[str, str]:
    return os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value())}


async def triggered_runs() -> int:
    return len(await runs_triggered())


async def runs_triggered() -> list[FlowRun]:
    async with get_client() as client:
        tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=["triggered"]))
        return await client.read_flow_runs(flow_run_filter=tagged)


async def test_who_has_no_token_or_names_no_connected_portal_starts_nothing(
    endpoint: httpx.AsyncClient, world: World, tmp_path: Path
) -> None:
    before = await triggered_runs()

    token = TOKEN.encode()
    for wrong in (b"", b"Bearer " + token + b"x", b"Bearer", b"Basic " + token, "Bearer ünknown".encode()):
        answer = await endpoint.post(NORTHWIND, headers=[(b"Authorization", wrong)])
        assert (answer.status_code, "LAUREL_TRIGGER_TOKEN" in answer.text) == (401, True)
    unknown = await endpoint.post("/portals/no/such/portal/runs")
    assert (unknown.status_code, unknown.json()) == (
        404,
        {"error": "The portal 'no/such/portal' is not connected to Credly."},
    )
    assert (await endpoint.get(NORTHWIND)).status_code == 405
    assert await triggered_runs() == before


async def test_a_call_issues_at_once_also_while_another_run_is_going_on(
    endpoint: httpx.AsyncClient, world: World, standin: Standin, prefect_server: str, tmp_path: Path
) -> None:
    await asyncio.to_thread(deploy, prefect_server, ["reconcile"])
    async with get_client() as client:
        deployment = await client.read_deployment_by_name("reconcile/reconcile")
        for each in deployment.schedules:
            await client.update_deployment_schedule(deployment.id, each.id, active=False)
    before = await triggered_runs()
    await world.award("ada", awarded_at=datetime.now(UTC))
    with worker(prefect_server, tmp_path / "worker.log", environment()):
        answers = await asyncio.gather(*(endpoint.post(NORTHWIND) for _ in range(20)))
        assert {each.status_code for each in answers} == {202}
        await asyncio.to_thread(until, lambda: len(standin.badges()) == 1, what="the badge is issued")

        await world.add_user("cleo")
        standin.fault("hold_after", method="POST", path="/badges$", body='"bob"')
        await world.award("bob", awarded_at=datetime.now(UTC))
        await endpoint.post(NORTHWIND)
        await asyncio.to_thread(standin.until_held)
        await world.award("cleo", awarded_at=datetime.now(UTC))
        await endpoint.post(NORTHWIND)
        await asyncio.to_thread(until, lambda: len(standin.badges()) == 3, what="the third badge is issued")
        standin.control("DELETE", "faults")
        await asyncio.to_thread(until, lambda: run_ended(standin), what="nothing is under way")
    assert_no_errors(tmp_path / "worker.log")
    assert len(standin.badges()) == len(standin.mails()) == 3
    assert await triggered_runs() - before in (2, 3)


def run_ended(standin: Standin) -> bool:
    return not standin.faults()["held"]


@pytest.fixture
async def starter(world: World) -> AsyncIterator[Starter]:
    """Starts runs that no worker takes: each ends as the test wants it."""
    async with run_context() as run, get_client() as client:
        await client.create_deployment(await client.create_flow(reconcile), "without-a-worker")
        found = Starter(run, client, deployment="reconcile/without-a-worker", after_failure_seconds=4.0)
        starting = asyncio.create_task(found.keep_starting())
        yield found
        starting.cancel()


async def ended(state: State[Any], *, before: set[UUID]) -> UUID:
    """Wait for the one run beside those before, and end it."""
    async with get_client() as client, asyncio.timeout(30):
        while not (new := [each.id for each in await runs_triggered() if each.id not in before]):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        await client.set_flow_run_state(new[0], state, force=True)
    (run_id,) = new
    return run_id


async def test_a_run_that_fails_before_it_plans_is_not_repeated_until_a_minute_is_over(starter: Starter) -> None:
    before = {each.id for each in await runs_triggered()}
    starter.call()
    before.add(await ended(Failed(), before=before))
    starter.call()

    await asyncio.sleep(2)
    assert {each.id for each in await runs_triggered()} == before

    before.add(await ended(Completed(), before=before))
    await asyncio.sleep(5)
    assert {each.id for each in await runs_triggered()} == before


async def test_what_is_announced_after_a_run_has_planned_or_while_another_has_its_place_has_a_run(
    starter: Starter, world: World
) -> None:
    before = {each.id for each in await runs_triggered()}
    starter.call()
    before.add(await ended(Cancelled(), before=before))
    async with asyncio.timeout(30):
        while await triggered_runs() == len(before):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await world.database.write(put_cursor, Round.RECENT, Cursor(), now=datetime.now(UTC))
    starter.call()
    before.add(await ended(Completed(), before=before))

    assert await ended(Completed(), before=before) not in before


def test_a_token_that_is_too_short_is_refused_with_a_sentence(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.configure(monkeypatch, TRIGGER_TOKEN="short")

    command = [sys.executable, "-m", "tasks.trigger"]
    ended = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)

    assert ended.returncode == 2
    assert ended.stderr.startswith("LAUREL_TRIGGER_TOKEN must have at least 20 characters.")
    assert "short" not in ended.stderr
