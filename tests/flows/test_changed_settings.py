"""Settings, awards and people that change while the answer to a request is outstanding: it is settled first."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from flows.abandon_calls import abandon_calls
from flows.connect_portal import connect_portal
from flows.disable_credly import disable_credly
from flows.disconnect_portal import disconnect_portal
from flows.enable_credly import enable_credly
from flows.issue_badge import issue_badge
from flows.revoke_withdrawn import revoke_withdrawn
from models.platform.tables import AchievementAward, User, UserEmail
from models.tables import table
from rules.forms.inputs import Environment
from tests.support.running import run_reconcile as run
from tests.support.standin import Standin
from tests.support.world import BLOCK, ORGANIZATION, TEMPLATE, World

ISSUE = {"method": "POST", "path": "/badges$"}
OTHER_TEMPLATE = "7e7e7e7e-0000-4000-8000-000000000002"
OTHER_ORGANIZATION = "0b0b0b0b-0000-4000-8000-000000000002"
TEMPLATE_THERE = "7e7e7e7e-0000-4000-8000-000000000003"
Change = Callable[[World], Awaitable[Any]]
LONG_AGO = datetime.now(UTC) - timedelta(days=90)
LOST = ("drop", "drop_after")  # before Credly has made the badge, and after


@pytest.fixture(autouse=True)
async def _prepare(world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two templates that allow duplicates, and another organization with a template of its own."""
    world.configure(monkeypatch, RETRIES="0")
    standin.seed(
        organizations=[{"id": OTHER_ORGANIZATION, "name": "Southwind"}],
        tokens=[{"token": "invented-token-of-southwind", "organization_id": OTHER_ORGANIZATION}],
        templates=[
            {"id": OTHER_TEMPLATE, "organization_id": ORGANIZATION, "name": "Forklift 2", "state": "active"},
            {"id": TEMPLATE_THERE, "organization_id": OTHER_ORGANIZATION, "name": "Forklift 3", "state": "active"},
        ],
    )
    for template in (TEMPLATE, OTHER_TEMPLATE, TEMPLATE_THERE):
        standin.allow_duplicates(template)
    await world.put_token("invented-token-of-southwind", block="credly-southwind")


async def enable_with(template: str) -> None:
    state = await enable_credly("forklift", template, return_state=True)
    assert state.is_completed(), state.message


async def another_template(_: World) -> None:
    await enable_with(OTHER_TEMPLATE)


async def another_organization(world: World) -> None:
    state = await connect_portal(
        "northwind",
        organization_id=OTHER_ORGANIZATION,
        token_block="credly-southwind",
        environment=Environment.OTHER,
        base_url=world.base_url,
        return_state=True,
    )
    assert state.is_completed(), state.message
    await enable_with(TEMPLATE_THERE)


async def disabled(_: World) -> None:
    await disable_credly("forklift", return_state=True)


async def disabled_and_enabled(world: World) -> None:
    await disabled(world)
    since = datetime.now(UTC) - timedelta(days=30)
    await enable_credly("forklift", OTHER_TEMPLATE, issue_since=since, return_state=True)


async def disconnected(_: World) -> None:
    await disconnect_portal("northwind", return_state=True)


async def archived(world: World) -> None:
    """The usual reason for another template."""
    async with httpx.AsyncClient(base_url=world.base_url.removesuffix("/v1")) as http:
        await http.post(f"/_standin/templates/{TEMPLATE}/state", json={"state": "archived"})
    await enable_with(OTHER_TEMPLATE)


async def withdrawn(world: World) -> None:
    await world.withdraw_all()


async def another_address(world: World) -> None:
    await world.change(UserEmail, "ada", address="ada.lovelace@example.com")


async def no_address(world: World) -> None:
    await world.change(UserEmail, "ada", address="")


CHANGES = (
    another_template,
    archived,
    another_organization,
    disabled,
    disabled_and_enabled,
    disconnected,
    withdrawn,
    another_address,
    no_address,
)


async def lose_the_answer(world: World, standin: Standin, how: str, **settings: Any) -> None:
    await world.enable(**settings)
    await world.award("ada")
    standin.fault(how, **ISSUE)
    await run()
    (row,) = await world.ledger()
    assert (row.state, row.reason) == ("pending", "answer_unclear")


async def later(world: World, times: int = 3) -> None:
    for _ in range(times):
        await world.let_time_pass(timedelta(days=2))
        await run()


@pytest.mark.parametrize("change", CHANGES)
async def test_a_badge_that_was_made_is_found_whatever_has_changed_and_no_second_one_is_made(
    world: World, standin: Standin, change: Change
) -> None:
    await lose_the_answer(world, standin, "drop_after")
    await change(world)

    await later(world)

    (row,), (badge,) = await world.ledger(), standin.badges()
    assert (row.state, row.adopted, row.credly_badge_id) == ("issued", True, badge["id"])
    assert (row.badge_template_id, row.unclear_at, row.sent_to) == (TEMPLATE, None, None)


# What is there in the end where the first request made no badge: state, reason, and the template of the badge.
NOT_MADE: dict[Change, tuple[str, str | None, str | None]] = {
    another_template: ("issued", None, OTHER_TEMPLATE),
    archived: ("issued", None, OTHER_TEMPLATE),
    another_organization: ("issued", None, TEMPLATE_THERE),
    disabled: ("cancelled", "integration_removed", None),
    disabled_and_enabled: ("issued", None, OTHER_TEMPLATE),
    disconnected: ("blocked", "portal_not_connected", None),
    withdrawn: ("cancelled", "award_withdrawn", None),
    another_address: ("issued", None, TEMPLATE),
    no_address: ("failed", "no_primary_email", None),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_where_no_badge_was_made_what_has_changed_counts_afterwards(
    world: World, standin: Standin, change: Change
) -> None:
    await lose_the_answer(world, standin, "drop")
    await change(world)

    await later(world)

    (row,) = await world.ledger()
    made = [badge["badge_template"]["id"] for badge in standin.badges()]
    state, reason, template = NOT_MADE[change]
    assert (row.state, row.reason, made) == (state, reason, [template] if template else [])
    assert (row.unclear_at, row.sent_to) == (None, None)


async def test_a_badge_whose_award_was_withdrawn_meanwhile_is_found_and_revoked(world: World, standin: Standin) -> None:
    await lose_the_answer(world, standin, "drop_after", revoke_when_withdrawn=True)
    await world.withdraw_all()

    await later(world)
    await revoke_withdrawn(return_state=True)

    assert [badge["state"] for badge in standin.badges()] == ["revoked"]
    assert [(row.state, row.reason) for row in await world.ledger()] == [("cancelled", "award_withdrawn")]


@pytest.mark.prefect
@pytest.mark.parametrize("how", LOST)
async def test_by_hand_the_former_request_is_settled_and_the_badge_issued_at_once(
    world: World, standin: Standin, how: str
) -> None:
    await lose_the_answer(world, standin, how)
    await another_template(world)

    state = await issue_badge(user="ada", achievement="forklift", return_state=True)

    assert str(state.message).startswith("Issued forklift to ada"), state.message
    (badge,) = standin.badges()
    assert badge["badge_template"]["id"] == (OTHER_TEMPLATE if how == "drop" else TEMPLATE)


async def test_by_hand_a_request_to_a_former_organization_is_settled_there(world: World, standin: Standin) -> None:
    await lose_the_answer(world, standin, "drop_after")
    await another_organization(world)

    state = await issue_badge(user="ada", achievement="forklift", return_state=True)
    await later(world, 1)

    assert "Not issued forklift to ada" in str(state.message)
    (row,), (badge,) = await world.ledger(), standin.badges()
    assert (row.state, row.credly_badge_id) == ("issued", badge["id"])


async def test_calls_to_an_organization_that_cannot_be_asked_any_more_are_given_up(
    world: World, standin: Standin
) -> None:
    await lose_the_answer(world, standin, "drop")
    await another_organization(world)
    await world.put_token("no-token-of-any-organization")
    await later(world)
    assert [row.reason for row in await world.ledger()] == ["token_refused"]

    preview = await abandon_calls("northwind", ORGANIZATION, return_state=True)
    before = await world.ledger()
    done = await abandon_calls("northwind", ORGANIZATION, preview=False, return_state=True)
    again = await abandon_calls("northwind", ORGANIZATION, preview=False, return_state=True)
    await later(world)

    assert "1 outstanding call of portal northwind would be given up" in str(preview.message)
    assert (before[0].sent_to, str(done.message)[:35]) == (1, "1 outstanding call of portal northw")
    assert "no call of portal" in str(again.message)
    (row,), (badge,) = await world.ledger(), standin.badges()
    assert (row.state, badge["badge_template"]["id"]) == ("issued", TEMPLATE_THERE)


async def test_the_token_of_an_organization_is_not_overwritten_while_a_call_to_it_is_outstanding(
    world: World, standin: Standin
) -> None:
    await lose_the_answer(world, standin, "drop_after")
    await world.put_token("invented-token-of-southwind")

    state = await connect_portal(
        "northwind",
        organization_id=OTHER_ORGANIZATION,
        token_block=BLOCK,
        environment=Environment.OTHER,
        base_url=world.base_url,
        return_state=True,
    )

    assert str(state.message).startswith("token_block: 1 badge of this portal may have been made in organization")
    assert (await world.connection()).organization_id == ORGANIZATION


async def merge(world: World, former: str, into: str) -> None:
    """Two accounts of one person: the awards and the address of the one become the other's, and it is gone."""
    awards = table(AchievementAward)
    await world.do(update(awards).where(awards.c.user_id == former).values(user_id=into))
    await world.do(table(UserEmail).delete().where(table(UserEmail).c.user_id == into))
    await world.change(UserEmail, former, user_id=into)
    await world.do(table(User).delete().where(table(User).c.id == former))


@pytest.mark.parametrize("duplicates", [True, False])
async def test_accounts_that_are_merged_have_one_badge_and_nobody_s_is_revoked(
    world: World, standin: Standin, duplicates: bool
) -> None:
    standin.control("POST", f"templates/{TEMPLATE}/duplicates", {"allowed": duplicates})
    await world.change_connection(deletion_withdraws=True)
    await world.enable(revoke_when_withdrawn=True)
    await world.award("ada")
    await run()
    await merge(world, "ada", "bob")

    await revoke_withdrawn(return_state=True)
    await later(world)
    await revoke_withdrawn(return_state=True)

    (row,), (badge,) = await world.ledger(), standin.badges()
    assert (row.user_id, row.state, row.credly_badge_id) == ("bob", "issued", badge["id"])
    assert badge["state"] == "pending"


async def test_awards_that_are_loaded_again_under_other_ids_move_no_badge(world: World, standin: Standin) -> None:
    """Their ids are exchanged: ada's is now the id of bob's."""
    await world.enable()
    first = await world.award("ada")
    await run()
    await world.award("bob", awarded_at=datetime.now(UTC) - timedelta(minutes=30))
    await world.do(table(AchievementAward).delete())
    await world.add(AchievementAward, id=first, achievement_id="forklift", user_id="bob", awarded_at=datetime.now(UTC))
    await world.add(AchievementAward, id="other", achievement_id="forklift", user_id="ada", awarded_at=LONG_AGO)

    await later(world)

    rows = {row.user_id: row.credly_badge_id for row in await world.ledger() if row.state == "issued"}
    assert rows == {badge["issuer_earner_id"]: badge["id"] for badge in standin.badges()}
    assert set(rows) == {"ada", "bob"}


@pytest.mark.parametrize("how", LOST)
async def test_an_account_is_merged_although_its_badge_was_given_up_on(
    world: World, standin: Standin, how: str
) -> None:
    await lose_the_answer(world, standin, how)
    await world.change_row(1, state="issuing", reason=None, claim="run-1", lease_until=datetime.now(UTC))
    await world.change_row(1, state="failed", reason="attempts_used_up", claim=None, lease_until=None)
    await merge(world, "ada", "bob")

    await later(world, 4)

    (row,), (badge,) = await world.ledger(), standin.badges()
    assert (row.user_id, row.state, row.credly_badge_id) == ("bob", "issued", badge["id"])


@pytest.mark.parametrize("how", LOST)
async def test_accounts_that_are_merged_while_an_answer_is_outstanding_have_one_badge(
    world: World, standin: Standin, how: str
) -> None:
    await lose_the_answer(world, standin, how)
    await merge(world, "ada", "bob")

    await later(world, 4)

    (row,), (badge,) = await world.ledger(), standin.badges()
    assert (row.user_id, row.state, row.credly_badge_id) == ("bob", "issued", badge["id"])


async def test_a_connection_that_changes_while_a_run_is_under_way_is_used_from_the_next_request_on(
    world: World, standin: Standin
) -> None:
    await world.enable()
    for number in range(30):
        await world.add_user(f"user-{number}")
        await world.award(f"user-{number}")
    standin.fault("hold", **ISSUE, count=1)
    running = asyncio.create_task(run())
    await asyncio.to_thread(standin.until_held, 1)
    await another_organization(world)
    standin.control("POST", "release", {})
    await running

    await later(world)

    rows = await world.ledger()
    assert {row.state for row in rows} == {"issued"}
    assert sorted(row.credly_badge_id for row in rows) == sorted(badge["id"] for badge in standin.badges())
    assert len(rows) == 30
