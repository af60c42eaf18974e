"""The nightly check finds what badges would stumble over, before they do."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectAlreadyExists

from flows.check import check
from models.diagnostics.links import odd_links
from models.platform.tables import Achievement, Company, Portal, Project, User
from rules.badge.evidence import EvidenceKind
from rules.ledger.states import IssuanceState
from tasks.operations.schedule import scheduled_deployments, wait_until_planned
from tests.support.factories import a_portal, an_achievement, an_issuance
from tests.support.seen import refused, see
from tests.support.standin import Standin
from tests.support.world import BLOCK, ORGANIZATION, TEMPLATE, TOKEN, World

pytestmark = pytest.mark.usefixtures("set_up")

YEARLY = CronSchedule(cron="0 0 1 1 *", timezone="UTC")  # planned, and never due while tests run


@pytest.fixture
async def set_up(prefect_server: str) -> None:
    """The deployment with its next run planned, and a worker that would take it."""
    async with get_client() as client:
        with suppress(ObjectAlreadyExists):
            await client.create_work_pool(WorkPoolCreate(name="badges", type="process"))
        await client.send_worker_heartbeat("badges", "a worker", heartbeat_interval_seconds=600)
        if any(each.switched_on and each.next_run_at for each in await scheduled_deployments(client)):
            return  # an earlier test's: the server plans a new one's runs some seconds later
        flow_id = await client.create_flow_from_name("reconcile")
        schedules = [DeploymentScheduleCreate(schedule=YEARLY, slug="yearly")]
        tags = ["credly", "scheduled"]
        await client.create_deployment(
            flow_id, "reconcile", work_pool_name="badges", schedules=schedules, tags=tags, paused=False
        )
        (reconcile,) = await wait_until_planned(client, within_seconds=60)
        assert reconcile.next_run_at is not None


async def test_what_is_planned_is_shown_and_what_keeps_it_from_happening_is_said(world: World) -> None:
    await world.disconnect()
    async with get_client() as client:
        deployment = await client.read_deployment_by_name("reconcile/reconcile")
        well = await see(check)
        await client.pause_deployment(deployment.id)
        paused = await see(check)
        await client.delete_deployment(deployment.id)
        gone = await see(check)

    year = datetime.now(UTC).year + 1
    assert well.name == "Completed"
    assert f"| `reconcile` | {year}-01-01 00:00:00 UTC | " in well.page.replace("\\", "")
    assert re.search(r"\| \d workers? \|", well.page)
    assert (paused.name, "Its schedule is switched off." in paused.page.replace("\\", "")) == ("Needs attention", True)
    assert (gone.name, "There is no such deployment" in gone.page) == ("Needs attention", True)


async def test_where_all_is_well_it_says_so(world: World) -> None:
    await world.enable(user_evidence=True, portal_evidence=True)
    await world.award("ada")

    seen = await see(check)

    assert (seen.name, seen.message) == ("Completed", "No problems found; checked 1 portal, 1 template")
    assert seen.page.partition("\n")[0] == "# No problems found; checked 1 portal, 1 template"
    assert (await world.connection()).token_ends_at is not None


async def test_a_portal_that_is_named_is_looked_at_alone(world: World) -> None:
    await a_portal(world.database, "southwind")
    await an_achievement(world.database, "crane", portal="southwind")
    await world.enable("crane")

    assert (await see(check, portal="northwind")).name == "Completed"
    seen = await see(check, portal="southwind")

    assert (seen.name, seen.message) == ("Needs attention", "1 problem found; checked 1 portal, 1 template")
    assert "is not connected to Credly" in seen.page
    assert "Did you mean north" in await refused(check, portal="northwynd")


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ({"expires_at": "2020-01-01T00:00:00Z"}, f"Credly refused the token in Secret block `{BLOCK}`"),
        ({"write_enabled": False, "delete_enabled": False}, f"the token in `{BLOCK}` may only read"),
        ({"expires_at": "{soon}"}, "**Replace it now.** It ends on"),
    ],
)
async def test_a_token_that_will_not_do_is_told(
    world: World, standin: Standin, token: dict[str, Any], said: str, soon: str
) -> None:
    filled = {key: soon if value == "{soon}" else value for key, value in token.items()}
    standin.seed(tokens=[{"token": TOKEN, "organization_id": ORGANIZATION, **filled}])

    seen = await see(check)

    assert (seen.name, seen.message) == ("Needs attention", "1 problem found; checked 1 portal, 0 templates")
    assert said in seen.page.replace("\\", "")


async def test_the_end_that_is_kept_counts_where_credly_does_not_show_the_token(world: World, standin: Standin) -> None:
    standin.fault("answer", path="authorization_tokens", status=403, message="No.", count=None)
    moment = datetime.now(UTC)
    connected_at = moment - timedelta(days=175)
    await world.change_connection(connected_at=connected_at, token_ends_at=moment + timedelta(days=100))

    well = await see(check)
    await world.change_connection(token_ends_at=moment + timedelta(days=5))
    ending = await see(check)
    await world.change_connection(token_ends_at=None)
    assumed = await see(check)

    assert [each.name for each in (well, ending, assumed)] == ["Completed", "Needs attention", "Needs attention"]
    assert ["This is assumed" in each.page for each in (ending, assumed)] == [False, True]


@pytest.fixture
def soon() -> str:
    return f"{datetime.now(UTC) + timedelta(days=3):%Y-%m-%dT%H:%M:%SZ}"


async def test_an_organization_that_does_not_answer_is_told(world: World) -> None:
    await world.change_connection(base_url="http://127.0.0.1:1/v1")

    seen = await see(check)

    assert seen.name == "Needs attention"
    assert "could not be reached" in seen.page.replace("\\", "")


async def test_unusable_templates_are_reported_and_duplicates_are_noted(world: World, standin: Standin) -> None:
    other = "7e7e7e7e-0000-4000-8000-00000000000"
    standin.seed(
        templates=[
            {"id": f"{other}2", "organization_id": ORGANIZATION, "name": "Old", "state": "archived"},
            {"id": f"{other}3", "organization_id": ORGANIZATION, "name": "Odd", "state": "active"},
        ]
    )
    standin.allow_duplicates(TEMPLATE)
    standin.fault("answer", method="GET", path=f"{other}3$", status=500)
    await world.enable()
    for name, template in (("crane", f"{other}2"), ("boat", f"{other}3"), ("lift", f"{other}9")):
        await an_achievement(world.database, name)
        await world.enable(name, badge_template_id=template)
    await world.change(Achievement, "crane", name="<b>Crane</b>")

    seen = await see(check)

    assert (seen.name, seen.message) == ("Needs attention", "3 problems found; checked 1 portal, 4 templates")
    wrong, notes = seen.page.replace("\\", "").split("## Good to know")
    assert "`crane`), template" in wrong
    assert "a draft or archived" in wrong
    assert "Credly did not answer" in wrong
    assert f"template `{other}9`" in wrong
    assert "\\<b\\>Crane" in seen.page
    assert TEMPLATE in notes
    assert "allows duplicates" in notes


async def test_links_that_cannot_become_evidence_are_told_where_they_would_be_sent(any_world: World) -> None:
    await any_world.award("ada", company_id="acme", project_id="bridge")
    await any_world.change(User, "ada", profile_url="ftp://example.org/ada")
    await any_world.change(Company, "acme", url="https://user:secret@acme.example.org")
    await any_world.change(Project, "bridge", url="https://bridge.example.org/a@b")
    await any_world.change(Portal, "northwind", url="www.northwind.example.org")
    await any_world.enable(company_evidence=True, project_evidence=True, portal_evidence=True)

    seen = await see(check)

    assert seen.message == "2 problems found; checked 1 portal, 1 template"
    assert "`acme`" in seen.page
    assert "`northwind`" in seen.page
    assert "secret" not in seen.page
    assert await odd_links(any_world.database, EvidenceKind.USER) == []
    assert [key for key, _ in await odd_links(any_world.database, EvidenceKind.PROJECT)] == ["bridge"]
    await any_world.change_integration(user_evidence=True)
    assert await odd_links(any_world.database, EvidenceKind.USER) == [("ada", "ftp://example.org/ada")]


async def test_odd_names_are_told_by_id_and_not_changed(any_world: World) -> None:
    await any_world.award("ada", company_id="acme")
    await any_world.award("bob")
    await any_world.add_user("eve")
    await any_world.change(User, "ada", last_name="O&#39;Brien")
    await any_world.change(User, "bob", first_name="A\u200bda", last_name="MÃ¼ller")
    await any_world.change(User, "eve", last_name="Ã¼ of nobody's award")
    await any_world.change(Company, "acme", name="R&amp;D")
    await any_world.enable(company_evidence=True)

    seen = await see(check)

    page = seen.page.replace("\\", "")
    assert seen.message == "4 problems found; checked 1 portal, 1 template"
    for line in (
        "an HTML entity: `ada` | Correct them on the platform; until then they are sent as they are. |",
        "a character without width: `bob` | Correct them on the platform; until then they are sent without it.",
        "such as Ã¼ for ü: `bob` |",
        "Names of 1 company | They have an HTML entity: `acme` |",
    ):
        assert line in page
    assert not any(name in page for name in ("Brien", "ller", "`eve`", "R&amp;D"))


@pytest.mark.parametrize("counts", [False, True])
async def test_a_portal_that_lost_many_of_its_awards_is_a_finding(any_world: World, counts: bool) -> None:
    await any_world.enable()
    await any_world.change_connection(deletion_withdraws=counts)
    for number in range(12):
        await an_issuance(any_world.database, user=f"user-{number}", state=IssuanceState.ISSUED)
    alone = await see(check, portal="northwind")
    await a_portal(any_world.database, "southwind")

    seen = await see(check)

    for each in (seen, alone):
        page = each.page.replace("\\", "")
        assert each.name == "Needs attention"
        assert "12 of the 12 awards behind the badges of portal northwind are missing from the platform." in page
        assert "Check whether the platform's table or view of awards is complete" in page
    assert (await see(check, portal="southwind")).name == "Completed"


async def test_single_awards_that_are_gone_are_no_finding(world: World) -> None:
    await world.enable()
    for number in range(9):
        await an_issuance(world.database, user=f"user-{number}", state=IssuanceState.ISSUED)

    assert (await see(check)).name == "Completed"
