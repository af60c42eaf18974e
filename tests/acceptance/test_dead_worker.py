"""A worker and its flow run are killed hard; Prefect's own means see to it that the schedule is not blocked by them."""

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from automations.__main__ import apply
from automations.__main__ import main as apply_all
from automations.dead_runs import dead_runs
from tests.support.prefect_server import running_prefect_server
from tests.support.standin import Standin
from tests.support.waiting import until
from tests.support.workers import deploy, kill, worker
from tests.support.world import World

pytestmark = pytest.mark.usefixtures("unmeasured")

LEASES = "prefect.server.concurrency.lease_storage.filesystem"


@pytest.fixture(scope="module")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that also watches for automations, where reconcile is deployed."""
    home = tmp_path_factory.mktemp("watching-prefect")
    settings = {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES, "PREFECT_HOME": str(home)}
    with running_prefect_server(home, needed=("TRIGGERS",), settings=settings) as address:
        deploy(address, ["reconcile"])
        with temporary_settings({PREFECT_API_URL: address}):
            yield address


def runs_of(client: SyncPrefectClient, deployment: UUID) -> list[Any]:
    return [run for run in client.read_flow_runs() if run.deployment_id == deployment]


async def test_the_schedule_goes_on_after_worker_and_run_are_killed(
    world: World, standin: Standin, prefect_api: str, tmp_path: Path
) -> None:
    await world.enable()
    await world.award("ada")
    standin.allow_duplicates("7e7e7e7e-0000-4000-8000-000000000001")
    standin.fault("hold_after", method="POST", path="/badges$")
    assert await apply_all() == 0
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("reconcile/reconcile")
        await apply(dead_runs(deployment.id, silent_for=timedelta(seconds=10)))
        run = client.create_flow_run_from_deployment(deployment.id)
        with worker(prefect_api, tmp_path / "worker.log") as first:
            await asyncio.to_thread(standin.until_held)
            kill(first)
        killed = time.monotonic()
        standin.control("DELETE", "faults")
        await world.end_leases()
        assert client.read_flow_run(run.id).state_name == "Running"

        with worker(prefect_api, tmp_path / "worker.log"):
            (again,) = await asyncio.to_thread(
                until,
                lambda: [
                    each for each in runs_of(client, deployment.id) if each.id != run.id and each.state.is_completed()
                ],
                what="another run has done its work",
                within=240,
            )
        print(f"after {time.monotonic() - killed:.0f} s")

        assert client.read_flow_run(run.id).state_name == "Crashed"
        assert again.name != run.name
    (row,) = await world.ledger()
    assert (row.state, row.adopted) == ("issued", True)
    assert len(standin.badges()) == len(standin.mails()) == 1


async def test_what_is_applied_twice_is_there_once(prefect_api: str) -> None:
    assert (await apply_all(), await apply_all()) == (0, 0)

    async with get_client() as client:
        names = [automation.name for automation in await client.read_automations()]
    assert names == ["Laurel: a run died"]
