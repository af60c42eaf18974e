"""Credly's events bring what became of badges into the ledger, whatever happens to the events themselves."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from flows.audit import audit
from flows.follow_badges import follow_badges
from flows.reconcile import reconcile
from flows.refresh_menus import refresh_menus
from models.ledger.tables import BadgeIssuance
from models.operations.audit import note_states
from models.operations.cursors import OrganizationCursor
from models.setup.templates import CredlyTemplate
from models.tables import table
from rules.markdown import plain
from rules.monitoring.alerts import BADGES_UNCLAIMED
from tests.support.seen import events_of, see
from tests.support.standin import Standin
from tests.support.world import ORGANIZATION, TEMPLATE, TOKEN, World

issuances = table(BadgeIssuance)


@pytest.fixture(autouse=True)
def one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in has the clock of this machine: what was read after an event is not read again."""
    monkeypatch.setattr("tasks.operations.events._SKEW", timedelta())


async def issued(world: World, count: int = 2) -> dict[str, str]:
    """Badges by user, issued before the events that a test makes."""
    users = ["ada", "bob", *(f"user-{number}" for number in range(count - 2))]
    for user in users[2:]:
        await world.add_user(user)
    await world.enable()
    for user in users:
        await world.award(user)
    await see(reconcile)
    await see(follow_badges)
    return {row.user_id: row.credly_badge_id for row in await world.ledger()}


async def states(world: World) -> dict[str, str | None]:
    return {row.user_id: row.credly_state for row in await world.ledger()}


def calls(standin: Standin, *, since: int = 0) -> list[str]:
    paths = [each["path"].split("/") for each in standin.requests()[since:]]
    return [path[4] if len(path) == 5 else f"{path[4]}/…" for path in paths if len(path) > 4]


@pytest.mark.prefect
async def test_a_claim_is_in_the_ledger_after_the_next_look_at_the_events(any_world: World, standin: Standin) -> None:
    badges = await issued(any_world)
    standin.as_earner(badges["ada"], "accept")
    before = len(standin.requests())

    seen = await see(follow_badges)

    assert seen.message == "4 events read; 1 badge changed"
    assert await states(any_world) == {"ada": "accepted", "bob": None}
    assert calls(standin, since=before) == ["events", "badges/…"]


async def test_many_claims_cost_a_call_for_forty(world: World, standin: Standin) -> None:
    badges = await issued(world, 42)
    for badge_id in badges.values():
        standin.as_earner(badge_id, "accept")
    before = len(standin.requests())

    assert "42 badges changed" in (await see(follow_badges)).message

    assert set((await states(world)).values()) == {"accepted"}
    assert calls(standin, since=before) == ["events", "badges", "badges", "events"]


async def test_events_that_come_again_change_nothing_and_cost_one_call(world: World, standin: Standin) -> None:
    badges = await issued(world)
    standin.as_earner(badges["ada"], "accept")
    await see(follow_badges)
    before = len(standin.requests())

    seen = await see(follow_badges)

    assert "0 badges changed" in seen.message
    assert calls(standin, since=before) == ["events"]
    assert await states(world) == {"ada": "accepted", "bob": None}


async def test_the_present_state_counts_and_not_that_of_the_event(world: World, standin: Standin) -> None:
    badges = await issued(world)
    for move in ("accept", "reject"):
        standin.as_earner(badges["ada"], move)
    standin.as_earner(badges["bob"], "accept")
    standin.erase(badges["bob"], token=TOKEN)

    seen = await see(follow_badges)

    assert await states(world) == {"ada": "rejected", "bob": "deleted"}
    assert seen.name == "Needs attention"
    assert "2 badges changed, 2 of them revoked, rejected or deleted" in seen.message
    assert (await see(follow_badges)).name == "Completed"


async def test_badges_that_lists_do_not_show_yet_are_read_by_their_ids(world: World, standin: Standin) -> None:
    badges = await issued(world)
    standin.settings(list_lag_seconds=3600)
    for user in badges:
        standin.as_earner(badges[user], "accept")
    before = len(standin.requests())

    await see(follow_badges)

    assert await states(world) == {"ada": "accepted", "bob": "accepted"}
    assert calls(standin, since=before) == ["events", "badges", "badges/…", "badges/…"]


async def test_a_list_that_still_shows_the_state_before_is_not_believed(world: World, standin: Standin) -> None:
    badges = await issued(world)
    before = [{"id": badge_id, "state": "pending"} for badge_id in badges.values()]
    for badge_id in badges.values():
        standin.as_earner(badge_id, "accept")
    standin.fault("answer", path="/badges$", method="GET", status=200, content=json.dumps({"data": before}))

    await see(follow_badges)

    assert await states(world) == {"ada": "accepted", "bob": "accepted"}


async def test_strangers_in_a_list_whose_filter_is_ignored_are_no_answer(world: World, standin: Standin) -> None:
    badges = await issued(world, 60)
    standin.settings(filters_are_ignored=True)
    for user in ("user-56", "user-57"):
        standin.as_earner(badges[user], "accept")

    await see(follow_badges)

    assert {user for user, state in (await states(world)).items() if state} == {"user-56", "user-57"}


async def test_a_lost_event_is_made_up_by_the_audit(world: World, standin: Standin) -> None:
    badges = await issued(world)
    moment = datetime.now(UTC) + timedelta(hours=1)
    await world.do(update(table(OrganizationCursor)).values(events_until=moment))
    standin.as_earner(badges["ada"], "accept")
    standin.fault("answer", path="/events", status=200, content='{"data": [], "metadata": {}}')

    await see(follow_badges)
    assert await states(world) == {"ada": None, "bob": None}
    await see(audit)

    assert await states(world) == {"ada": "accepted", "bob": "pending"}


async def test_more_events_than_a_run_reads_are_read_by_the_next_ones(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    badges = await issued(world, 120)
    monkeypatch.setattr("tasks.operations.events._MAX_REQUESTS", 1)
    monkeypatch.setattr("tasks.operations.events._OVERLAP", timedelta())
    users = list(badges)
    for user in users[:100]:
        standin.as_earner(badges[user], "accept")

    first = await see(follow_badges)
    for user in users[100:]:
        standin.as_earner(badges[user], "accept")
    for _ in range(6):
        last = await see(follow_badges)

    assert "There are more, which the next run reads." in first.page
    assert "There are more" not in last.page
    assert set((await states(world)).values()) == {"accepted"}


async def test_a_run_that_is_ended_half_way_loses_no_event(world: World, standin: Standin) -> None:
    badges = await issued(world)
    standin.as_earner(badges["ada"], "accept")
    for path in ("/badges/", f"/organizations/{ORGANIZATION}$"):  # the events can be read
        standin.fault("answer", path=path, status=401, count=None)
    first = await see(follow_badges)
    standin.control("DELETE", "faults")
    second = await see(follow_badges)

    assert (first.name, second.name) == ("Failed", "Completed")
    assert (await states(world))["ada"] == "accepted"


async def test_a_badge_without_a_usable_answer_does_not_hold_up_the_others(world: World, standin: Standin) -> None:
    badges = await issued(world)
    for user in badges:
        standin.as_earner(badges[user], "accept")
    standin.settings(list_lag_seconds=3600)
    standin.fault("answer", path=f"/badges/{badges['ada']}", status=500)

    await see(follow_badges)
    assert await states(world) == {"ada": None, "bob": "accepted"}
    await see(follow_badges)

    assert await states(world) == {"ada": "accepted", "bob": "accepted"}


async def test_a_connection_that_is_dropped_does_not_fail_a_run(world: World, standin: Standin) -> None:
    badges = await issued(world)
    standin.as_earner(badges["ada"], "accept")
    standin.fault("drop", path="/events", method="GET", count=2)

    seen = await see(follow_badges)

    assert (seen.name, seen.message) == ("Completed", "4 events read; 1 badge changed")


async def test_an_event_of_a_wrong_clock_does_not_hide_those_that_follow(world: World, standin: Standin) -> None:
    badges = await issued(world)
    standin.control("POST", "clock", {"seconds": 86_400})
    standin.as_earner(badges["ada"], "accept")
    await see(follow_badges)
    (cursor,) = await world.rows(OrganizationCursor)

    assert cursor.events_until <= datetime.now(UTC)
    standin.control("POST", "clock", {"seconds": 0})
    standin.as_earner(badges["bob"], "accept")
    await see(follow_badges)
    assert await states(world) == {"ada": "accepted", "bob": "accepted"}


@pytest.mark.prefect
@pytest.mark.parametrize("status", [403, 404])
async def test_where_events_may_not_be_read_the_audit_goes_on_and_the_run_page_names_it(
    world: World, standin: Standin, status: int
) -> None:
    badges = await issued(world)
    standin.as_earner(badges["ada"], "accept")
    standin.fault("answer", path="/events", status=status, message="Not in your contract", count=None)

    followed = await see(follow_badges)
    audited, run = await see(audit), await see(reconcile)

    assert followed.name == "Completed"
    for page in (followed.page, audited.page, run.page):
        assert f"status {status}" in page
    assert await states(world) == {"ada": "accepted", "bob": "pending"}


async def test_an_organization_without_any_event_is_named(world: World, standin: Standin) -> None:
    await see(follow_badges)
    standin.fault("answer", path="/events", status=200, content='{"data": [], "metadata": {}}', count=None)
    await world.do(update(table(OrganizationCursor)).values(events_until=datetime.now(UTC) - timedelta(days=31)))

    assert "there was none in 30 days" in (await see(follow_badges)).page


async def test_a_refused_token_fails_the_run_and_says_what_to_do(world: World) -> None:
    await world.put_token("invented-other-token")

    seen = await see(follow_badges)

    assert seen.name == "Failed"
    assert "Credly refused the token in Secret block" in seen.message


async def test_a_template_that_is_archived_is_known_before_the_next_award(any_world: World, standin: Standin) -> None:
    await any_world.enable()
    standin.template_state(TEMPLATE, "archived")

    await see(follow_badges)
    seen = await see(reconcile)

    (stored,) = await any_world.rows(CredlyTemplate)
    assert (stored.template_id, stored.state) == (TEMPLATE, "archived")
    assert plain(f"The badge template {TEMPLATE} of achievement forklift is archived at Credly") in seen.page
    standin.template_state(TEMPLATE, "active")
    await see(follow_badges)
    assert "is archived" not in (await see(reconcile)).page


async def test_a_template_that_credly_has_no_longer_is_deleted(world: World, standin: Standin) -> None:
    await world.enable()
    standin.template_state(TEMPLATE, "archived")
    standin.fault("answer", path=f"/badge_templates/{TEMPLATE}", status=404, message="Resource not found.")

    await see(follow_badges)

    assert plain(f"{TEMPLATE} of achievement forklift is deleted at Credly") in (await see(reconcile)).page
    await see(refresh_menus)
    assert "is archived at Credly" in (await see(reconcile)).page
    standin.fault("answer", path="/badge_templates", status=200, content='{"data": [], "metadata": {}}')
    await see(refresh_menus)
    assert "is deleted at Credly" in (await see(reconcile)).page


@pytest.mark.parametrize("status", [403, 500])
@pytest.mark.parametrize("path", ["/badge_templates/", "/badges/"])
async def test_what_has_no_usable_answer_does_not_hold_up_the_events(
    world: World, standin: Standin, path: str, status: int
) -> None:
    badges = await issued(world)
    before = (await world.rows(OrganizationCursor))[0].events_until
    standin.template_state(TEMPLATE, "archived")
    standin.as_earner(badges["ada"], "accept")
    standin.fault("answer", path=path, status=status, message="No.", count=None)

    seen = await see(follow_badges)

    assert seen.name == "Completed"
    assert (await world.rows(OrganizationCursor))[0].events_until > before
    templates = [(each.template_id, each.state) for each in await world.rows(CredlyTemplate)]
    assert (templates == [(TEMPLATE, "archived")], (await states(world))["ada"]) == (
        (True, None) if path == "/badges/" else (False, "accepted")
    )


@pytest.mark.parametrize("status", [404, 422])
async def test_a_further_page_of_events_that_is_refused_is_not_asked_for_again(
    world: World, standin: Standin, status: int
) -> None:
    badges = await issued(world)
    standin.as_earner(badges["ada"], "accept")
    await world.do(update(table(OrganizationCursor)).values(events_page=7, events_from=datetime.now(UTC)))
    standin.fault("answer", path="/events", status=status, message="No such page.")

    first, second = await see(follow_badges), await see(follow_badges)

    assert [first.name, second.name] == ["Completed", "Completed"]
    assert f"status {status}" in first.page
    assert await states(world) == {"ada": "accepted", "bob": None}


async def test_a_state_that_was_read_later_stays(any_world: World) -> None:
    badges = await issued(any_world)
    moment = datetime.now(UTC)
    later = moment + timedelta(minutes=1)

    await any_world.database.write(note_states, {badges["ada"]: "accepted"}, now=later)
    await any_world.database.write(note_states, {badges["ada"]: "pending", badges["bob"]: "pending"}, now=moment)

    assert await states(any_world) == {"ada": "accepted", "bob": "pending"}


@pytest.mark.prefect
async def test_the_audit_emits_an_event_about_unclaimed_badges_of_each_portal(world: World, standin: Standin) -> None:
    badges = await issued(world, 3)
    await world.do(update(issuances).values(recorded_at=datetime.now(UTC) - timedelta(days=15)))
    standin.as_earner(badges["ada"], "accept")

    await see(audit)

    (event,) = await events_of(BADGES_UNCLAIMED, count=1)
    assert (event.payload["portal"], event.payload["badges"]) == ("northwind", 2)
    assert event.payload["until_day"] == str((datetime.now(UTC) - timedelta(days=14)).date())


# The round of the audit


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.operations.audit._READ_AS_A_WHOLE", 50)


@pytest.mark.usefixtures("parts")
async def test_many_badges_are_read_in_parts(any_world: World, standin: Standin) -> None:
    await issued(any_world, 120)
    await any_world.do(update(issuances).values(recorded_at=datetime.now(UTC) - timedelta(hours=2)))
    before = len(standin.requests())
    seen: list[Any] = [await see(audit) for _ in range(3)]

    assert [each.message for each in seen] == [
        f"{count} badges at Credly compared with the ledger" for count in (50, 50, 20)
    ]
    assert "up to page 1 of the round" in seen[0].page
    assert "the end of the round" in seen[2].page
    assert set((await states(any_world)).values()) == {"pending"}
    # Those that were never read come first, forty to a call.
    assert calls(standin, since=before) == ["badges", "badges", "badges", "badges", "badges"]


@pytest.mark.usefixtures("parts")
async def test_a_round_ends_with_what_no_page_had(world: World, standin: Standin) -> None:
    badges = await issued(world, 60)
    await world.do(update(issuances).values(recorded_at=datetime.now(UTC) - timedelta(hours=2)))
    standin.erase(badges["user-57"], token=TOKEN)

    first, second = await see(audit), await see(audit)

    assert (first.name, second.name) == ("Completed", "Needs attention")
    assert (await states(world))["user-57"] == "deleted"
    (cursor,) = await world.rows(OrganizationCursor)
    assert (cursor.round_page, cursor.round_began_at) == (1, None)


@pytest.mark.usefixtures("parts")
async def test_a_long_list_that_credly_refuses_to_page_is_read_in_bulk(world: World, standin: Standin) -> None:
    await issued(world, 60)
    standin.fault("answer", path="/badges", status=422, message="Result window is too large", count=None)

    assert "60 badges at Credly compared" in (await see(audit)).message


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("status", [404, 422])
async def test_a_round_begins_again_where_its_next_page_is_refused(world: World, standin: Standin, status: int) -> None:
    await issued(world, 60)
    moment = datetime.now(UTC)
    await world.do(update(table(OrganizationCursor)).values(round_page=9, round_began_at=moment))
    standin.fault("answer", path="/badges$", status=status, message="No such page.")

    assert "60 badges at Credly compared" in (await see(audit)).message
    (cursor,) = await world.rows(OrganizationCursor)
    assert (cursor.round_page, cursor.round_began_at) == (1, None)


@pytest.mark.usefixtures("parts")
async def test_by_hand_every_badge_is_read(world: World, standin: Standin) -> None:
    await issued(world, 60)

    assert "60 badges at Credly compared" in (await see(audit, full=True)).message


def test_a_million_badges_are_a_round_of_a_month_within_the_calls_of_a_night() -> None:
    from tasks.operations import audit as module

    pages = -(-1_000_000 // module._ROUND_NIGHTS) // 50
    assert pages + module._MAX_NEW_BADGES // module._EARNERS_AT_ONCE <= 700
    assert module._ROUND_NIGHTS <= 33
