"""What became of badges at Credly comes back into the ledger; those of withdrawn awards are revoked where asked for."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text, update

from flows.audit import audit
from flows.connect_portal import connect_portal
from flows.erase_user import erase_user
from flows.follow_badges import follow_badges
from flows.issue_badge import issue_badge
from flows.revoke_withdrawn import revoke_withdrawn
from models.ledger.tables import BadgeIssuance, IssuanceAttempt
from models.platform.tables import Achievement, AchievementAward, Portal
from models.tables import table
from rules.forms.inputs import Environment, IfBadgeExists
from rules.ledger.erasure import BadgesAtCredly
from rules.ledger.states import IssuanceState
from tests.support.factories import an_issuance
from tests.support.running import run_reconcile
from tests.support.seen import see
from tests.support.standin import Standin
from tests.support.world import ORGANIZATION, SECOND_ORGANIZATION, TOKEN, World

issuances = table(BadgeIssuance)
OTHER_TEMPLATE = "7e7e7e7e-0000-4000-8000-000000000002"


async def issued(world: World, *users: str, **settings: Any) -> dict[str, str]:
    """Badges that were issued two hours ago, by user."""
    await world.enable(**settings)
    for user in users:
        await world.award(user)
    await run_reconcile()
    await world.do(update(issuances).values(recorded_at=datetime.now(UTC) - timedelta(hours=2)))
    return {row.user_id: row.credly_badge_id for row in await world.ledger()}


async def states(world: World) -> dict[str, str | None]:
    return {row.user_id: row.credly_state for row in await world.ledger()}


async def withdraw(world: World, user: str) -> None:
    awards = table(AchievementAward)
    await world.do(update(awards).where(awards.c.user_id == user).values(withdrawn_at=datetime.now(UTC)))


@pytest.mark.parametrize("status", [403, 404])
async def test_where_the_bulk_list_is_not_allowed_the_ordinary_one_is_read(
    world: World, standin: Standin, status: int
) -> None:
    await world.enable()
    for user in ("ada", "bob"):
        await world.award(user)
    await run_reconcile()
    badges = {row.user_id: row.credly_badge_id for row in await world.ledger()}
    standin.as_earner(badges["ada"], "accept")
    standin.fault("answer", path="high_volume", status=status, message="Not in your contract", count=None)

    state = await audit(return_state=True)

    assert "2 badges at Credly compared" in str(state.message)
    assert await states(world) == {"ada": "accepted", "bob": "pending"}


@pytest.mark.prefect
async def test_states_at_credly_come_into_the_ledger(any_world: World, standin: Standin) -> None:
    badges = await issued(any_world, "ada", "bob")
    standin.as_earner(badges["ada"], "accept")

    state = await audit(return_state=True)

    assert await states(any_world) == {"ada": "accepted", "bob": "pending"}
    assert (state.name, state.message) == ("Completed", "2 badges at Credly compared with the ledger")
    assert len(standin.mails()) == 2


async def test_what_ended_at_credly_is_reported_once(world: World, standin: Standin) -> None:
    badges = await issued(world, "ada", "bob")
    standin.as_earner(badges["ada"], "reject")
    standin.erase(badges["bob"], token=TOKEN)

    first = await audit(portal="northwind", return_state=True)
    second = await audit(return_state=True)

    assert await states(world) == {"ada": "rejected", "bob": "deleted"}
    assert first.name == "Needs attention"
    assert "2 revoked, rejected or deleted since the last audit" in str(first.message)
    assert second.message == "1 badge at Credly compared with the ledger"


async def test_a_badge_that_lists_lack_is_read_by_its_id(world: World, standin: Standin) -> None:
    await issued(world, "ada")
    standin.settings(list_lag_seconds=3600)

    await audit(return_state=True)

    assert await states(world) == {"ada": "pending"}


async def test_badges_that_lists_do_not_have_are_read_in_turn(
    any_world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.operations.audit._MAX_SINGLE_READS", 1)
    await any_world.add_user("cher")
    badges = await issued(any_world, "ada", "bob", "cher")
    standin.erase(badges["ada"], token=TOKEN)
    standin.settings(list_lag_seconds=3600)

    for _ in range(3):
        await audit(return_state=True)

    assert await states(any_world) == {"ada": "deleted", "bob": "pending", "cher": "pending"}


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 403, "message": "No."}, {"action": "drop"}])
async def test_a_badge_without_a_usable_answer_does_not_end_the_audit(
    world: World, standin: Standin, fault: dict[str, Any]
) -> None:
    badges = await issued(world, "ada", "bob")
    standin.as_earner(badges["bob"], "reject")
    standin.settings(list_lag_seconds=3600)
    standin.fault(**{"action": "answer", "path": f"/badges/{badges['ada']}", "count": None} | fault)

    state = await audit(return_state=True)

    assert await states(world) == {"ada": None, "bob": "rejected"}
    assert state.name == "Needs attention"


async def test_what_was_found_before_a_token_is_refused_is_reported(world: World, standin: Standin) -> None:
    badges = await issued(world, "ada", "bob")
    standin.as_earner(badges["ada"], "reject")
    standin.erase(badges["bob"], token=TOKEN)
    standin.fault("expire_tokens", path=f"/badges/{badges['bob']}")

    seen = await see(audit)

    assert seen.name == "Failed"
    assert "Credly refused the token" in seen.message
    assert "1 revoked, rejected or deleted since the last audit" in seen.message
    assert await states(world) == {"ada": "rejected", "bob": None}


@pytest.mark.parametrize("flow", [audit, follow_badges, revoke_withdrawn])
async def test_an_organization_that_cannot_be_called_does_not_hold_up_the_next_one(
    world: World, standin: Standin, flow: Any
) -> None:
    badges = await issued(world, "ada", "bob", **REVOCABLE)
    await world.add(Portal, id="first", name="First")
    await world.add(Achievement, id="crane", portal_id="first", name="Crane")
    await world.connect("first", organization_id="00000000-0000-4000-8000-000000000000", token_block="credly-missing")
    await world.enable("crane", **REVOCABLE)
    await an_issuance(
        world.database,
        achievement="crane",
        portal="first",
        user="ada",
        state=IssuanceState.ISSUED,
        credly_badge_id="there",
        recorded_at=datetime.now(UTC),
    )
    await world.award("ada", achievement_id="crane")
    await withdraw(world, "ada")
    standin.as_earner(badges["bob"], "reject")

    seen = await see(flow)

    found = {audit: "1 revoked, rejected or deleted", follow_badges: "1 of them", revoke_withdrawn: "1 badge revoked"}
    assert seen.name == "Failed"
    assert found[flow] in seen.message
    assert "There is no Prefect Secret block named credly-missing" in seen.message
    assert "There is no Prefect Secret block named credly" in seen.page


async def test_a_badge_whose_state_an_answer_does_not_say_is_not_reported_as_revoked(
    world: World, standin: Standin
) -> None:
    badges = await issued(world, "ada", "bob")
    rows = json.dumps({"data": [{"id": badge_id} for badge_id in badges.values()], "metadata": {}})
    standin.fault("answer", path="high_volume", status=200, content=rows)
    one = json.dumps({"data": {"id": badges["bob"]}})
    standin.fault("answer", path=f"/badges/{badges['bob']}", status=200, content=one)

    state = await audit(return_state=True)

    assert await states(world) == {"ada": "pending", "bob": None}
    assert state.name == "Completed"


async def test_strange_badges_and_withdrawn_awards_are_named(world: World, standin: Standin) -> None:
    await issued(world, "ada")
    await world.issue_elsewhere(recipient_email="x@example.org", issuer_earner_id="x")
    await withdraw(world, "ada")

    state = await audit(return_state=True)

    assert "1 that Laurel did not issue" in str(state.message)
    assert "1 whose award was withdrawn" in str(state.message)
    assert state.name == "Needs attention"
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


@pytest.mark.prefect
async def test_a_revoked_badge_is_cancelled_and_a_new_award_makes_it_due_again(
    any_world: World, standin: Standin
) -> None:
    badges = await issued(any_world, "ada", "bob", revoke_when_withdrawn=True, revoke_reason="Not passed after all")
    await withdraw(any_world, "ada")

    state = await revoke_withdrawn(portal="northwind", return_state=True)

    assert state.message == "1 badge revoked"
    runs = await any_world.read(text("SELECT flow_run_id, issued, revoked FROM laurel_runs WHERE revoked > 0"))
    assert [tuple(run) for run in runs] == [(str(state.state_details.flow_run_id), 0, 1)]
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

    assert state.name == "Needs attention"
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


async def test_a_badge_that_an_answer_does_not_show_as_revoked_is_read_and_not_counted(
    world: World, standin: Standin
) -> None:
    badges = await issued(world, "ada", revoke_when_withdrawn=True)
    await withdraw(world, "ada")
    still_valid = json.dumps({"data": {"id": badges["ada"], "state": "accepted"}})
    standin.fault("answer", method="PUT", status=200, content=still_valid)

    state = await revoke_withdrawn(return_state=True)

    assert state.message == "0 badges revoked, 1 not: see the log"
    calls = [(row.kind, row.outcome, row.code) for row in await world.rows(IssuanceAttempt)]
    assert calls[1:] == [("revoke", "unclear", "not_revoked"), ("look_up", "found", None)]


async def test_badges_that_may_not_be_read_do_not_end_revoking(world: World, standin: Standin) -> None:
    users = ["ada", "bob", "cher", "dora"]
    for user in users[2:]:
        await world.add_user(user)
    badges = await issued(world, *users, **REVOCABLE)
    await world.withdraw_all()
    for user in users[:3]:
        standin.fault("answer", path=f"/badges/{badges[user]}", status=403, message="Not permitted", count=None)

    state = await revoke_withdrawn(return_state=True)

    assert state.message == "1 badge revoked, 3 not: see the log"
    assert revoked(standin) == ["dora"]


# A portal that moves to another organization


async def move(world: World, standin: Standin) -> None:
    standin.seed(
        organizations=[{"id": SECOND_ORGANIZATION, "name": "Second"}],
        tokens=[{"token": "invented-token-of-second", "organization_id": SECOND_ORGANIZATION}],
    )
    await world.put_token("invented-token-of-second", block="credly-second")
    access = {"organization_id": SECOND_ORGANIZATION, "token_block": "credly-second", "base_url": world.base_url}
    state = await connect_portal("northwind", environment=Environment.OTHER, return_state=True, **access)
    assert state.is_completed(), state.message


async def test_badges_of_a_former_organization_are_neither_read_nor_revoked_in_the_next(
    any_world: World, standin: Standin
) -> None:
    badges = await issued(any_world, "ada", "bob", **REVOCABLE)
    await move(any_world, standin)
    await withdraw(any_world, "ada")
    moment = datetime.now(UTC).isoformat()
    event = {"id": "1", "event_type": "badge.deleted", "occurred_at": moment, "badge": {"id": badges["bob"]}}
    standin.fault("answer", path="/events", status=200, content=json.dumps({"data": [event], "metadata": {}}))

    await see(audit)
    await see(follow_badges)
    seen = await see(revoke_withdrawn, hold_above=0)

    assert await states(any_world) == {"ada": None, "bob": None}
    not_connected = "1 not revoked: issued by an organization that their portal is not connected to any more"
    assert (seen.name, seen.message) == ("Needs attention", f"0 badges revoked; {not_connected}")
    assert "(issuances):** `1`" in seen.page
    assert not [each for each in standin.requests() if each["method"] == "PUT"]


@pytest.mark.parametrize("how", [BadgesAtCredly.DELETE, BadgesAtCredly.REVOKE])
async def test_an_erasure_does_not_take_badges_of_a_former_organization_for_deleted(
    world: World, standin: Standin, how: BadgesAtCredly
) -> None:
    await issued(world, "ada")
    await move(world, standin)

    asked = {"reason": "ticket 7", "badges_at_credly": how, "preview": False}
    state = await erase_user(user="ada", **asked, return_state=True)

    assert state.is_failed()
    assert "was issued by an organization that the portal is not connected to any more" in str(state.message)
    assert [row.user_id for row in await world.ledger()] == ["ada"]


async def test_a_badge_of_a_former_organization_is_not_issued_again_in_the_next(world: World, standin: Standin) -> None:
    await issued(world, "ada")
    await move(world, standin)
    template = "7e7e7e7e-0000-4000-8000-000000000009"
    standin.seed(templates=[{"id": template, "organization_id": SECOND_ORGANIZATION, "name": "F", "state": "active"}])
    await world.change_template("forklift", template)

    replacing = IfBadgeExists.REPLACE
    await issue_badge(user="ada", achievement="forklift", if_badge_exists=replacing, return_state=True)

    assert len(standin.badges()) == 1


async def test_badges_of_a_portal_that_is_not_connected_any_more_are_named(world: World, standin: Standin) -> None:
    await issued(world, "ada", "bob", **REVOCABLE)
    await withdraw(world, "ada")
    await world.disconnect()
    await world.add(Portal, id="southwind", name="Southwind")
    await world.connect("southwind")

    assert "1 not revoked: issued by an organization" in (await see(revoke_withdrawn)).message


async def test_a_badge_from_before_its_organization_was_kept_is_revoked_as_before(
    world: World, standin: Standin
) -> None:
    badges = await issued(world, "ada", "bob", **REVOCABLE)
    assert [row.issued_by for row in await world.ledger()] == [1, 1]
    await world.do(update(issuances).values(issued_by=None))
    await withdraw(world, "ada")
    standin.as_earner(badges["bob"], "accept")

    await see(audit)

    assert (await see(revoke_withdrawn)).message == "1 badge revoked"
    assert (await states(world))["bob"] == "accepted"


# The brake


REVOCABLE = {"revoke_when_withdrawn": True}


async def lose_awards(world: World, condition: str = "true") -> None:
    """As when the table is emptied to be loaded again, or a view shows nothing."""
    await world.do(text(f"DELETE FROM achievement_awards WHERE {condition}"))


async def many_issued(world: World, count: int) -> None:
    users = [f"user-{number}" for number in range(count)]
    for user in users:
        await world.add_user(user)
    await issued(world, *users, **REVOCABLE)


def revoked(standin: Standin) -> list[str]:
    return sorted(badge["issuer_earner_id"] for badge in standin.badges() if badge["state"] == "revoked")


async def test_more_badges_than_the_cap_are_held_as_a_whole(any_world: World, standin: Standin) -> None:
    await issued(any_world, "ada", "bob", **REVOCABLE)
    for user in ("ada", "bob"):
        await withdraw(any_world, user)

    held = await see(revoke_withdrawn, hold_above=1)

    assert held.name == "Needs attention"
    assert held.message == (
        "0 badges revoked; HELD: portal northwind has 2 badges to revoke, more than 1, so none of them is. Check the "
        "list, then run revoke-withdrawn for that portal with a higher hold_above"
    )
    assert "| `northwind` | `forklift` | 2 |" in held.page
    assert revoked(standin) == []
    assert (await see(revoke_withdrawn, portal="northwind", hold_above=2)).message == "2 badges revoked"
    assert revoked(standin) == ["ada", "bob"]


async def test_a_portal_that_is_held_does_not_hold_the_others(world: World, standin: Standin) -> None:
    await world.add(Portal, id="southwind", name="Southwind")
    await world.add(Achievement, id="crane", portal_id="southwind", name="Crane")
    await world.connect("southwind")
    await world.enable("crane", badge_template_id=OTHER_TEMPLATE, **REVOCABLE)
    standin.seed(
        templates=[{"id": OTHER_TEMPLATE, "organization_id": ORGANIZATION, "name": "Crane", "state": "active"}]
    )
    await world.add_user("cher")
    await world.award("cher", achievement_id="crane")
    await issued(world, "ada", "bob", **REVOCABLE)
    for user in ("ada", "bob", "cher"):
        await withdraw(world, user)

    state = await revoke_withdrawn(hold_above=1, return_state=True)

    assert str(state.message).startswith("1 badge revoked; HELD: portal northwind has 2 badges")
    assert (state.name, revoked(standin)) == ("Needs attention", ["cher"])


async def test_a_run_by_schedule_holds_more_than_twenty(world: World, standin: Standin) -> None:
    await many_issued(world, 21)
    for number in range(21):
        await withdraw(world, f"user-{number}")

    state = await revoke_withdrawn(return_state=True)

    assert "portal northwind has 21 badges to revoke, more than 20" in str(state.message)
    assert revoked(standin) == []


@pytest.mark.parametrize("counts", [False, True])
async def test_a_table_of_awards_that_is_emptied_revokes_nothing(
    any_world: World, standin: Standin, counts: bool
) -> None:
    await any_world.change_connection(deletion_withdraws=counts)
    await many_issued(any_world, 12)
    await lose_awards(any_world)

    seen, audited = await see(revoke_withdrawn), await see(audit)

    lost = (
        "0 badges revoked; 12 of the 12 awards behind the badges of portal northwind are missing from the platform, so "
        "none counts as withdrawn because its row is missing"
    )
    assert (seen.name, seen.message) == (("Needs attention", lost) if counts else ("Completed", "0 badges revoked"))
    assert "whose award was withdrawn" not in audited.message
    assert revoked(standin) == []
    await run_reconcile()
    assert {row.state for row in await any_world.ledger()} == {"issued"}


async def test_a_single_award_that_is_deleted_is_revoked_where_the_connection_is_set_so(
    world: World, standin: Standin
) -> None:
    await issued(world, "ada", "bob", **REVOCABLE)
    await world.change_connection(deletion_withdraws=True)
    await lose_awards(world, "user_id = 'ada'")

    assert (await see(revoke_withdrawn)).message == "1 badge revoked"
    assert revoked(standin) == ["ada"]


async def test_what_a_run_leaves_for_another_one_is_said(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.operations.revoke._MAX_BADGES", 1)
    await issued(world, "ada", "bob", **REVOCABLE)
    for user in ("ada", "bob"):
        await withdraw(world, user)

    assert (await see(revoke_withdrawn)).message == "1 badge revoked, 1 more: run it again"
    assert (await see(revoke_withdrawn)).message == "1 badge revoked"
    assert revoked(standin) == ["ada", "bob"]
