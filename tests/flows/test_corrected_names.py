"""A name that is corrected after the badge was issued, from the platform to Credly."""

from datetime import timedelta
from typing import Any

import pytest

from flows.enable_credly import enable_credly
from models.platform.tables import User
from models.setup.tables import CredlyIntegration
from rules.forms.inputs import WhenDataChanges
from rules.monitoring.alerts import NAMES_HELD
from tests.support.running import run_reconcile as run
from tests.support.seen import events_of
from tests.support.standin import Standin
from tests.support.world import TEMPLATE, World


@pytest.fixture(autouse=True)
async def _prepare(world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    world.configure(monkeypatch, RETRIES="0")
    standin.allow_duplicates(TEMPLATE)
    await world.enable(when_data_changes=WhenDataChanges.REPLACE)


def shown(standin: Standin) -> dict[str, str | None]:
    """The names on the badges, the oldest first, each with the badge that replaces it."""
    badges = sorted(standin.badges(), key=lambda badge: str(badge["created_at"]))
    return {badge["issued_to_first_name"]: badge["replacement_badge_id"] for badge in badges}


async def the_row(world: World) -> Any:
    (row,) = await world.ledger()
    return row


async def test_the_badge_is_replaced_once_with_the_corrected_name(world: World, standin: Standin) -> None:
    await world.award("ada")
    await run()
    before = await the_row(world)
    await world.change(User, "ada", first_name="Augusta")

    previewed = await run(preview=True)
    state = await run()
    await run(full=True)

    after = await the_row(world)
    assert previewed.message == "Preview, nothing was done: 1 replace"
    assert state.message == "1 issued"
    assert shown(standin) == {"Ada": after.credly_badge_id, "Augusta": None}
    assert (after.state, after.award_id, after.awarded_at) == ("issued", before.award_id, before.awarded_at)
    assert after.issued_at == before.issued_at
    assert after.name_digest != before.name_digest


async def test_a_badge_that_its_earner_rejected_is_not_issued_again_for_a_name(world: World, standin: Standin) -> None:
    await world.award("ada")
    await run()
    standin.as_earner(standin.badges()[0]["id"], "reject")
    await world.change(User, "ada", first_name="Augusta")

    for _ in range(2):
        await run(full=True)

    row = await the_row(world)
    assert [badge["state"] for badge in standin.badges()] == ["rejected"]
    assert (row.state, row.credly_state) == ("issued", "rejected")


async def test_a_name_corrected_while_the_answer_is_outstanding_is_on_the_badge_in_the_end(
    world: World, standin: Standin
) -> None:
    await world.award("ada")
    standin.fault("drop_after", method="POST", path="/badges$")
    await run()
    await world.change(User, "ada", first_name="Augusta")

    for _ in range(3):
        await world.let_time_pass(timedelta(days=2))
        await run()

    row = await the_row(world)
    assert (row.state, row.adopted) == ("issued", False)
    assert shown(standin) == {"Ada": row.credly_badge_id, "Augusta": None}


@pytest.mark.prefect
async def test_a_mass_change_of_names_is_held_until_an_operator_lets_it_through(world: World, standin: Standin) -> None:
    for user in ("ada", "bob"):
        await world.award(user)
    await run()
    for user in ("ada", "bob"):
        await world.change(User, user, first_name="Lovelace")

    held = await run(hold_above=1)
    previewed = await run(preview=True, hold_above=1)
    assert (held.name, previewed.message) == ("Needs attention", "Preview, nothing was done: 2 hold")
    assert "HELD: 2 or more badges would be replaced for corrected names" in str(held.message)
    assert len(standin.badges()) == 2
    (event,) = await events_of(NAMES_HELD, count=1)
    assert event.payload["badges"] == 2

    await run(full=True, hold_above=2)
    assert len(standin.badges()) == 4


async def test_enabling_shows_how_many_badges_have_a_corrected_name(world: World) -> None:
    await world.change_integration(when_data_changes=WhenDataChanges.LEAVE)
    await world.award("ada")
    await run()
    await world.change(User, "ada", last_name="King")
    await run()

    state = await enable_credly("forklift", TEMPLATE, when_data_changes=WhenDataChanges.REPLACE, return_state=True)

    assert "1 badge to be replaced for a corrected name" in str(state.message)
    (integration,) = await world.rows(CredlyIntegration)
    assert integration.when_data_changes is WhenDataChanges.REPLACE
    assert (await run()).message == "1 issued"
