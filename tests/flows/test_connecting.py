"""Connecting a portal to Credly and taking that back, as a portal administrator does, with every mistake in words."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError

from flows.connect_portal import connect_portal
from flows.disconnect_portal import disconnect_portal
from flows.reconcile import reconcile
from models.ledger.tables import BadgeIssuance
from models.setup import rate_limit
from models.setup.tables import CredlyConnection, CredlyIntegration
from rules.forms.inputs import Environment, InvalidInput
from tasks.forms.connections import address_of
from tests.support.factories import a_portal, change, rows_of, the_row_of
from tests.support.seen import log_of, refused, see
from tests.support.standin import Standin
from tests.support.world import BLOCK, ORGANIZATION, TOKEN, World

ANOTHER_ORGANIZATION = "0b0b0b0b-0000-4000-8000-000000000002"


def form(world: World, **changes: Any) -> dict[str, Any]:
    filled = {
        "portal": "northwind",
        "organization_id": ORGANIZATION,
        "token_block": BLOCK,
        "environment": Environment.OTHER,
        "base_url": world.base_url,
    }
    return filled | changes


@pytest.mark.prefect
async def test_a_portal_is_connected_once_credly_accepts_token_and_organization(
    any_world: World, standin: Standin
) -> None:
    await any_world.disconnect()
    filled = form(
        any_world,
        portal=" northwind ",
        organization_id=f" {ORGANIZATION.upper()}\n",
        token_block=f"{BLOCK} ",
        base_url=f"{any_world.base_url}/",
        missing_name="\u202e - \u200b",
    )

    seen = await see(connect_portal, **filled)

    assert (seen.name, seen.title) == ("Completed", "connect northwind")
    assert seen.message == "Portal northwind connected: Credly organization Northwind"
    assert "It ends on " in seen.page
    assert "in 179 days." in seen.page
    assert "3 calls a second" in seen.page
    row = await the_row_of(any_world.database, CredlyConnection)
    assert (row.portal_id, row.organization_id, row.token_block) == ("northwind", ORGANIZATION, BLOCK)
    assert (row.base_url, row.calls_per_second, row.missing_name) == (any_world.base_url, 3.0, "-")
    assert row.token_ends_at - datetime.now(UTC) > timedelta(days=179)
    assert {request["method"] for request in standin.requests()} == {"GET"}
    assert TOKEN not in seen.page


async def test_connecting_again_changes_the_connection_and_a_token_near_its_end_is_said_loudly(
    world: World, standin: Standin
) -> None:
    ends_at = datetime.now(UTC) + timedelta(days=13, hours=1)
    standin.seed(tokens=[{"token": TOKEN, "organization_id": ORGANIZATION, "expires_at": f"{ends_at:%FT%T.000Z}"}])

    seen = await see(connect_portal, **form(world, calls_per_second=7.5))

    assert seen.name == "Needs attention"
    assert seen.message.startswith("Portal northwind connection changed: Credly organization Northwind.")
    assert f"Replace it now.** It ends on {ends_at:%Y-%m-%d}, in 13 days." in seen.page
    assert (await the_row_of(world.database, CredlyConnection)).calls_per_second == 7.5


async def test_a_pace_that_was_much_too_slow_is_corrected_at_once(world: World) -> None:
    """0.0001 calls a second, as an earlier version took: each call reserves hours."""
    await world.change_connection(calls_per_second=0.0001)
    key = rate_limit.key_of(world.base_url, ORGANIZATION)
    await world.database.write(rate_limit.book, key, seconds=30_000)

    async with asyncio.timeout(60):
        seen = await see(connect_portal, **form(world))

    assert seen.message.startswith("Portal northwind connection changed")
    assert await world.database.write(rate_limit.book, key, seconds=1) < 60


@pytest.mark.parametrize(("chosen", "said"), [({}, "no"), ({"deletion_withdraws": True}, "yes")])
async def test_whether_a_deleted_award_is_withdrawn_is_chosen_in_the_form_and_is_off_by_itself(
    world: World, chosen: dict[str, Any], said: str
) -> None:
    await world.change_connection(deletion_withdraws=not chosen)

    seen = await see(connect_portal, **form(world, **chosen))

    assert (await the_row_of(world.database, CredlyConnection)).deletion_withdraws is bool(chosen)
    assert f"| Deleted awards count as withdrawn | {said} |" in seen.page


async def test_a_long_name_of_an_organization_is_shown_as_one_line_of_its_beginning(
    world: World, standin: Standin
) -> None:
    row = json.dumps({"data": {"id": ORGANIZATION, "name": "North\n wind" + "d" * 33_000}})
    standin.fault("answer", path=f"{ORGANIZATION}$", status=200, content=row)

    seen = await see(connect_portal, **form(world))

    assert seen.message == f"Portal northwind connection changed: Credly organization North wind{'d' * 90}"


async def test_a_token_that_does_not_say_when_it_ends_is_connected_all_the_same(world: World, standin: Standin) -> None:
    standin.fault("answer", path="authorization_tokens$", status=403, content="{}")
    unlisted = await see(connect_portal, **form(world))
    standin.fault("answer", path="authorization_tokens$", status=200, content='{"data": [], "metadata": {}}')
    empty = await see(connect_portal, **form(world))

    for seen in (unlisted, empty):
        assert seen.name == "Completed"
        assert "Credly does not show when it ends; 180 days after connecting are assumed." in seen.page
    assert (await the_row_of(world.database, CredlyConnection)).token_ends_at is None


async def test_who_names_no_portal_is_told_near_names(world: World) -> None:
    await a_portal(world.database, "southwind", name="South | <b>Wind</b>")

    said = await refused(connect_portal, **form(world, portal="nortwind"))
    assert said == (
        "portal: there is no portal `nortwind`. Did you mean northwind (Northwind), southwind (South | <b>Wind</b>)?"
    )

    seen = await see(connect_portal, **form(world, portal="southwind</b>" * 4))
    assert seen.message.startswith("portal: there is no portal `southwind</b>southwind</b>")
    assert re.search(r"(?<!\\)<", seen.page) is None


@pytest.mark.parametrize("portal", ["نورثويند", "🏅", "{portal}", "north\x00wind'; --"])
async def test_an_odd_portal_is_no_portal(any_world: World, portal: str) -> None:
    said = await refused(disconnect_portal, portal=portal)

    assert said.startswith("portal: there is no portal `")
    assert said.endswith("`. Did you mean northwind (Northwind)?")


@pytest.mark.prefect
async def test_what_is_wrong_with_the_block_is_said_and_credly_is_not_called(world: World, standin: Standin) -> None:
    said = await refused(connect_portal, **form(world, token_block="northwind"))
    assert said == (
        f"token_block: there is no Secret block named `northwind`. Did you mean {BLOCK}? Create it in Prefect under "
        "Blocks (type Secret), with Credly's authorization token as its value."
    )
    # It may be the token, which is not repeated. Prefect's server refuses it before a run exists.
    for name in ("Credly Northwind", "secret/credly-northwind", "Zx9-Invented_Token==", "بلوك🏅"):
        seen = await see(connect_portal, **form(world, token_block=name))
        assert seen.message.endswith(
            "token_block: 'the name of a Secret block: at most 100 lowercase letters, digits and dashes' was expected"
        )
    assert (await refused(connect_portal, **form(world, token_block=" "))).startswith("token_block: it is empty.")
    assert standin.requests() == []


@pytest.mark.parametrize(
    ("pasted", "fault"),
    [
        (f"{TOKEN};", "it ends with a semicolon, which is not part of the token"),
        (f"{TOKEN}:", "it ends with a colon, which is not part of the token"),
        (f" {TOKEN}", "it has blanks or a line end around it"),
        (f"{TOKEN}\n", "it has blanks or a line end around it"),
        (f'{{"token": "{TOKEN}"}}', "it is JSON; enter the token alone"),
    ],
)
async def test_a_token_that_was_pasted_with_something_else_is_recognized(
    world: World, standin: Standin, pasted: str, fault: str
) -> None:
    await world.put_token(pasted)

    seen = await see(connect_portal, **form(world))

    assert seen.message == f"token_block: the token in `{BLOCK}` cannot be used: {fault}. Enter it again."
    assert TOKEN not in seen.message + seen.page
    assert standin.requests() == []


@pytest.mark.prefect
async def test_a_block_that_holds_no_text_is_no_token(world: World, standin: Standin) -> None:
    values: list[Any] = [{"token": TOKEN}, [TOKEN], 1e5, True, None]
    for value in values:
        await Secret(value=value).asave(BLOCK, overwrite=True)
        seen = await see(connect_portal, **form(world))

        assert seen.message == (
            f"token_block: `{BLOCK}` holds a JSON value and no text: enter Credly's token there as text."
        )
        assert TOKEN not in seen.page
    await world.enable()
    await world.award("ada")
    await reconcile(return_state=True)
    assert [(row.state, row.reason) for row in await world.ledger()] == [("blocked", "token_missing")]
    assert standin.requests() == []


@pytest.mark.prefect
async def test_a_token_that_prefect_would_read_as_json_works(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("ada")
    tokens: list[Any] = ["1e5", "true", "9" * 5_000, '"quoted"', 42, "4711"]
    for token in tokens:
        standin.seed(tokens=[{"token": str(token).strip('"'), "organization_id": ORGANIZATION}])
        await Secret(value=token).asave(BLOCK, overwrite=True)
        assert (await see(connect_portal, **form(world))).name == "Completed"

    await reconcile(return_state=True)
    assert [row.state for row in await world.ledger()] == ["issued"]


async def test_what_credly_refuses_is_said_and_nothing_is_stored(world: World, standin: Standin) -> None:
    before = await the_row_of(world.database, CredlyConnection)
    standin.seed(
        organizations=[{"id": ANOTHER_ORGANIZATION, "name": "Southwind"}],
        tokens=[
            {"token": "reads-only", "organization_id": ORGANIZATION, "write_enabled": False, "delete_enabled": False}
        ],
    )

    nobodys = ANOTHER_ORGANIZATION.replace("2", "3")
    assert await refused(connect_portal, **form(world, organization_id=nobodys)) == (
        f"organization_id: Credly has no organization `{nobodys}` at `{world.base_url}`. Correct the id, or the "
        "address in base_url."
    )
    assert await refused(connect_portal, **form(world, organization_id=ANOTHER_ORGANIZATION)) == (
        f"token_block: the token in Secret block `{BLOCK}` may not do this for organization `{ANOTHER_ORGANIZATION}`. "
        "Use a token of that organization, with write permission."
    )
    await world.put_token("of-nobody")
    assert await refused(connect_portal, **form(world)) == (
        f"token_block: Credly refused the token in Secret block `{BLOCK}`. Put a valid one there."
    )
    await world.put_token("reads-only")
    assert await refused(connect_portal, **form(world)) == (
        f"token_block: the token in `{BLOCK}` may only read. Issuing badges needs a token with write permission."
    )
    assert await the_row_of(world.database, CredlyConnection) == before


async def test_a_form_waits_its_turn_after_throttling(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.configure(monkeypatch, THROTTLE_PAUSE_DEFAULT="0.01")
    standin.fault("answer", status=429, count=4)

    state = await connect_portal(**form(world), return_state=True)

    assert state.is_completed()
    assert [request["status"] for request in standin.requests()][:5] == [429, 429, 429, 429, 200]


async def test_trouble_on_the_way_to_credly_is_said_and_nothing_is_stored(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.configure(monkeypatch, THROTTLE_PAUSE_DEFAULT="0.01")
    nowhere = "http://127.0.0.1:1/v1"
    assert await refused(connect_portal, **form(world, base_url=nowhere)) == (
        f"base_url: `{nowhere}` could not be reached. Check the address and the network."
    )
    standin.fault("answer", status=429, count=5)
    assert await refused(connect_portal, **form(world)) == (
        "Credly asked for fewer calls. Nothing was changed; try again in a minute."
    )
    standin.fault("answer", status=503, content="<html><body>ada@example.org</body></html>")
    said = await refused(connect_portal, **form(world))
    assert said.startswith("Credly gave no usable answer (status 503, http_503, request ")
    assert said.endswith("). Nothing was changed; try again.")
    assert "@" not in said
    standin.fault("drop")
    said = await refused(connect_portal, **form(world))
    assert said.startswith(f"base_url: `{world.base_url}` gave no complete answer (remote_protocol_error, request ")
    assert said.endswith("). Nothing was changed. Try again; if it stays, check the address and the network.")


async def test_an_address_of_something_else_names_the_field_and_the_cure(world: World, standin: Standin) -> None:
    cure = "Nothing was changed. Enter the API's address with its version, such as https://api.credly.com/v1"
    without = world.base_url.removesuffix("/v1")
    said = await refused(connect_portal, **form(world, base_url=without))
    assert said.startswith(
        f"base_url: what answered at `{without}` is not Credly's API (status 200, unparsable_reply, "
    )
    assert said.endswith(f"{cure}; did you mean `{without}/v1`?")

    for status, content in (
        (200, "<!doctype html><title>Credly</title>"),
        (200, '{"status": "ok"}'),
        (301, ""),
        (303, ""),
        (308, '{"data": {"id": "x"}}'),
        (400, "<html></html>"),
        (401, "<html></html>"),
        (403, "Forbidden"),
        (405, ""),
    ):
        standin.fault("answer", status=status, content=content, headers={"Location": "/elsewhere"})
        said = await refused(connect_portal, **form(world))
        assert said.startswith(f"base_url: what answered at `{world.base_url}` is not Credly's API (status {status}, ")
        assert said.endswith(f"{cure}.")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"environment": Environment.SANDBOX},
            "base_url: leave it empty for sandbox, or choose the environment 'other'.",
        ),
        ({"base_url": " "}, "base_url: the environment 'other' needs an address, such as http://127.0.0.1:8090/v1."),
        (
            {"organization_id": "x" * 64},
            f"organization_id: `{'x' * 59}…` is not an id of Credly. Those look like "
            "1a2b3c4d-1234-4abc-8def-1a2b3c4d5e6f; copy it from the address of the page at Credly.",
        ),
    ],
)
async def test_a_field_that_cannot_be_meant_is_named(world: World, changes: dict[str, Any], said: str) -> None:
    assert await refused(connect_portal, **form(world, **changes)) == said


@pytest.mark.prefect
async def test_disconnecting_blocks_what_waits_until_the_portal_is_connected_again(
    any_world: World, standin: Standin
) -> None:
    await any_world.enable(paused_at=datetime.now(UTC))
    await any_world.award("ada")
    await reconcile(return_state=True)

    seen = await see(disconnect_portal, portal="northwind")

    assert (seen.name, seen.title) == ("Completed", "disconnect northwind")
    assert seen.message == (
        "Portal northwind disconnected; 1 waiting badge blocked until the portal is connected again"
    )
    assert "The token is still in its Secret block" in seen.page
    assert await rows_of(any_world.database, CredlyConnection) == []
    row = await the_row_of(any_world.database, BadgeIssuance)
    assert (row.state, row.reason) == ("blocked", "portal_not_connected")

    twice = await see(disconnect_portal, portal="northwind")
    assert (twice.name, twice.message) == ("Completed", "Nothing to do: portal northwind is not connected to Credly")

    await see(connect_portal, **form(any_world))
    await change(any_world.database, CredlyIntegration, 1, paused_at=None)
    await reconcile(return_state=True)
    assert len(standin.badges()) == 1


@pytest.mark.parametrize(
    "typed",
    [
        "ftp://credly.example.org",
        "credly.example.org/v1",
        "https://",
        "https://[::1/v1",
        "https://credly.example.org:x/v1",
        "https://me:s3cret@credly.example.org/v1",
        "https://credly.example.org:s3cret/v1",
        "https://credly.example.org/v1?page=s3cret",
        "https://credly.example.org/v1#s3cret",
        "https://credly..example.org/v1",
        "<b>&",
    ],
)
def test_what_is_no_address_of_an_api_is_refused_and_not_repeated(typed: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        address_of(Environment.OTHER, typed)

    look, begin = "look like https://api.credly.com/v1", "begin with https://"
    assert re.match(f"base_url: it must ({look}|{begin})", str(refused.value))
    assert not re.search("example|s3cret|<b>", str(refused.value))


@pytest.mark.prefect
async def test_a_password_in_the_address_is_never_repeated(world: World) -> None:
    own = "base_url: it must look like https://api.credly.com/v1, without user, password"
    of_schema = "base_url: 'text of at most 255 characters, without an e-mail address' was expected"
    for address, words in (
        ("https://me:s3cret@credly.example.org/v1", of_schema),
        ("me:s3cret@credly.example.org", of_schema),
        ("https://x?key=s3cret", own),
    ):
        seen = await see(connect_portal, **form(world, base_url=address))
        assert words in seen.message
        assert "s3cret" not in seen.message + seen.page + "".join(await log_of(seen.run_id))


@pytest.mark.prefect
async def test_a_password_in_the_address_is_refused_before_a_run_exists(world: World) -> None:
    deployment = await connect_portal.ato_deployment("as-in-the-form", entrypoint_type="module_path")  # type: ignore[arg-type]
    deployment_id = UUID(str(await deployment.aapply()))
    async with get_client() as client:
        with pytest.raises(PrefectHTTPStatusError, match="409"):
            await client.create_flow_run_from_deployment(
                deployment_id, parameters=form(world, base_url="https://me:s3cret@credly.example.org/v1")
            )


@pytest.mark.parametrize("host", ["credly.example.org", "192.0.2.1"])
def test_a_token_is_sent_in_the_open_to_this_machine_only(host: str) -> None:
    with pytest.raises(InvalidInput, match="must begin with https://"):
        address_of(Environment.OTHER, f"http://{host}/v1")
    assert address_of(Environment.OTHER, "http://localhost:8090/v1/") == "http://localhost:8090/v1"


def test_production_and_sandbox_have_addresses_of_their_own() -> None:
    assert address_of(Environment.PRODUCTION, "") == "https://api.credly.com/v1"
    assert address_of(Environment.SANDBOX, " ") == "https://sandbox-api.credly.com/v1"
