"""Real runs make a real Prefect server send messages to a local receiver: what is wrong, and that it is well again."""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from prefect import Flow
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.events.actions import SendNotification
from prefect.flow_engine import run_flow_async
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Failed

from automations.__main__ import apply
from automations.__main__ import main as set_up
from automations.silence import NOTHING_HAS_RUN, Silence
from flows.reconcile import reconcile
from flows.revoke_withdrawn import revoke_withdrawn
from models.platform.tables import AchievementAward
from rules.monitoring.alerts import BADGE_REFUSED, REVOKING_HELD, AlertKind
from tests.support.factories import a_user
from tests.support.prefect_server import running_prefect_server
from tests.support.receiver import Receiver, running_receiver
from tests.support.running import drain_workers, run_reconcile
from tests.support.seen import events_of
from tests.support.standin import Standin
from tests.support.world import ORGANIZATION, SECOND_ORGANIZATION, TOKEN, World

pytestmark = pytest.mark.usefixtures("unmeasured")

PERSONAL = ("Lovelace", "Babbage", "example.org", "invented-token")
STOPPED = "Laurel: Badges of a Credly organization are stopped"
BLOCK = "custom-webhook/operators"


@pytest.fixture(scope="module")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that watches for automations, and looks every second whether something is missing."""
    drain_workers()  # those that another file's tests left would go on sending to their server
    granularity = {"PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S"}
    home = tmp_path_factory.mktemp("alerting-prefect")
    with (
        running_prefect_server(home, settings=granularity) as address,
        temporary_settings({PREFECT_API_URL: address}),
    ):
        yield address
        drain_workers()


@pytest.fixture(scope="module")
def deployment(prefect_api: str) -> UUID:
    with get_client(sync_client=True) as client:
        ids = {
            name: client.create_deployment(client.create_flow_from_name(name), name, tags=["credly", "scheduled"])
            for name in ("reconcile", "issue-organization", "check", "issue-badge")
        }
    return ids["reconcile"]


@pytest.fixture(scope="module")
def set_up_receiver(deployment: UUID) -> Iterator[Receiver]:
    """What receives the messages; set up by the documented command, again as people do, and without the block."""

    async def prepare(url: str) -> None:
        message = {"subject": "{{subject}}", "body": "{{body}}"}
        block = CustomWebhookNotificationBlock(name="operators", url=url, json_data=message)
        await block.asave("operators", overwrite=True)
        assert (await set_up(BLOCK), await set_up("operators"), await set_up()) == (0, 0, 0)
        # Before there are events: Prefect 3.9.1 may fail on one whose automation is changed at that moment.
        async with get_client() as client:
            (silence,) = await client.read_automations_by_name(NOTHING_HAS_RUN)
        assert any(isinstance(action, SendNotification) for action in silence.actions), "the block is not kept"

    with running_receiver() as running:
        asyncio.run(prepare(running.url))
        yield running


@pytest.fixture
def receiver(set_up_receiver: Receiver) -> Receiver:
    set_up_receiver.messages.clear()
    return set_up_receiver


async def run(deployment: UUID) -> None:
    """Run `reconcile` as its deployment does."""
    async with get_client() as client:
        flow_run = await client.create_flow_run_from_deployment(deployment)
    await run_flow_async(cast("Flow[..., Any]", reconcile), flow_run=flow_run, parameters={}, return_type="state")


async def received(receiver: Receiver, subject: str) -> str:
    return await asyncio.to_thread(receiver.until_received, subject)


async def test_a_refused_token_is_told_once_with_what_to_do_and_again_when_it_is_well(
    world: World, standin: Standin, deployment: UUID, receiver: Receiver
) -> None:
    await world.enable()
    await world.award("ada")
    await world.put_token("a-token-that-nobody-made")
    await run(deployment)
    body = await received(receiver, STOPPED)
    assert body.startswith(f"Organization {ORGANIZATION}: Credly refused the portal's token")
    assert "Put a valid token with write permission into the connection's Secret block." in body
    assert "/runs/flow-run/" in body

    await run(deployment)
    await world.put_token()
    await run(deployment)

    assert ORGANIZATION in await received(receiver, "Laurel: Badges of a Credly organization are issued again")
    assert receiver.subjects().count(STOPPED) == 1
    assert len(standin.badges()) == 1
    assert [word for word in PERSONAL for message in receiver.messages if word in str(message)] == []


async def test_a_run_with_a_limit_names_the_organization_that_was_stopped(
    world: World, standin: Standin, deployment: UUID
) -> None:
    await world.enable(badge_template_id="00000000-0000-4000-8000-00000000dead")
    await world.award("ada")
    await run(deployment)  # blocked by its template: its organization is looked at first, and has nothing due
    await world.put_token("a-token-that-nobody-made", block="second")
    await world.second_portal(base_url=world.base_url, token_block="second")
    await world.award("ada", achievement_id="second-achievement")

    await run_reconcile(limit=1)

    name = AlertKind.ORGANIZATION_STOPPED.event
    await events_of(name, count=1, resource=f"laurel.organization.{SECOND_ORGANIZATION}")


async def test_refused_badges_beyond_a_share_are_told(
    world: World, standin: Standin, deployment: UUID, receiver: Receiver
) -> None:
    await world.enable()
    for number in range(5):
        await a_user(world.database, f"person-{number}", email=None)
        await world.award(f"person-{number}")
    await run(deployment)

    body = await received(receiver, "Laurel: Many badges are refused")
    assert body.startswith("5 of the latest 5 badges were refused (100%).")
    lines = re.findall(r"^forklift to (\S+) http\S+/run\?parameters=.*%22user%22%3A%22\1%22", body, re.MULTILINE)
    assert lines == [f"person-{number}" for number in range(5)]

    refused = await events_of(BADGE_REFUSED, count=5)
    ids = sorted(row.id for row in await world.ledger())
    assert sorted(event.payload["issuance"] for event in refused) == ids
    assert {(event.payload["reason"], event.payload["achievement"]) for event in refused} == {
        ("no_primary_email", "forklift")
    }
    assert "laurel.portal.northwind" in {each.id for event in refused for each in event.related}
    assert all(event.payload["form"] in body for event in refused)

    await world.award("ada")
    ends_at = datetime.now(UTC) + timedelta(days=3)
    standin.seed(tokens=[{"token": TOKEN, "organization_id": ORGANIZATION, "expires_at": f"{ends_at:%FT%T.000Z}"}])
    await world.change_connection(token_ends_at=ends_at)
    await run(deployment)
    await received(receiver, "Laurel: Badges are no longer refused in large numbers")
    assert "portal northwind ends at " in await received(receiver, "Laurel: A Credly token ends soon")
    (ending,) = await events_of("laurel.token.ending", count=1)
    assert (ending.resource.id, ending.payload["advice"]) == ("laurel.portal.northwind", AlertKind.TOKEN_ENDS.advice)


async def test_a_failed_run_and_silence_are_told_and_that_runs_end_again(
    world: World, deployment: UUID, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with get_client() as client:
        block = await client.read_block_document_by_name("operators", "custom-webhook")
        check = await client.read_deployment_by_name("check/check")
        short = Silence(issuing=(deployment,), check=check.id, within=timedelta(seconds=10), block=block.id)
        for automation in short.all():
            await apply(automation)
        failing = await client.create_flow_run_from_deployment(deployment, name="a run that fails")
        await client.set_flow_run_state(failing.id, Failed(message="Credly is away"), force=True)
    body = await received(receiver, "Laurel: A scheduled run failed")
    assert body.startswith("a run that fails ended as Failed: Credly is away\nWhat to do: ")

    await run(deployment)
    await received(receiver, "Laurel: reconcile works again")

    body = await received(receiver, "Laurel: Nothing has run")
    assert "check that a worker of the pool “badges” is running" in body
    world.configure(monkeypatch, ALERT_NO_RUN_FOR="10")
    await run(deployment)
    assert "reconcile runs again" in await received(receiver, "Laurel: Runs end again")


async def test_revoking_that_is_held_is_sent_with_what_to_do(
    world: World, deployment: UUID, receiver: Receiver
) -> None:
    await world.enable(revoke_when_withdrawn=True)
    award = await world.award("ada")
    await run(deployment)
    await world.change(AchievementAward, award, withdrawn_at=datetime.now(UTC))

    await revoke_withdrawn(hold_above=0, return_state=True)

    body = await received(receiver, "Laurel: Revoking badges is held")
    assert body.startswith(
        "Portal northwind has 1 badge to revoke, more than 0, so none of them is.\nWhat to do: Check"
    )
    (event,) = await events_of(REVOKING_HELD, count=1)
    assert (event.resource.id, event.payload["badges"]) == ("laurel.portal.northwind", 1)
    assert [word for word in PERSONAL if word in body] == []


async def test_setting_up_twice_makes_no_doubles_and_a_wrong_name_says_which_there_are(
    receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    async with get_client() as client:
        names = [automation.name for automation in await client.read_automations()]
    assert len(names) == len(set(names)) == 19
    assert "Laurel: a run died" in names

    assert await set_up("slack-webhook/nobody") == 1
    assert f"there are: {BLOCK}." in capsys.readouterr().err
