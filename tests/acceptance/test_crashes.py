"""The real flow in a real process is killed; the next run ends with exactly one badge and one mail for each award."""

import asyncio
from contextlib import AbstractAsyncContextManager, ExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from sqlalchemy import Connection, text

from demo.servers import free_port
from models.database import BUSY_TIMEOUT_SECONDS
from models.ledger.tables import IssuanceAttempt
from tests.support.databases import holding, restart_postgresql
from tests.support.prefect_server import running_prefect_server
from tests.support.processes import FlowProcess, reconcile_process
from tests.support.running import run_reconcile
from tests.support.standin import Standin
from tests.support.waiting import until
from tests.support.world import TEMPLATE, World

pytestmark = pytest.mark.usefixtures("unmeasured")

ISSUE = {"method": "POST", "path": "/badges$"}


@pytest.fixture(autouse=True)
def _allow_duplicates(standin: Standin) -> None:
    """Credly's own rule must not save us: a second request makes a second badge here."""
    standin.allow_duplicates(TEMPLATE)


@pytest.fixture
async def due(world: World) -> World:
    """Ada's award is due."""
    await world.enable()
    await world.award("ada")
    return world


@pytest.fixture
def start(prefect_server: str, tmp_path: Path) -> Any:
    """Starts `reconcile` in a process that does not outlive the test."""
    with ExitStack() as stack:
        yield lambda name="reconcile": stack.enter_context(reconcile_process(prefect_server, tmp_path, name))


async def recover(world: World, standin: Standin, *, badges: int = 1) -> list[Any]:
    """What happens after a crash: the lease ends, and the next run is started."""
    standin.control("DELETE", "faults")
    await world.end_leases()
    await run_reconcile()
    rows = await world.ledger()
    assert {row.state for row in rows} == {"issued"}
    assert len(standin.badges()) == len(standin.mails()) == badges
    assert sorted(row.credly_badge_id for row in rows) == sorted(badge["id"] for badge in standin.badges())
    return rows


async def held(standin: Standin) -> None:
    await asyncio.to_thread(standin.until_held)


async def test_killed_before_anything_is_sent(due: World, standin: Standin, start: Any) -> None:
    standin.fault("hold", method="GET")
    process: FlowProcess = start()
    await held(standin)
    process.kill()
    standin.control("POST", "release", {"drop": True})

    (row,) = await recover(due, standin)

    assert (row.attempts, row.adopted) == (1, False)


@pytest.mark.parametrize("processed", [False, True])
async def test_killed_while_a_request_is_under_way(due: World, standin: Standin, start: Any, processed: bool) -> None:
    standin.fault("hold", **ISSUE)
    process: FlowProcess = start()
    await held(standin)
    process.kill()
    standin.control("POST", "release", {"drop": not processed})
    until(lambda: len(standin.badges()) == processed, what="the stand-in has done its part")

    (row,) = await recover(due, standin)

    assert row.adopted is processed


async def test_nothing_stays_claimed_where_the_platform_cannot_be_read(any_world: World, standin: Standin) -> None:
    await any_world.enable()
    await any_world.award("ada")
    await rename(any_world, "user_emails", "gone")
    state = await run_reconcile()
    await rename(any_world, "gone", "user_emails")

    (row,) = await any_world.ledger()
    assert state.is_failed()
    assert (row.state, row.claim, row.attempts, row.unclear_at) == ("pending", None, 0, None)
    assert standin.badges() == []

    await run_reconcile()

    (row,) = await any_world.ledger()
    assert (row.state, row.adopted, len(standin.badges()), len(standin.mails())) == ("issued", False, 1, 1)


async def rename(world: World, name: str, to: str) -> None:
    await world.do(text(f"ALTER TABLE {name} RENAME TO {to}"))


async def test_killed_after_the_badge_is_made_and_before_the_reply(
    any_world: World, standin: Standin, start: Any
) -> None:
    await any_world.enable()
    await any_world.award("ada")
    standin.fault("hold_after", **ISSUE)
    process: FlowProcess = start()
    await held(standin)
    process.kill()

    (row,) = await recover(any_world, standin)

    assert row.adopted


async def test_killed_after_the_reply_while_it_cannot_be_written(due: World, standin: Standin, start: Any) -> None:
    standin.fault("hold_after", **ISSUE)
    process: FlowProcess = start()
    await held(standin)
    async with locked(due):
        standin.control("POST", "release", {})
        until(lambda: any(r["status"] == 201 for r in standin.requests()), what="the reply is sent")
        process.kill()

    (row,) = await recover(due, standin)

    assert row.adopted


async def test_killed_while_planning(due: World, standin: Standin, start: Any, prefect_server: str) -> None:
    async with locked(due):
        now = datetime.now(UTC)
        process: FlowProcess = start()
        await asyncio.to_thread(until, lambda: _begun_since(prefect_server, now), what="the run has begun", within=300)
        process.kill()
        assert await due.ledger() == []

    await recover(due, standin)


async def test_killed_once_the_result_is_written(due: World, standin: Standin, start: Any) -> None:
    process: FlowProcess = start()
    while not any(row.state == "issued" for row in await due.ledger()):
        assert process.process.poll() is None, process.log.read_text()
        await asyncio.sleep(0.01)
    process.kill()

    (row,) = await recover(due, standin)

    assert (row.adopted, row.attempts) == (False, 1)


async def test_killed_again_and_again_at_odd_moments(world: World, standin: Standin, start: Any) -> None:
    await world.enable()
    for user in await people(world, 30):
        await world.award(user)
    standin.settings(latency_ms=20, fault_share=0.1)
    for made in (3, 9, 18):
        process: FlowProcess = start()
        await asyncio.to_thread(
            until, lambda made=made: len(standin.badges()) >= made, what=f"{made} badges are made", within=120
        )
        process.kill()
        await world.end_leases()

    standin.settings(fault_share=0)
    await world.let_time_pass(timedelta(hours=1))  # what failed until its last try waits before it is tried again
    await recover(world, standin, badges=30)
    await assert_nothing_was_sent_blindly(world)


async def test_two_workers_and_a_third_run_share_the_work(any_world: World, standin: Standin, start: Any) -> None:
    await any_world.enable()
    for user in await people(any_world, 40):
        await any_world.award(user)
    standin.settings(latency_ms=20)

    processes: list[FlowProcess] = [start("first"), start("second")]
    await asyncio.gather(run_reconcile(), *(asyncio.to_thread(each.finish) for each in processes))

    assert [request for request in standin.requests() if request["status"] == 422] == []
    await recover(any_world, standin, badges=40)
    posts = [request for request in standin.requests() if request["method"] == "POST"]
    assert len(posts) == 40


@pytest.mark.parametrize("_migrated", ["postgresql"], indirect=True)
async def test_a_database_that_drops_every_connection_loses_nothing(
    any_world: World, standin: Standin, start: Any
) -> None:
    await any_world.enable()
    await any_world.award("ada")
    standin.fault("hold_after", **ISSUE)
    process: FlowProcess = start()
    await held(standin)
    others = "pid <> pg_backend_pid() AND datname = current_database()"
    await any_world.do(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
    standin.control("POST", "release", {})
    await asyncio.to_thread(process.finish)

    await recover(any_world, standin)


@pytest.mark.parametrize("_migrated", ["postgresql"], indirect=True)
async def test_a_database_that_is_restarted_in_mid_run_loses_nothing(
    any_world: World, standin: Standin, start: Any
) -> None:
    await any_world.enable()
    for user in await people(any_world, 12):
        await any_world.award(user)
    standin.fault("hold_after", **ISSUE, skip=4, count=None)
    process: FlowProcess = start()
    await held(standin)
    await asyncio.to_thread(restart_postgresql, any_world.database.url)
    standin.control("DELETE", "faults")
    await asyncio.to_thread(process.finish)

    await recover(any_world, standin, badges=12)
    await assert_nothing_was_sent_blindly(any_world)


async def test_a_database_that_another_writer_holds_for_long_is_waited_for(
    due: World, standin: Standin, start: Any
) -> None:
    assert BUSY_TIMEOUT_SECONDS > 30
    async with locked(due):
        process: FlowProcess = start()
        await asyncio.to_thread(until, lambda: "Beginning flow run" in process.log.read_text(), what="it runs")
    assert await asyncio.to_thread(process.finish) == 0, process.log.read_text()

    await recover(due, standin)


async def test_prefects_server_stopped_and_started_in_mid_run_loses_nothing(
    due: World, standin: Standin, tmp_path: Path
) -> None:
    port = free_port()
    with ExitStack() as stack:
        with running_prefect_server(tmp_path / "prefect", port=port) as address:
            with temporary_settings({PREFECT_API_URL: address}):
                await due.put_token()
            process = stack.enter_context(reconcile_process(address, tmp_path))
            standin.fault("hold_after", **ISSUE)
            await held(standin)
        standin.control("POST", "release", {})
        await asyncio.to_thread(until, lambda: standin.requests()[-1]["status"] == 201, what="the reply is sent")
        with running_prefect_server(tmp_path / "prefect", port=port):
            await asyncio.to_thread(process.finish)

    (row,) = await recover(due, standin)

    assert not row.adopted  # the answer came into the ledger although Prefect could not be told


async def people(world: World, count: int) -> list[str]:
    users = [f"user-{number}" for number in range(count)]
    for user in users:
        await world.add_user(user)
    return users


async def assert_nothing_was_sent_blindly(world: World) -> None:
    """Between two calls that may have made a badge there is one that asked for it."""
    kinds: dict[int, list[tuple[str, str]]] = {}
    for attempt in await world.rows(IssuanceAttempt):
        kinds.setdefault(attempt.issuance_id, []).append((attempt.kind, attempt.outcome))
    for calls in kinds.values():
        for (kind, outcome), (following, _) in pairwise(calls):
            assert not (kind == following == "issue" and outcome == "unclear"), calls


def locked(world: World) -> AbstractAsyncContextManager[None]:
    """Let nobody else write to the ledger."""

    def lock(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(text("LOCK TABLE badge_issuances IN EXCLUSIVE MODE"))

    return holding(world.database, lock)


def _begun_since(prefect_api: str, moment: datetime) -> int:
    # Not those that are running: the new run marks one that was killed before as crashed.
    begun = {"flow_runs": {"start_time": {"after_": moment.isoformat()}}}
    return int(httpx.post(f"{prefect_api}/flow_runs/count", json=begun, timeout=30).json())
