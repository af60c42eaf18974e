"""Calls and runs that are older than they are kept are removed; the ledger and other people's runs stay."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow, tags
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterExpectedStartTime, FlowRunFilterId
from prefect.exceptions import ObjectNotFound

from flows.clean_up import clean_up
from models.ledger.tables import IssuanceAttempt
from models.operations.run_log import RunFinding, RunOrganization, RunPortal
from models.operations.run_parts import RunPart
from tests.support.light_run import Clock
from tests.support.running import run_reconcile
from tests.support.seen import see
from tests.support.standin import Standin
from tests.support.world import World

OF_RUNS = (RunOrganization, RunFinding, RunPortal, RunPart)
TASK_RUNS = 8  # plan, sweep, look again, dispatch; the organization's dispatch and check; two badges


@flow(name="report")
async def somebody_elses() -> None:
    """Another project's flow that happens to have the name of one of ours."""


async def exists(client: PrefectClient, run_id: str) -> bool:
    try:
        await client.read_flow_run(run_id)  # type: ignore[arg-type]
    except ObjectNotFound:
        return False
    return True


async def until_recorded(client: PrefectClient, runs: list[str]) -> None:
    """Wait until the server has recorded the runs' task runs: it does so behind them, and logs those it cannot keep."""
    of_runs = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(each) for each in runs]))
    async with asyncio.timeout(60):
        while True:
            found = await client.read_task_runs(flow_run_filter=of_runs)
            if len(found) >= TASK_RUNS and all(each.state and each.state.is_final() for each in found):
                return
            await asyncio.sleep(0.1)


async def test_what_is_older_than_it_is_kept_is_removed_and_the_ledger_stays(
    any_world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    await any_world.enable()
    await any_world.award("ada")
    waits = await any_world.award("bob")
    standin.fault("answer", method="POST", path="/badges$", body="bob@", count=None, status=500)
    any_world.configure(monkeypatch, RETRIES="0", KEEP_ATTEMPTS="30", KEEP_RUNS="90")
    began = datetime.now(UTC)
    with tags("credly"):
        await run_reconcile()
    await somebody_elses()
    async with get_client() as client:
        since = FlowRunFilter(expected_start_time=FlowRunFilterExpectedStartTime(after_=began))
        found = await client.read_flow_runs(flow_run_filter=since)
        runs = [run for run in found if run.start_time]  # others' tests leave some that are planned for later
        ours = [str(run.id) for run in runs if run.name.startswith(("reconcile", "issue"))]
        (theirs,) = [str(run.id) for run in runs if run.id not in {each.id for each in runs if str(each.id) in ours}]

        await any_world.add(RunPart, flow_run_id="of-an-earlier-version", told="{}", told_at=datetime.now(UTC))
        await until_recorded(client, ours)
        await see(clean_up)
        assert [len(await any_world.rows(table)) for table in OF_RUNS] == [1, 1, 1, 1]
        assert [await exists(client, each) for each in (*ours, theirs)] == [True] * 3
        assert len(await any_world.rows(IssuanceAttempt)) > 1

        clock = Clock()
        clock.moved = timedelta(days=91)
        any_world.set_clock(clock)
        seen = await see(clean_up)

        assert [await exists(client, each) for each in ours] == [False, False]
        assert await exists(client, theirs)
    assert [await any_world.rows(table) for table in OF_RUNS] == [[], [], [], []]
    assert seen.message.startswith("3 calls and ")
    assert seen.message.endswith("removed. Calls are kept 30 days, runs 90 days.")
    assert {row.award_id: row.state for row in await any_world.ledger()} == {"award-1": "issued", waits: "pending"}
    assert {row.issuance_id for row in await any_world.rows(IssuanceAttempt)} == {
        row.id for row in await any_world.ledger() if row.state == "pending"
    }


async def test_what_is_kept_for_good_is_never_removed(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await world.enable()
    await world.award("ada")
    world.configure(monkeypatch, KEEP_RUNS="0")
    await run_reconcile()
    clock = Clock()
    clock.moved = timedelta(days=3650)
    world.set_clock(clock)

    seen = await see(clean_up)

    assert seen.message == "0 calls and 0 runs removed. Calls are kept permanently, runs permanently."
    assert len(await world.rows(IssuanceAttempt)) == 1
    (row,) = await world.ledger()
    assert row.badge_url

    world.configure(monkeypatch, KEEP_ANSWERS="30")
    world.set_clock(clock)
    seen = await see(clean_up)

    cleared = "Links and messages of Credly are kept 30 days: "
    assert re.search(rf"runs permanently\. {cleared}\d+ rows cleared of them\.$", seen.message)
    (cleared_row,) = await world.ledger()
    assert cleared_row._asdict() == row._asdict() | {"badge_url": None}

    target = f"file://{tmp_path}/share"
    world.configure(monkeypatch, ARCHIVE_AFTER="1", REPORTS_TARGET=target)
    world.set_clock(clock)
    seen = await see(clean_up)

    assert seen.message.endswith(f"after 1 month: 1 transition and 0 calls to `{target}/archive`.")
    assert [each.name.split("-")[0] for each in (tmp_path / "share/archive").iterdir()] == ["history"]
