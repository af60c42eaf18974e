"""Set up as the README says, with every service of Prefect's on, and then left alone: the schedule does the work.

Only times are shortened, by settings. What happens to a set-up in a week happens here in a few minutes.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from automations.__main__ import apply
from automations.dead_runs import DeadRuns
from models.platform.tables import Achievement, Portal
from tests.support.databases import sqlite_database
from tests.support.installation import Installation
from tests.support.running import drain_workers
from tests.support.standin import Standin
from tests.support.waiting import until
from tests.support.workers import kill
from tests.support.world import BLOCK, ORGANIZATION, World

pytestmark = [pytest.mark.acceptance, pytest.mark.usefixtures("unmeasured"), pytest.mark.timeout(1800)]

INTERVAL_SECONDS = 12
START_WITHIN = timedelta(seconds=120)  # on a busy machine a process takes half a minute to begin
SHORTENED = {
    "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S",
    "LAUREL_HEARTBEAT": "8",
    "LAUREL_TRY_AGAIN_AFTER": "1",
    "LAUREL_ALERT_NO_RUN_FOR": "200",
    "LAUREL_SWEEP_EVERY": "40",
}
EXPECTED = (
    # Calls of the slots in which Credly is away.
    r"Task run .* (Task run failed|Finished in state Failed)|Finished in state Failed",
    # A form renews the menus, and Prefect deletes what is planned of a deployment that is updated, to plan it again:
    # also a run that the worker takes at that moment.
    r"prefect\.flow_runs\.worker - Failed to update state of flow run",
    # The worker, while the server is restarted.
    r"prefect\.worker|prefect\.runner|prefect\._internal|prefect\.FlowRunCancellingObserver|httpx|^Traceback",
    # A run that a process has just begun when the server goes away.
    r"prefect\.engine - Execution of flow run .* exited with unexpected exception",
    # The restarted server is sent events which it has already; Prefect 3.9.1 then inserts no row at all, which fails,
    # and gives up after five times.
    r"event_persister - Max flush retries",
)


class Watched:
    """The set-up under test, the platform that it serves, and what is waited for."""

    def __init__(self, installation: Installation, world: World, standin: Standin, stack: ExitStack) -> None:
        self.installation, self.world, self.standin = installation, world, standin
        self.stack = stack
        self.expected_badges = 0

    async def until(self, condition: Callable[[], Any], what: str, *, within: float = 300) -> Any:
        return await asyncio.to_thread(until, condition, what=what, within=within)

    async def one_more_badge(self) -> None:
        self.expected_badges += 1
        await self.until(
            lambda: len(self.standin.badges()) >= self.expected_badges, f"badge {self.expected_badges} is issued"
        )

    async def form_that_is_starting_alone(self) -> dict[str, Any]:
        """Start a form, and return its run while that is pending and no slot of the schedule is under way."""
        while True:
            starting = self.installation.run("list-integrations")
            await self.until(partial(self.has_started, starting), "a form's run starts")
            if self.state_of(starting) == "PENDING" and not self.under_way():
                return starting
            await asyncio.to_thread(self.installation.end_of, starting["id"])

    def has_started(self, run: dict[str, Any]) -> bool:
        return self.state_of(run) != "SCHEDULED"

    def state_of(self, run: dict[str, Any]) -> str:
        return str(self.installation.state_of(run["id"])["type"])

    def slots(self) -> list[dict[str, Any]]:
        """The runs of reconcile that are over."""
        over = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        return [each for each in self.installation.runs("reconcile") if each["state_type"] in over]

    def under_way(self) -> list[dict[str, Any]]:
        return [each for each in self.installation.runs("reconcile") if each["state_type"] in ("PENDING", "RUNNING")]


async def apply_with_short_times(installation: Installation) -> None:
    """Shorten the one time that is no setting."""
    reconcile = UUID(installation.deployment("reconcile")["id"])
    heartbeat = timedelta(seconds=float(SHORTENED["LAUREL_HEARTBEAT"]))
    for automation in DeadRuns(reconcile=reconcile, heartbeat=heartbeat, start_within=START_WITHIN).all():
        await apply(automation)


@pytest.fixture
async def watched(migrated_file: Path, standin: Standin, tmp_path: Path) -> AsyncIterator[Watched]:
    async with sqlite_database(tmp_path, copy_of=migrated_file) as database:
        world = World(database=database, base_url=standin.base_url)
        url = database.engine.url.render_as_string(hide_password=False)
        installation = Installation(tmp_path, database_url=url, settings=SHORTENED, may_log=EXPECTED)
        await asyncio.to_thread(drain_workers)
        with temporary_settings({PREFECT_API_URL: installation.api}), ExitStack() as stack:
            stack.enter_context(installation.server())
            await world.build()
            await world.enable()
            installation.set_up()
            await apply_with_short_times(installation)
            installation.every(INTERVAL_SECONDS)
            yield Watched(installation, world, standin, stack)
            await asyncio.to_thread(drain_workers)


async def test_it_runs_by_itself_whatever_comes_in_between(watched: Watched) -> None:
    installation, world, standin = watched.installation, watched.world, watched.standin
    with installation.worker() as first:
        await world.award("ada")
        await watched.one_more_badge()
        await world.award("bob")
        await watched.one_more_badge()

        await a_portal_that_is_connected_late(watched)
        await credly_away_for_two_slots(watched)

        await world.add_user("cleo")
        standin.fault("hold_after", method="POST", path="/badges$")
        await world.award("cleo")
        await watched.until(lambda: standin.faults()["held"], "a badge is being issued")
        kill(first)
        standin.control("DELETE", "faults")
    with installation.worker() as second:
        await watched.until(lambda: "Crashed" in names_of(watched.slots()), "the killed run is marked as crashed")
        await world.end_leases()  # ten minutes, which no test waits for; the soak does
        await watched.one_more_badge()
        await until_states(watched, lambda states: states["issued"] == 5)
        starting = await watched.form_that_is_starting_alone()
        kill(second)
    with installation.worker():
        assert (await asyncio.to_thread(installation.end_of, starting["id"]))["name"] == "Crashed"

        await world.add_user("dora")
        standin.fault("hold_after", method="POST", path="/badges$")
        await world.award("dora")
        await watched.until(lambda: standin.faults()["held"], "a badge is being issued")
        # Prefect's server stops, and starts again with what it had. A run that it stops before it has begun would be
        # marked as crashed, so it stops in mid-run: then no other run of reconcile can begin.
        watched.stack.close()
        standin.control("DELETE", "faults")
        watched.stack.enter_context(installation.server())
        await watched.one_more_badge()
        await until_states(watched, lambda states: states["issued"] == 6)

        await watched.until(lambda: not watched.under_way(), "the last run is over")
    said_nothing_is_wrong(watched)
    await silence_is_noticed(watched)


def said_nothing_is_wrong(watched: Watched) -> None:
    """Each award has one badge, each slot's end has a reason, and no alarm was mistaken."""
    installation, slots = watched.installation, watched.slots()
    assert len(watched.standin.badges()) == len(watched.standin.mails()) == 6
    assert Counter(names_of(slots)).keys() <= {
        *("Completed", "Needs attention", "Nothing due", "Failed", "Crashed", "Cancelled")
    }
    assert names_of(slots).count("Crashed") == 1
    assert all("concurrency" in each["state"]["message"] for each in slots if each["state_name"] == "Cancelled")
    begun_by = Counter(each["created_by"]["type"] for each in slots)
    alarms = Counter(name for name, _ in installation.alarms())
    restarts = alarms["Laurel: reconcile after a crash"]
    # Two runs died: one with the sub-flow in its process, one that had not begun.
    assert alarms.keys() == {"Laurel: a run died", "Laurel: a run did not start", "Laurel: reconcile after a crash"}
    assert {installation.state_of(run)["name"] for _, run in installation.alarms() if run} == {"Crashed"}
    assert restarts in (1, 2)  # two crashes within a minute are one reason to start it
    assert begun_by == {"SCHEDULE": begun_by["SCHEDULE"], "AUTOMATION": restarts}


async def silence_is_noticed(watched: Watched) -> None:
    """There is no worker any more, and no notification block: a run of check is there for everybody to see."""
    assert watched.installation.command(["automations"], LAUREL_ALERT_NO_RUN_FOR="10").returncode == 0
    await watched.until(lambda: watched.installation.planned_by_automation("check"), "silence is noticed")


async def a_portal_that_is_connected_late(watched: Watched) -> None:
    """Its award waits; a form run in between connects it, and the schedule issues the badge."""
    world = watched.world
    await world.add(Portal, id="second", name="Second")
    await world.add(Achievement, id="crane", portal_id="second", name="Crane")
    await world.enable("crane")
    await world.add_user("eve")
    await world.award("eve", achievement_id="crane")

    await until_states(watched, lambda states: states["blocked"] == 1)
    form = {"portal": "second", "organization_id": ORGANIZATION, "token_block": BLOCK, "environment": "other"}
    run = watched.installation.run("connect-portal", **form, base_url=world.base_url)
    state = await asyncio.to_thread(watched.installation.end_of, run["id"])
    assert state["name"] == "Completed", state
    await watched.one_more_badge()


async def credly_away_for_two_slots(watched: Watched) -> None:
    """Two runs of reconcile get no answer; one after that issues the badge."""
    watched.standin.fault("drop", path=".", count=None)
    before = len(watched.slots())
    await watched.world.add_user("finn")
    await watched.world.award("finn")
    await watched.until(lambda: len(watched.slots()) >= before + 3, "two slots have passed")
    watched.standin.control("DELETE", "faults")
    await watched.one_more_badge()


async def until_states(watched: Watched, condition: Callable[[Counter[str]], bool]) -> None:
    """Wait until the counts of issuances by state are as they should be."""
    async with asyncio.timeout(300):
        while not condition(Counter(row.state for row in await watched.world.ledger())):  # noqa: ASYNC110
            await asyncio.sleep(0.2)


def names_of(runs: list[dict[str, Any]]) -> list[str]:
    return [each["state_name"] for each in runs]
