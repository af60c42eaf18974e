"""The runs of the schedule between two whole ones: they issue what is new, and cost little where nothing is."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect import State
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import FlowRun
from sqlalchemy import text

from models.operations.run_log import RunFinding
from models.platform.tables import Achievement, Portal
from rules.monitoring.brake import UNANSWERED_AT_MOST
from settings import settings
from tasks.operations.retention import UNEVENTFUL_FOR
from tasks.runtime.run import Run, current_run
from tests.support.light_run import Clock
from tests.support.running import run_by_schedule, run_reconcile
from tests.support.standin import Standin
from tests.support.waiting import until
from tests.support.world import ORGANIZATION, World

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(autouse=True)
async def after_a_whole_run(world: World) -> None:
    await world.enable()
    assert (await run_by_schedule()).name == "Completed"


async def run_of(state: State[Any]) -> FlowRun | None:
    wanted = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
    async with get_client() as client:
        found = await client.read_flow_runs(flow_run_filter=wanted)
    return found[0] if found else None


async def all_recorded(client: PrefectClient) -> bool:
    """Whether Prefect has recorded the end of a task run of each run that had nothing to do."""
    named = FlowRunFilter(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Nothing due"])))
    runs = await client.read_flow_runs(flow_run_filter=named)
    ended = {
        each.flow_run_id
        for each in await client.read_task_runs(flow_run_filter=named)
        if each.state and each.state.is_final()
    }
    return {each.id for each in runs} <= ended


async def test_an_award_becomes_a_badge_and_then_nothing_is_due(world: World, standin: Standin) -> None:
    await world.award("ada")

    issued, then = await run_by_schedule(), await run_by_schedule()

    assert (issued.name, issued.message) == ("Completed", "1 issued")
    assert (then.name, then.message) == ("Nothing due", "Nothing due")
    assert len(standin.badges()) == 1
    run = await run_of(then)
    assert run is not None
    assert run.name == "reconcile · nothing due"
    assert len(await world.rows(RunFinding)) == 1  # neither was a whole run


async def test_changed_settings_and_new_connections_count_as_new(world: World) -> None:
    await world.add(Portal, id="second", name="Second")
    await world.add(Achievement, id="crane", portal_id="second", name="Crane")
    await world.award("ada", achievement_id="crane", awarded_at=datetime.now(UTC) - timedelta(days=90))
    assert (await run_by_schedule()).name == "Nothing due"

    await world.enable("crane", issue_since=datetime.now(UTC) - timedelta(days=100))
    waits = await run_by_schedule()
    await world.connect("second", organization_id=ORGANIZATION)

    assert "1 blocked" in str(waits.message)
    assert (await run_by_schedule()).message == "1 issued"


async def test_a_stopped_organization_waits_for_the_next_whole_run_or_a_new_connection(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.configure(monkeypatch, RETRIES="0", TRY_AGAIN_AFTER="0")
    standin.fault("answer", method="POST", path="/badges$", status=503, count=None)
    for number in range(UNANSWERED_AT_MOST):
        await world.add_user(f"user-{number}")
        await world.award(f"user-{number}")
    stopped = await run_by_schedule()
    calls = len(standin.requests())
    standin.control("DELETE", "faults")

    left_alone = await run_by_schedule()
    assert (stopped.type.value, left_alone.name, len(standin.requests())) == ("FAILED", "Nothing due", calls)

    await world.change_connection(planned_at=None)  # as connect-portal leaves it
    assert (await run_by_schedule()).message == f"{UNANSWERED_AT_MOST} issued"


async def test_the_next_whole_run_comes_in_its_time_and_counts_what_was_issued_between(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.award("ada")
    await run_by_schedule()
    world.configure(monkeypatch, SWEEP_EVERY="0")

    assert (await run_by_schedule()).name == "Completed"
    assert [each.issued for each in await world.rows(RunFinding)] == [0, 1]


async def test_runs_that_had_nothing_to_do_are_removed(world: World) -> None:
    nothing = await run_by_schedule()
    assert await run_of(nothing) is not None
    whole = await run_reconcile()
    # A task run whose flow run is gone cannot be recorded, and Prefect's server then drops others beside it.
    async with get_client() as client, asyncio.timeout(60):
        while not await all_recorded(client):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    clock = Clock()
    world.set_clock(clock)

    await run_reconcile()
    assert await run_of(nothing) is not None
    clock.moved = UNEVENTFUL_FOR
    await run_reconcile()

    assert await run_of(nothing) is None
    assert await run_of(whole) is not None


async def test_a_platform_that_cannot_be_read_fails_each_run(world: World) -> None:
    await world.do(text("DROP TABLE achievement_awards"))

    state = await run_by_schedule()

    assert (state.type.value, "achievement_awards" in str(state.message)) == ("FAILED", True)


async def test_what_is_new_while_a_run_issues_does_not_wait_for_its_end(world: World, standin: Standin) -> None:
    current_run.set(Run(settings(), world.database, plan_again_seconds=0.2))
    other = "0b0b0b0b-0000-4000-8000-000000000002"
    await world.second_portal(token_block="credly-second")
    standin.seed(
        organizations=[{"id": other}],
        tokens=[{"token": "of-second", "organization_id": other}],
        templates=[{"id": "second-template", "organization_id": other, "state": "active"}],
    )
    await world.put_token("of-second", block="credly-second")
    await world.change_template("second-achievement", "second-template")
    standin.fault("hold_after", method="POST", path=f"{ORGANIZATION}/badges$")
    await world.award("ada")
    running = asyncio.create_task(run_by_schedule())
    await asyncio.to_thread(standin.until_held)

    await world.award("bob", achievement_id="second-achievement", awarded_at=datetime.now(UTC))
    await asyncio.to_thread(until, lambda: len(standin.badges()) == 2, what="the other organization's badge is issued")
    standin.control("POST", "release", {})

    assert (await running).message == "2 issued"
