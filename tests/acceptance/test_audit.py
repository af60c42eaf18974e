"""What became of badges at Credly comes back into the ledger; those of withdrawn awards are revoked where asked for."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from flows.audit import audit
from flows.revoke_withdrawn import revoke_withdrawn
from models.ledger import BadgeIssuance
from models.platform import AchievementAward
from models.tables import table
from tests.support.running import run_reconcile
from tests.support.standin import Standin
from tests.support.world import TOKEN, World

issuances = table(BadgeIssuance)


async def issued(world: World, *users: str, **settings: Any) -> dict[str, str]:
    """Badges that were issued two hours ago, by user."""
    await world.enable(**settings)
    for user in users:
        await world.award(user)
    await run_reconcile()
    async with world.database.writing() as connection:
        recorded_at = datetime.now(UTC) - timedelta(hours=2)
        await connection.execute(update(issuances).values(recorded_at=recorded_at))
    return {row.user_id: row.credly_badge_id for row in await world.ledger()}


async def states(world: World) -> dict[str, str | None]:
    return {row.user_id: row.credly_state for row in await world.ledger()}


async def withdraw(world: World, user: str) -> None:
    async with world.database.writing() as connection:
        awards = table(AchievementAward)
        await connection.execute(update(awards).where(awards.c.user_id == user).values(withdrawn_at=datetime.now(UTC)))


async def test_states_at_credly_come_into_the_ledger(any_world: World, standin: Standin) -> None:
    badges = await issued(any_world, "ada", "bob")
    standin.as_earner(badges["ada"], "accept")

    state = await audit(return_state=True)

    assert await states(any_world) == {"ada": "accepted", "bob": "pending"}
    assert (state.name, state.message) == ("Completed", "2 badges at Credly compared with the ledger")
    assert len(standin.mails()) == 2


async def test_what_ended_at_credly_is_told_once(world: World, standin: Standin) -> None:
    badges = await issued(world, "ada", "bob")
    standin.as_earner(badges["ada"], "reject")
    standin.erase(badges["bob"], token=TOKEN)

    first = await audit(portal="northwind", return_state=True)
    second = await audit(return_state=True)

    assert await states(world) == {"ada": "rejected", "bob": "deleted"}
    assert first.name == "Needs a person"
    assert "2 revoked, rejected or deleted since the last audit" in str(first.message)
    assert second.message == "1 badge at Credly compared with the ledger"


async def test_a_badge_that_lists_lack_is_read_by_its_id(world: World, standin: Standin) -> None:
    await issued(world, "ada")
    standin.settings(list_lag_seconds=3600)

    await audit(return_state=True)

    assert await states(world) == {"ada": "pending"}


async def test_strange_badges_and_withdrawn_awards_are_named(world: World, standin: Standin) -> None:
    await issued(world, "ada")
    await world.issue_elsewhere(recipient_email="x@example.org", issuer_earner_id="x")
    await withdraw(world, "ada")

    state = await audit(return_state=True)

    assert "1 that Laurel did not issue" in str(state.message)
    assert "1 whose award was withdrawn" in str(state.message)
    assert state.name == "Needs a person"
    assert {badge["state"] for badge in standin.badges()} == {"pending"}


async def test_more_than_a_page_of_badges(world: World, standin: Standin) -> None:
    for number in range(60):
        await world.issue_elsewhere(recipient_email=f"user-{number}@example.org", issuer_earner_id=f"user-{number}")

    state = await audit(return_state=True)

    assert "60 that Laurel did not issue" in str(state.message)


@pytest.mark.parametrize("flow", [audit, revoke_withdrawn])
async def test_a_portal_that_is_not_there_is_a_mistake(world: World, flow: Any) -> None:
    state = await flow(portal="nortwind", return_state=True)

    assert state.is_failed()
    assert "Did you mean northwind" in str(state.message)


async def test_a_withdrawn_award_revokes_only_where_that_was_asked_for(world: World, standin: Standin) -> None:
    await issued(world, "ada")
    await withdraw(world, "ada")

    state = await revoke_withdrawn(return_state=True)

    assert (state.message, standin.badges()[0]["state"]) == ("0 badges revoked", "pending")


async def test_a_revoked_badge_is_cancelled_and_a_new_award_makes_it_due_again(
    any_world: World, standin: Standin
) -> None:
    badges = await issued(any_world, "ada", "bob", revoke_when_withdrawn=True, revoke_reason="Not passed after all")
    await withdraw(any_world, "ada")

    state = await revoke_withdrawn(portal="northwind", return_state=True)

    assert state.message == "1 badge revoked"
    found = {badge["id"]: (badge["state"], badge["revocation_reason"]) for badge in standin.badges()}
    assert found == {badges["ada"]: ("revoked", "Not passed after all"), badges["bob"]: ("pending", None)}
    row = next(row for row in await any_world.ledger() if row.user_id == "ada")
    assert (row.state, row.reason, row.revoked_badge_id) == ("cancelled", "award_withdrawn", badges["ada"])

    await any_world.award("ada")
    await run_reconcile()
    assert [b["state"] for b in standin.badges() if b["issuer_earner_id"] == "ada"] == ["revoked", "pending"]


async def test_what_cannot_be_revoked_keeps_its_state_at_credly(world: World, standin: Standin) -> None:
    badges = await issued(world, "ada", "bob", revoke_when_withdrawn=True)
    standin.as_earner(badges["ada"], "reject")
    standin.erase(badges["bob"], token=TOKEN)
    for user in ("ada", "bob"):
        await withdraw(world, user)

    state = await revoke_withdrawn(return_state=True)

    assert state.name == "Needs a person"
    assert await states(world) == {"ada": "rejected", "bob": "deleted"}
    assert (await revoke_withdrawn(return_state=True)).message == "0 badges revoked"


async def test_a_call_without_an_answer_is_made_again_by_the_next_run(world: World, standin: Standin) -> None:
    await issued(world, "ada", revoke_when_withdrawn=True)
    await withdraw(world, "ada")
    standin.fault("drop_after", method="PUT")

    first = await revoke_withdrawn(return_state=True)
    second = await revoke_withdrawn(return_state=True)

    assert (first.message, second.message) == ("0 badges revoked, 1 not: see the log", "1 badge revoked")
    assert [mail["kind"] for mail in standin.mails()] == ["issued", "revoked"]
