"""The menus of the forms, as Prefect's server has them: their entries, and when they change."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.utilities.callables import parameter_schema
from sqlalchemy import insert

from flows.connect_portal import connect_portal
from flows.disable_credly import disable_credly
from flows.enable_credly import enable_credly
from flows.pause_credly import pause_credly
from flows.reconcile import reconcile
from flows.refresh_menus import refresh_menus
from models.platform.tables import Company
from models.tables import table
from rules.forms.inputs import Environment
from rules.forms.menus import MOST_ENTRIES
from tasks.menus.publish import publish_menus
from tests.support.deployments import DEPLOYMENTS, flow_of
from tests.support.factories import a_portal, an_achievement
from tests.support.seen import refused, see
from tests.support.standin import Standin
from tests.support.waiting import until
from tests.support.world import BLOCK, ORGANIZATION, SECOND_ORGANIZATION, TEMPLATE, World

pytestmark = pytest.mark.usefixtures("prefect_server")
FORMS = ("connect-portal", "enable-credly", "issue-badge")


class Forms:
    """Deployments of three forms on the server."""

    def __init__(self, client: PrefectClient) -> None:
        self.client = client
        self.ids: dict[str, UUID] = {}

    async def deploy(self, name: str, **options: Any) -> None:
        """Write the deployment as `prefect deploy` does: with the flow's own schema."""
        flow = flow_of(name)
        self.ids[name] = await self.client.create_deployment(
            flow_id=await self.client.create_flow(flow),
            name=name,
            tags=DEPLOYMENTS[name]["tags"],
            parameter_openapi_schema=parameter_schema(flow).model_dump_for_openapi(),
            enforce_parameter_schema=True,
            **options,
        )

    async def menu(self, name: str, field: str) -> list[str] | None:
        """Return the entries of a field's menu, None where it is a text field."""
        deployment = await self.client.read_deployment(self.ids[name])
        found = (deployment.parameter_openapi_schema or {})["properties"][field].get("anyOf")
        return found and list(found[0]["enum"])


@pytest.fixture
async def forms(world: World) -> AsyncIterator[Forms]:
    async with AsyncExitStack() as stack:
        deployed = Forms(await stack.enter_async_context(get_client()))
        for name in FORMS:
            await deployed.deploy(name)
        yield deployed
        for each in deployed.ids.values():
            await deployed.client.delete_deployment(each)


async def test_menus_offer_what_platform_and_credly_have(world: World, standin: Standin, forms: Forms) -> None:
    standin.seed(templates=[a_template(2, "Crane", state="draft")])
    await a_portal(world.database, "harbour")
    await an_achievement(world.database, "crane")
    await world.enable(paused_at=datetime.now(UTC))

    seen = await see(refresh_menus)

    assert (seen.name, seen.message) == ("Completed", "2 badge templates read; 3 forms changed")
    assert await forms.menu("connect-portal", "portal") == [
        "Harbour (not connected) · harbour",
        "Northwind (connected) · northwind",
    ]
    assert await forms.menu("issue-badge", "achievement") == [
        "Crane (Northwind, off) · crane",
        "Forklift (Northwind, paused) · forklift",
    ]
    assert await forms.menu("enable-credly", "badge_template_id") == [
        f"Crane (draft) · {TEMPLATE[:-1]}2",
        f"Forklift (active) · {TEMPLATE}",
    ]
    assert await forms.menu("issue-badge", "company") == ["", "Acme · acme"]
    assert await forms.menu("issue-badge", "project") == ["", "Bridge · bridge"]
    assert await forms.menu("issue-badge", "user") is None
    assert (await see(refresh_menus)).message == "2 badge templates read; 0 forms changed"


async def test_each_form_that_changes_an_entry_refreshes_it(world: World, standin: Standin, forms: Forms) -> None:
    await world.disconnect()
    connection = {"organization_id": ORGANIZATION, "token_block": BLOCK, "environment": Environment.OTHER}
    of_template = f"Forklift (active) · {TEMPLATE}"

    await see(connect_portal, portal="Northwind (not connected) · northwind", base_url=world.base_url, **connection)

    assert await forms.menu("connect-portal", "portal") == ["Northwind (connected) · northwind"]
    assert await forms.menu("enable-credly", "badge_template_id") == [of_template]

    (off,) = await forms.menu("enable-credly", "achievement") or []
    enabled = await see(enable_credly, achievement=off, badge_template_id=of_template)
    (on,) = await forms.menu("enable-credly", "achievement") or []
    await see(pause_credly, achievement=on)
    (paused,) = await forms.menu("enable-credly", "achievement") or []
    await see(disable_credly, achievement=paused)

    assert enabled.message == "Credly enabled on forklift; 0 badges due at once"
    assert [off, on, paused] == [f"Forklift ({status}) · forklift" for status in ("off", "on", "paused")]
    assert await forms.menu("enable-credly", "achievement") == [off]


async def test_a_template_is_also_entered_by_the_address_of_its_page(world: World) -> None:
    address = f"https://www.credly.com/organizations/{ORGANIZATION}/badge_templates/{TEMPLATE}/edit"

    assert (await see(enable_credly, achievement="forklift", badge_template_id=address)).name == "Completed"


async def test_an_entry_that_is_gone_gets_one_sentence(world: World) -> None:
    gone = await refused(enable_credly, achievement="Old one (on) · old-1", badge_template_id=TEMPLATE)

    assert gone == "achievement: there is no achievement `old-1`. Did you mean forklift (Forklift)?"


async def test_a_template_of_another_portal_gets_one_sentence(world: World, standin: Standin, forms: Forms) -> None:
    of_other = {**a_template(9, "Harbour pilot"), "organization_id": SECOND_ORGANIZATION}
    standin.seed(
        organizations=[{"id": SECOND_ORGANIZATION, "name": "Harbour"}],
        tokens=[{"token": "invented-token-of-harbour", "organization_id": SECOND_ORGANIZATION}],
        templates=[of_other],
    )
    await a_portal(world.database, "harbour")
    await world.put_token("invented-token-of-harbour", block="credly-harbour")
    await world.connect("harbour", organization_id=SECOND_ORGANIZATION, token_block="credly-harbour")
    await see(refresh_menus)
    entries = await forms.menu("enable-credly", "badge_template_id") or []

    wrong = await refused(enable_credly, achievement="forklift", badge_template_id=entries[1])

    assert entries == [
        f"Forklift (Northwind, active) · {TEMPLATE}",
        f"Harbour pilot (Harbour, active) · {of_other['id']}",
    ]
    assert wrong == (
        f"badge_template_id: organization `{ORGANIZATION}` has no template `{of_other['id']}`; it is of organization "
        f"`{SECOND_ORGANIZATION}`. Did you mean {TEMPLATE} (Forklift)?"
    )


async def test_templates_are_renamed_and_deleted_at_credly_and_kept_while_it_cannot_be_read(
    world: World, standin: Standin, forms: Forms
) -> None:
    standin.seed(templates=[a_template(2, "Crane")])
    await see(refresh_menus)
    standin.seed(templates=[a_template(2, "Tower crane")])
    standin.template_state(TEMPLATE, "archived")

    await see(refresh_menus)
    renamed = [f"Forklift (archived) · {TEMPLATE}", f"Tower crane (active) · {TEMPLATE[:-1]}2"]
    assert await forms.menu("enable-credly", "badge_template_id") == renamed

    await world.put_token("not-a-token")
    seen = await see(refresh_menus)

    assert (seen.name, seen.message) == (
        "Needs attention",
        "0 badge templates read; 0 forms changed; 1 organization not read",
    )
    assert "Credly refused the token in Secret block" in seen.page
    assert await forms.menu("enable-credly", "badge_template_id") == renamed


async def test_a_deployment_that_lost_its_menus_has_them_again_after_the_next_scheduled_run(
    world: World, forms: Forms
) -> None:
    for name in FORMS:
        await forms.deploy(name)

    await reconcile()

    assert await forms.menu("enable-credly", "achievement") == ["Forklift (off) · forklift"]
    assert await forms.menu("connect-portal", "portal") == ["Northwind (connected) · northwind"]


async def test_above_a_thousand_entries_a_field_stays_text(world: World, forms: Forms) -> None:
    many = [{"id": f"c-{number}", "name": "Company"} for number in range(MOST_ENTRIES - 1)]
    await world.do(insert(table(Company)).values(many))
    assert len(await menus_of(world, forms, "company") or []) == MOST_ENTRIES + 1

    await world.add(Company, id="one-more", name="Company")

    assert await menus_of(world, forms, "company") is None
    assert await menus_of(world, forms, "project") == ["", "Bridge · bridge"]


async def test_the_schedule_loses_no_run_to_a_menu(world: World, forms: Forms) -> None:
    await forms.deploy("reconcile", schedules=[first_run_in(timedelta(seconds=30))])
    await forms.deploy("report", schedules=[first_run_in(timedelta(hours=1))])
    for name in ("reconcile", "report"):
        await asyncio.to_thread(until, partial(planned, forms.ids[name]), what=f"a run of {name} is planned")

    await publish_menus(world.database, forms.client)

    assert await forms.menu("report", "portal") is not None
    assert await forms.menu("reconcile", "portal") is None


async def menus_of(world: World, forms: Forms, field: str) -> list[str] | None:
    await publish_menus(world.database, forms.client)
    return await forms.menu("issue-badge", field)


def first_run_in(span: timedelta) -> DeploymentScheduleCreate:
    daily = IntervalSchedule(interval=timedelta(days=1), anchor_date=datetime.now(UTC) + span)
    return DeploymentScheduleCreate(schedule=daily, active=True)


def planned(deployment: UUID) -> bool:
    """Whether a run of the deployment's schedule is planned."""
    with get_client(sync_client=True) as client:
        of_deployment = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
        return bool(client.read_flow_runs(deployment_filter=of_deployment, limit=1))


def a_template(number: int, name: str, *, state: str = "active") -> dict[str, Any]:
    return {"id": f"{TEMPLATE[:-1]}{number}", "organization_id": ORGANIZATION, "name": name, "state": state}
