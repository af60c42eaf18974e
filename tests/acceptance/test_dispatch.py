"""Organizations' badges are issued by whichever worker is free, and the run that asked for it tells of all of them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from prefect import State
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.logging import disable_run_logger
from prefect.states import Completed, Crashed

from models.ledger.claiming import DueOrganization, connected_organizations
from models.operations.run_log import RunOrganization
from models.platform.tables import Achievement, Portal
from models.setup.rate_limit import OrganizationPace
from rules.ledger.reasons import Reason
from settings import settings
from tasks.issuing.dispatch import Group, issue_all
from tasks.runtime.run import Run
from tests.support.prefect_server import assert_no_errors, remove_what_is_left
from tests.support.running import run_reconcile
from tests.support.standin import Standin
from tests.support.workers import deploy, worker
from tests.support.world import ORGANIZATION, TEMPLATE, World

HARBOUR = "0a0a0a0a-0000-4000-8000-000000000002"


async def two_organizations(world: World, standin: Standin) -> None:
    """A second portal with an organization of its own, whose token Credly does not know."""
    standin.seed(
        organizations=[{"id": HARBOUR}],
        tokens=[{"token": "invented-token-of-harbour", "organization_id": HARBOUR}],
        templates=[{"id": f"{TEMPLATE}-2", "organization_id": HARBOUR, "state": "active"}],
    )
    await world.enable()
    await world.add(Portal, id="harbour", name="Harbour")
    await world.add(Achievement, id="crane", portal_id="harbour", name="Crane")
    await world.connect("harbour", organization_id=HARBOUR)
    await world.enable("crane", badge_template_id=f"{TEMPLATE}-2")
    for user in ("ada", "bob"):
        await world.award(user)
    await world.award("ada", achievement_id="crane")


async def organization_runs() -> list[Any]:
    async with get_client() as client:
        deployment = await client.read_deployment_by_name("issue-organization/issue-organization")
        of_deployment = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
        return list(await client.read_flow_runs(deployment_filter=of_deployment))


@pytest.mark.parametrize("_migrated", ["postgresql"], indirect=True)
async def test_workers_issue_and_the_run_tells_of_all_of_them(
    any_world: World, standin: Standin, prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two_organizations(any_world, standin)
    any_world.configure(monkeypatch, DISPATCH="workers")
    await asyncio.to_thread(deploy, prefect_server, ["issue-organization"])
    before = {run.id for run in await organization_runs()}
    with worker(prefect_server, tmp_path / "worker.log"):
        state = await run_reconcile()
    assert_no_errors(tmp_path / "worker.log", may_log=("There is no Prefect Secret block|holds no token",))

    log = (tmp_path / "worker.log").read_text(encoding="utf-8")
    assert (state.name, state.message) == ("Needs attention", "2 issued · now 1 blocked"), log
    runs = [run for run in await organization_runs() if run.id not in before]
    assert sorted(tag for run in runs for tag in run.tags if tag.startswith("portal:")) == [
        "portal:harbour",
        "portal:northwind",
    ]
    assert len(standin.badges()) == 2
    entries = {row.organization_id: row for row in await any_world.rows(RunOrganization)}
    assert {row.flow_run_id for row in entries.values()} == {str(run.id) for run in runs}
    assert {row.started_by for row in entries.values()} == {str(state.state_details.flow_run_id)}
    assert {key: row.stopped for key, row in entries.items()} == {ORGANIZATION: None, HARBOUR: Reason.TOKEN_REFUSED}
    paces = {row.organization for row in await any_world.rows(OrganizationPace)}
    assert paces == {f"{any_world.base_url} {organization}" for organization in (ORGANIZATION, HARBOUR)}


async def test_a_worker_that_is_killed_is_counted_by_what_it_did_before(
    world: World, standin: Standin, prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.enable()
    for user in ("ada", "bob"):
        await world.award(user)
    standin.fault("hold", method="POST", path="/badges$", body="bob@")
    world.configure(monkeypatch, DISPATCH="workers", TASK_RUNS_PER_RUN="1")
    await asyncio.to_thread(deploy, prefect_server, ["issue-organization"])
    before = {run.id for run in await organization_runs()}
    with worker(prefect_server, tmp_path / "worker.log"):
        running = asyncio.create_task(run_reconcile())
        await asyncio.to_thread(standin.until_held)
    standin.control("POST", "release", {"drop": True})
    (part,) = [run for run in await organization_runs() if run.id not in before]
    async with get_client() as client:  # as the automation does once no heartbeat comes
        await client.set_flow_run_state(part.id, Crashed(), force=True)

    state = await running

    assert state.message == "1 issued · now 1 waiting. 1 of 1 organizations had trouble, see their runs."
    (entry,) = await world.rows(RunOrganization)
    assert (entry.flow_run_id, entry.ended_at) == (str(part.id), None)
    assert entry.started_by == str(state.state_details.flow_run_id)


async def test_one_whose_run_cannot_be_started_leaves_alone_what_is_under_way(world: World) -> None:
    await world.second_portal()
    refused, other = [(each,) for each in await world.database.read(connected_organizations)]

    async def issue(group: Group, _limit: int) -> State[None]:
        if group == refused:
            raise ConnectionError("Prefect's server is away")
        await asyncio.sleep(0.5)
        return Completed()

    async def both_are_due() -> list[DueOrganization]:
        return [each for group in (refused, other) for each in group]

    run = Run(settings(), world.database, plan_again_seconds=0.1)
    with disable_run_logger():
        parts = await issue_all(run, [(refused, 0), (other, 0)], issue=issue, plan_again=both_are_due)

    assert [(group, state.name) for group, state in parts] == [(refused, "Not started"), (other, "Completed")]


async def test_a_run_that_is_deleted_while_it_waits_for_a_worker_is_one_that_failed(
    world: World, standin: Standin, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two_organizations(world, standin)
    world.configure(monkeypatch, DISPATCH="workers")
    await asyncio.to_thread(deploy, prefect_server, ["issue-organization"])
    before = {run.id for run in await organization_runs()}
    running = asyncio.create_task(run_reconcile())
    async with get_client() as client, asyncio.timeout(60):
        while len(new := [run for run in await organization_runs() if run.id not in before]) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        await client.delete_flow_run(new[0].id)
        await client.set_flow_run_state(new[1].id, Completed(), force=True)

    state = await running

    assert state.message == "0 issued · now 3 waiting. 1 of 2 organizations had trouble, see their runs."


@pytest.mark.parametrize("portal", ["north  wind", "north\u00a0wind", " northwind", "a@b", "a%40b"])
async def test_a_portal_is_issued_for_whatever_its_id(world: World, standin: Standin, portal: str) -> None:
    """A file of settings can connect one that no form takes."""
    await world.add(Portal, id=portal, name="Another")
    await world.add(Achievement, id="crane", portal_id=portal, name="Crane")
    await world.connect(portal)
    await world.enable("crane")
    await world.enable()
    for achievement in ("crane", "forklift"):
        await world.award("ada", achievement_id=achievement)
    standin.allow_duplicates(TEMPLATE)

    state = await run_reconcile()

    assert (state.name, state.message) == ("Completed", "2 issued")


async def test_without_the_deployment_the_run_says_so_and_nothing_is_lost(
    world: World, standin: Standin, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.to_thread(remove_what_is_left, prefect_server)  # other tests' deployments
    await world.enable()
    await world.award("ada")
    world.configure(monkeypatch, DISPATCH="workers")

    state = await run_reconcile()

    assert state.is_failed()
    assert standin.requests() == []
    monkeypatch.delenv("LAUREL_DISPATCH")
    world.configure(monkeypatch, DISPATCH="here")
    assert (await run_reconcile()).message == "1 issued"


async def test_many_organizations_share_a_run_and_none_waits_for_another(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("alder", "birch", "cedar", "hazel", "maple")
    held, refused, throttled, *fine = ids = [f"0b0b0b0b-0000-4000-8000-00000000000{n}" for n, _ in enumerate(names)]
    known = [each for each in ids if each != refused]
    standin.seed(
        organizations=[{"id": each} for each in ids],
        tokens=[{"token": f"invented-token-{each}", "organization_id": each} for each in known],
        templates=[{"id": each.replace("0b", "0c"), "organization_id": each, "state": "active"} for each in ids],
    )
    for name, each in zip(names, ids, strict=True):
        await world.put_token(f"invented-token-{each}", block=f"credly-{name}")
        await world.add(Portal, id=name, name=name)
        await world.add(Achievement, id=f"of-{name}", portal_id=name, name=name)
        await world.connect(name, organization_id=each, token_block=f"credly-{name}")
        await world.enable(f"of-{name}", badge_template_id=each.replace("0b", "0c"))
        await world.award("ada", achievement_id=f"of-{name}")
    standin.fault("hold", method="POST", path=f"{held}/badges$")
    later = {"Retry-After": "3600"}
    standin.fault("answer", method="POST", path=f"{throttled}/badges$", status=429, headers=later)
    world.configure(monkeypatch, ORGANIZATIONS_AT_ONCE="2")

    running = asyncio.create_task(run_reconcile())
    await asyncio.to_thread(standin.until_held)
    async with asyncio.timeout(30):
        while {row.portal_id for row in await world.ledger() if row.state == "issued"} != set(names[3:]):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    standin.control("POST", "release", {})
    state = await running

    assert state.message == "3 issued · now 1 blocked, 1 waiting"
    entries = {row.organization_id: row for row in await world.rows(RunOrganization)}
    assert len(entries) == len(names)
    assert len({row.flow_run_id for row in entries.values()}) == 1
    assert {row.started_by for row in entries.values()} == {str(state.state_details.flow_run_id)}
    assert entries[refused].stopped is Reason.TOKEN_REFUSED
    assert [entries[each].stopped for each in (held, *fine)] == [None] * 3
