"""A run sends heartbeats from its first moment to its last, and one that makes no progress is ended."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import State, flow
from prefect.client.orchestration import get_client
from prefect.events import Event, emit_event
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Pending, Running

from rules.monitoring.liveness import HEARTBEAT, PROGRESS, RUN_ENDED, START_WITHIN
from settings import ROOT, settings
from tasks.operations.retention import UNEVENTFUL_FOR
from tasks.runtime.run import run_context
from tests.support.light_run import Clock
from tests.support.prefect_server import running_prefect_server
from tests.support.running import drain_workers, run_reconcile
from tests.support.world import World

PREFECTS_END = "prefect.flow-run.Completed"


@pytest.fixture
def quick(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A heartbeat each second; a run may make no progress for two of them."""
    world.configure(monkeypatch, HEARTBEAT="1", STALLED_AFTER="2")
    yield world
    settings.cache_clear()


@flow(name="works")
async def works(steps: int) -> None:
    async with run_context() as run:
        for _ in range(steps):
            await asyncio.sleep(0.3)
            run.made_progress()


@flow(name="hangs")
async def hangs() -> None:
    async with run_context():
        await asyncio.Event().wait()


async def events_of(run_id: UUID, *, last: str, ended: bool = True) -> list[Event]:
    """Return the run's events in the order in which they occurred, once the last one is there."""
    awaited = {last, RUN_ENDED} if ended else {last}
    wanted = EventFilter(
        event=EventNameFilter(prefix=["laurel.run", "prefect.flow-run"]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run_id}"]),
    )
    async with get_client() as client, asyncio.timeout(60):
        while True:
            found = (await client.read_events(wanted, limit=50)).events
            if awaited <= {each.event for each in found}:
                return sorted(found, key=lambda each: each.occurred)
            await asyncio.sleep(0.1)


def later(world: World, span: timedelta) -> None:
    """Let the flows that follow find that so much time has passed."""
    clock = Clock()
    clock.moved = span
    world.set_clock(clock)


async def run_of(state: Any) -> UUID:
    run_id: UUID = state.state_details.flow_run_id
    return run_id


async def test_all_heartbeats_lie_between_the_start_and_the_end_of_a_run(
    quick: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick.configure(monkeypatch, STALLED_AFTER="600")
    state = await works(8, return_state=True)

    names = [each.event for each in await events_of(await run_of(state), last=PREFECTS_END)]
    ours = [name for name in names if name.startswith("laurel")]
    assert (ours[0], ours[-1]) == (HEARTBEAT, RUN_ENDED)
    assert PROGRESS in ours[1:-1]
    assert names.index("prefect.flow-run.Running") < names.index(HEARTBEAT)
    assert names.index(RUN_ENDED) < names.index(PREFECTS_END)


async def test_a_run_that_makes_no_progress_fails_with_a_sentence(quick: World) -> None:
    async with asyncio.timeout(60):
        state = await hangs(return_state=True)

    assert (state.name, "No progress for 0:00:02" in str(state.message)) == ("Failed", True)
    names = [each.event for each in await events_of(await run_of(state), last="prefect.flow-run.Failed")]
    assert PROGRESS not in names


async def test_reconcile_marks_runs_that_are_dead_by_their_state(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never began, one without heartbeats; not one that sends them, nor another project's."""
    tagged = {"not begun": ["credly"], "silent": ["credly"], "beating": ["credly"], "another's": ["other"]}
    async with get_client() as client:
        runs = {name: await client.create_flow_run(works, tags=tags, name=name) for name, tags in tagged.items()}
        for name, run in runs.items():
            state: State[None] = Pending() if name == "not begun" else Running()
            await client.set_flow_run_state(run.id, state, force=True)

        async def names() -> list[str | None]:
            return [(await client.read_flow_run(run.id)).state_name for run in runs.values()]

        await run_reconcile()
        assert await names() == ["Pending", "Running", "Running", "Running"]
        world.configure(monkeypatch, HEARTBEAT="60")
        later(world, START_WITHIN)
        emit_event(HEARTBEAT, resource={"prefect.resource.id": f"prefect.flow-run.{runs['beating'].id}"})
        await events_of(runs["beating"].id, last=HEARTBEAT, ended=False)
        await run_reconcile()

        assert await names() == ["Crashed", "Crashed", "Running", "Running"]


@pytest.fixture
def refusing_server(world: World, tmp_path: Path) -> Iterator[None]:
    """A server of its own, which logs its errors. Tests take tables away from it: its services meet that, too."""
    may_log = (
        "Encountered exception in request",
        "Exception in ASGI application",
        "^Traceback",
        "event_persister",
        "vacuum_events",
    )
    drain_workers()
    with (
        running_prefect_server(tmp_path / "prefect", may_log=may_log) as address,
        temporary_settings({PREFECT_API_URL: address}),
    ):
        yield
        drain_workers()


async def test_a_dead_run_that_prefect_cannot_end_stops_nothing(
    refusing_server: None, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Its deployment was deleted, with the limit whose slot it holds: Prefect answers 500 to each new state."""
    later(world, START_WITHIN)
    async with get_client() as client:
        flow_id = await client.create_flow(works)
        deployment = await client.create_deployment(flow_id, "deleted", concurrency_limit=1)
        stuck = await client.create_flow_run_from_deployment(deployment, name="stuck", tags=["credly"])
        other = await client.create_flow_run(works, name="other", tags=["credly"])
        for run in (stuck, other):
            await client.set_flow_run_state(run.id, Pending())
        await client.delete_deployment(deployment)

        for _ in range(2):
            assert (await run_reconcile()).name == "Completed"

        assert [(await client.read_flow_run(run.id)).state_name for run in (stuck, other)] == ["Pending", "Crashed"]
    assert "Run stuck is dead, and Prefect's server does not mark it as crashed (HTTP 500)." in caplog.text


async def test_housekeeping_that_prefect_refuses_stops_nothing(
    refusing_server: None,
    world: World,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Prefect answers 500 where heartbeats are read, and where a run is deleted."""
    later(world, UNEVENTFUL_FOR)
    async with get_client() as client:
        silent = await client.create_flow_run(works, tags=["credly"])
        await client.set_flow_run_state(silent.id, Running(), force=True)
        old = await client.create_flow_run(works, tags=["credly", "auto-scheduled"])
        await client.set_flow_run_state(old.id, Completed(name="Nothing due"), force=True)
    with closing(sqlite3.connect(tmp_path / "prefect" / "prefect.db")) as server:
        server.execute("ALTER TABLE events RENAME TO away")
        server.execute("CREATE TRIGGER kept BEFORE DELETE ON flow_run BEGIN SELECT RAISE(ABORT, 'kept'); END")
    await world.put_token()
    await world.enable()
    await world.award("ada")

    state = await run_reconcile()

    assert (state.name, state.message) == ("Completed", "1 issued")
    assert "Dead runs were not looked for (PrefectHTTPStatusError)." in caplog.text
    assert "Runs with nothing due were not removed (PrefectHTTPStatusError)." in caplog.text


PROCESS = """
import asyncio, os, time
os.environ["PREFECT__FLOW_RUN_ID"] = "of a worker"
from prefect import State, flow
from tasks.runtime import heartbeat
from tasks.runtime.run import run_context
heartbeat._FINISH_SECONDS = 1.0

@flow
async def sleeps():
    async with run_context():
        {inside}
    {after}

asyncio.run(sleeps())
"""


@pytest.mark.parametrize(("inside", "after"), [("time.sleep(600)", "pass"), ("pass", "time.sleep(600)")])
async def test_a_process_that_does_not_end_when_its_run_is_cancelled_is_ended(
    quick: World, prefect_server: str, inside: str, after: str
) -> None:
    """As where a thread waits for a database that never answers, or Prefect's server is gone for good."""
    code = PROCESS.format(inside=inside, after=after)
    environment = os.environ | {"PREFECT_API_URL": prefect_server}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    async with asyncio.timeout(90):
        assert await process.wait() == 70
