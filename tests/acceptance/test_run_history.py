"""What a run leaves in Prefect's UI: its page, its table, its series and tags. The numbers are counted anew in SQL."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect import State
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import Artifact, FlowRun
from sqlalchemy import text

from models.operations import run_log
from models.operations.run_log import RunOrganization
from models.platform.tables import UserEmail
from rules.markdown import plain
from tests.support.factories import a_portal, a_user, an_achievement
from tests.support.light_run import Clock
from tests.support.running import run_reconcile
from tests.support.standin import Standin
from tests.support.world import ORGANIZATION, SECOND_ORGANIZATION, World

pytestmark = pytest.mark.usefixtures("prefect_server")
SLUG = "13846a33"  # of the portal whose id is no artifact key
SECOND = "7e7e7e7e-0000-4000-8000-000000000002"
DONE = """
SELECT i.portal_id, i.achievement_id, h.to_state AS state, count(DISTINCT i.id) AS n
FROM issuance_history h JOIN badge_issuances i ON i.id = h.issuance_id
WHERE h.from_state = 'issuing' GROUP BY i.portal_id, i.achievement_id, h.to_state
"""
OPEN = """
SELECT state, reason, count(*) AS n FROM badge_issuances
WHERE state IN ('pending', 'issuing', 'blocked', 'failed') GROUP BY state, reason
"""


def run_id_of(state: State[Any]) -> UUID:
    assert state.state_details.flow_run_id is not None
    return state.state_details.flow_run_id


async def artifacts_of(state: State[Any]) -> dict[str, Artifact]:
    async with get_client() as client:
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=[run_id_of(state)]))
        return {str(each.key): each for each in await client.read_artifacts(flow_run_filter=wanted)}


async def tagged(*tags: str) -> list[FlowRun]:
    async with get_client() as client:
        return await client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=list(tags))))


async def counted(world: World, query: str) -> list[Any]:
    return await world.read(text(query))


async def a_mixed_day(world: World, standin: Standin) -> None:
    """Two portals: some badges are issued, some refused, some blocked; some wait for a person or for their moment."""
    standin.seed(templates=[{"id": SECOND, "organization_id": "0a0a0a0a-0000-4000-8000-000000000001"}])
    await a_portal(world.database, "South West")
    for achievement, portal in (("crane", "South West"), ("boat", "northwind"), ("lost", "northwind")):
        await an_achievement(world.database, achievement, portal=portal)
    await world.connect("South West")
    await world.enable()
    await world.enable("crane", badge_template_id=SECOND)
    await world.enable("boat", badge_template_id=SECOND, paused_at=datetime.now(UTC))
    await world.enable("lost", badge_template_id="00000000-0000-4000-8000-00000000dead")
    for number in range(3):
        await a_user(world.database, f"person-{number}")
        await world.award(f"person-{number}")
    await world.award("ada")
    await world.award("ada", achievement_id="crane")
    await world.award("bob", achievement_id="crane")
    await world.award("ada", achievement_id="boat")
    await world.award("ada", achievement_id="lost")
    await world.award("bob", awarded_at=datetime.now(UTC) + timedelta(days=2))
    await world.change(UserEmail, "bob", is_primary=False)


async def test_the_numbers_of_a_run_are_those_of_the_ledger(any_world: World, standin: Standin) -> None:
    await a_mixed_day(any_world, standin)

    state = await run_reconcile()

    artifacts = await artifacts_of(state)
    assert set(artifacts) == {
        "reconcile",
        "reconcile-table",
        "issued-northwind",
        f"issued-south-west-{SLUG}",
        "portals",
        "health",
    }
    page, rows = str(artifacts["reconcile"].data), json.loads(str(artifacts["reconcile-table"].data))
    done = {(row.portal_id, row.achievement_id, row.state): row.n for row in await counted(any_world, DONE)}
    assert done == {
        ("northwind", "forklift", "issued"): 4,
        ("South West", "crane", "issued"): 1,
        ("South West", "crane", "failed"): 1,
    }
    heads = {"issued": "issued", "failed": "failed", "blocked": "blocked"}
    told = {
        (row["portal"], row["achievement"], state): row[head]
        for row in rows
        for state, head in heads.items()
        if row[head]
    }
    assert told == done
    assert state.message == "5 issued · 1 failed · now 1 blocked, 2 waiting. 1 paused on boat (run resume-credly)"
    assert len(standin.badges()) == 5
    for row in await counted(any_world, OPEN):
        assert f"- **{row.n} {row.state}**{f' `{row.reason}`' if row.reason else ''}: " in page
    issued = Counter(row["portal"] for row in rows for _ in range(row["issued"]))
    assert issued == {"northwind": 4, "South West": 1}
    assert artifacts["issued-northwind"].description == plain("northwind: 4 issued")
    assert artifacts[f"issued-south-west-{SLUG}"].description == plain("South West: 1 issued · 1 failed")
    in_northwind = json.loads(str(artifacts["issued-northwind"].data))[0]
    assert (in_northwind["issued"], in_northwind["failed"]) == (4, 0)
    in_south_west = json.loads(str(artifacts[f"issued-south-west-{SLUG}"].data))[0]
    assert (in_south_west["issued"], in_south_west["failed"]) == (1, 1)
    weeks = {row["portal_id"]: row for row in json.loads(str(artifacts["portals"].data))}
    assert (weeks["northwind"]["issued"], weeks["northwind"]["issued_before"]) == (4, 0)
    assert (weeks["South West"]["failed"], weeks["South West"]["change"]) == (1, "+1 (none before)")


async def test_the_page_says_what_to_do_and_what_waits_until_when(world: World, standin: Standin) -> None:
    await a_mixed_day(world, standin)
    standin.fault("answer", method="POST", status=429, headers={"Retry-After": "7200"})

    state = await run_reconcile()

    page = str((await artifacts_of(state))["reconcile"].data)
    (failed,) = [row for row in await world.ledger() if row.state == "failed"]
    assert f"{failed.id} (`crane` to `bob`)" in page
    assert "### 1 badge failed: The user has no primary e\\-mail address" in page
    assert "**What to do:** Correct the user's data on the platform" in page
    page = page.replace("\\", "")
    assert "- `northwind`: **1 paused** on achievement `boat`, tried after you run *resume-credly* for it." in page
    assert "UTC. Credly limits the rate of calls. The badge" in page
    waits = [row for row in await world.ledger() if row.reason == "awarded_in_future"]
    assert f"tried by the first run after {waits[0].not_before:%Y-%m-%d %H:%M:%S} UTC. The award is dated" in page
    assert "## Slowest calls" in page
    assert [word for word in ("example.org", "Lovelace", "Babbage") if word in page] == []


async def test_runs_are_found_by_portal_and_by_achievement(world: World, standin: Standin) -> None:
    await a_mixed_day(world, standin)
    before = {run.id for run in await tagged("achievement:crane")}

    await run_reconcile()

    (found,) = [run for run in await tagged("achievement:crane", "portal:South West") if run.id not in before]
    assert found.name.startswith("issue · ")
    calls = await counted(world, "SELECT DISTINCT flow_run_id FROM issuance_attempts")
    assert [row.flow_run_id for row in calls] == [str(found.id)]


async def test_runs_of_two_days_stand_in_one_series(world: World) -> None:
    await a_portal(world.database, "both-days")
    await an_achievement(world.database, "walk", portal="both-days")
    await world.connect("both-days")
    await world.enable("walk")
    await world.award("ada", achievement_id="walk")
    await run_reconcile()
    await world.award("bob", achievement_id="walk")
    await world.change(UserEmail, "bob", is_primary=False)
    clock = Clock()
    clock.moved = timedelta(days=1)
    world.set_clock(clock)
    second = await run_reconcile()
    quiet = await run_reconcile()

    artifact = (await artifacts_of(second))["issued-both-days"]
    rows = json.loads(str(artifact.data))
    assert artifact.description == plain("both-days: 1 failed")
    assert [(row["issued"], row["failed"]) for row in rows] == [(0, 1), (1, 0)]
    week_later = clock.moved + timedelta(days=6, hours=1)
    weeks = await world.database.read(run_log.weeks, now=datetime.now(UTC) + week_later)
    assert [tuple(row.values()) for row in weeks if row["portal_id"] == "both-days"] == [("both-days", 0, 1, 1, 0)]
    assert rows[0]["at"] > rows[1]["at"]
    assert set(await artifacts_of(quiet)) == {"reconcile", "health"}
    wrong = (await artifacts_of(second))["health"]
    assert wrong.description == plain("No alert, but an operator has to act: 0 issued · 1 failed.")
    assert (await artifacts_of(quiet))["health"].description == plain("No alert; 1 failed badge of earlier runs left.")
    health = json.loads(str((await artifacts_of(quiet))["health"].data))
    assert [(row["issued"], row["failed"], row["backlog"]) for row in health[:3]] == [(0, 0, 0), (0, 1, 0), (1, 0, 0)]


async def progress_of(portal: str) -> list[Artifact]:
    async with get_client() as client:
        of_run = FlowRunFilter(tags=FlowRunFilterTags(all_=[f"portal:{portal}"]))
        found = await client.read_artifacts(flow_run_filter=of_run)
    return [each for each in found if str(each.key).startswith("progress-")]


async def until_shown(portal: str) -> list[Artifact]:
    while True:
        if shown := await progress_of(portal):
            return shown
        await asyncio.sleep(0.05)


async def test_a_long_run_shows_how_far_it_is(world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    world.configure(monkeypatch, PROGRESS_EVERY="0.05")
    await a_portal(world.database, "long")
    await an_achievement(world.database, "march", portal="long")
    await world.connect("long")
    await world.enable("march")
    for user in ("ada", "bob"):
        await world.award(user, achievement_id="march")
    standin.fault("hold", method="POST", path="/badges$")

    running = asyncio.create_task(run_reconcile(portal="long"))
    async with asyncio.timeout(60):
        shown = await until_shown("long")
    assert float(str(shown[0].data)) < 100
    assert str(shown[0].description).startswith(("0 of 2 badges · ", "1 of 2 badges · "))
    standin.control("DELETE", "faults")
    await running

    (shown_at_last,) = await progress_of("long")
    assert float(str(shown_at_last.data)) == 100
    assert str(shown_at_last.description).startswith("2 of 2 badges · ")


async def test_a_tiny_run_shows_no_progress(world: World) -> None:
    await a_portal(world.database, "short")
    await an_achievement(world.database, "step", portal="short")
    await world.connect("short")
    await world.enable("step")
    await world.award("ada", achievement_id="step")

    await run_reconcile(portal="short")

    assert len(await tagged("portal:short")) == 1
    assert await progress_of("short") == []


async def test_a_part_that_crashes_is_counted_by_what_it_did_before(world: World, standin: Standin) -> None:
    await world.enable()
    await world.add_user("eve")
    for user in ("ada", "bob", "eve"):
        await world.award(user)
    await world.do(
        text(
            "CREATE TRIGGER defect BEFORE UPDATE ON badge_issuances WHEN NEW.user_id = 'bob' AND NEW.state = 'issued'"
            " BEGIN SELECT RAISE(ABORT, 'a defect'); END"
        )
    )

    state = await run_reconcile()

    assert state.is_failed()
    told = "2 issued · now 1 waiting"
    assert state.message == f"{told}. 1 of 1 organizations had trouble, see their runs."
    artifacts = await artifacts_of(state)
    assert str(artifacts["reconcile"].data).replace("\\", "").count(told) == 2  # in all, and by organization
    assert json.loads(str(artifacts["reconcile-table"].data))[0]["issued"] == 2
    assert json.loads(str(artifacts["issued-northwind"].data))[0]["issued"] == 2
    assert json.loads(str(artifacts["health"].data))[0]["issued"] == 2
    assert len(standin.badges()) == 3  # bob's was made; the next run looks it up
    (entry,) = await world.rows(RunOrganization)
    assert (entry.organization_id, entry.started_by) == (ORGANIZATION, str(run_id_of(state)))
    assert (entry.flow_run_id == entry.started_by, entry.stopped, entry.ended_at is None) == (False, None, False)


async def test_a_limit_leaves_each_count_with_its_organization(world: World, standin: Standin) -> None:
    await world.enable(badge_template_id="00000000-0000-4000-8000-00000000dead")
    await world.award("ada")
    await run_reconcile()  # what is blocked by its template is looked at in every run, and has nothing due
    standin.seed(
        organizations=[{"id": SECOND_ORGANIZATION}],
        tokens=[{"token": "invented-token-of-second", "organization_id": SECOND_ORGANIZATION}],
        templates=[{"id": SECOND, "organization_id": SECOND_ORGANIZATION, "state": "active"}],
    )
    await world.put_token("invented-token-of-second", block="second")
    await world.second_portal(base_url=world.base_url, token_block="second")
    await world.change_template("second-achievement", SECOND)
    await world.award("ada", achievement_id="second-achievement")

    state = await run_reconcile(limit=1)

    page = str((await artifacts_of(state))["reconcile"].data)
    assert state.message == "1 issued · now 1 blocked"
    _, _, by_organization = page.partition("## By organization")
    assert f"| `{SECOND_ORGANIZATION}` | 1 issued |" in by_organization
    assert ORGANIZATION not in by_organization
