"""Issuing one badge by hand: before the award, after a failure, in place of another; and never a second one."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_CUSTOM_HEADERS, temporary_settings

from flows.explain import explain
from flows.issue_badge import issue_badge
from flows.reconcile import reconcile
from models.ledger.manual import ManualIssue, enter
from models.ledger.tables import BadgeIssuance
from models.platform.tables import AchievementAward, UserEmail
from models.setup.tables import CredlyIntegration
from rules.forms.inputs import EarnedAgain
from rules.ledger.states import IssuanceState
from rules.markdown import plain
from tests.support.factories import an_achievement, an_issuance, change, rows_of, the_row_of
from tests.support.seen import refused, see
from tests.support.standin import Standin
from tests.support.world import ORGANIZATION, TEMPLATE, World

ANOTHER = "7e7e7e7e-0000-4000-8000-000000000002"


def form(**changes: Any) -> dict[str, Any]:
    return {"user": "ada", "achievement": "forklift"} | changes


def posts(standin: Standin) -> int:
    return sum(request["method"] == "POST" for request in standin.requests())


def live(standin: Standin) -> list[dict[str, Any]]:
    return [badge for badge in standin.badges() if badge["replacement_badge_id"] is None]


@pytest.mark.prefect
async def test_before_the_award_and_the_award_makes_no_second_badge(any_world: World, standin: Standin) -> None:
    await any_world.enable(company_evidence=True, project_evidence=True, earned_again=EarnedAgain.REFUSE)
    started = datetime.now(UTC).replace(microsecond=0)

    seen = await see(
        issue_badge,
        **form(user=" ada ", project="bridge", company=" acme", reason=" Lost\u200b in\n <b>move</b> | עברית 🏅 "),
    )

    (badge,) = standin.badges()
    row = await the_row_of(any_world.database, BadgeIssuance)
    assert (seen.name, seen.title) == ("Completed", "issue forklift to ada · issued")
    assert seen.message == f"Issued forklift to ada: {row.badge_url}"
    assert seen.links == [row.badge_url]
    assert row.badge_url.endswith(f"/badges/{badge['id']}")
    assert badge["accept_badge_url"] == f"{row.badge_url}/accept"  # claims it, for whoever has the link
    assert "/accept" not in seen.message + seen.page
    assert f"[Open the badge]({row.badge_url})" in seen.page
    assert "| state | issued: Credly has the badge, and its id is recorded. |" in seen.page
    assert [entry["name"] for entry in badge["evidence"]] == ["Acme", "Bridge"]
    assert started <= datetime.fromisoformat(badge["issued_at"]) <= datetime.now(UTC)
    assert (row.state, row.origin, row.award_id, row.credly_badge_id) == ("issued", "by_hand", None, badge["id"])
    assert (row.requested_by, row.request_reason) == ("", "Lost\u200b in <b>move</b> | עברית 🏅")

    await any_world.award("ada")
    await reconcile(return_state=True)
    assert (len(standin.badges()), posts(standin)) == (1, 1)
    assert len(await rows_of(any_world.database, BadgeIssuance)) == 1


async def test_an_award_in_the_future_is_refused_unless_it_is_dated_now(any_world: World, standin: Standin) -> None:
    await any_world.enable(company_evidence=True)
    to_come = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    await any_world.award("ada", awarded_at=to_come, company_id="acme")

    for preview in (True, False):
        refused = await see(issue_badge, **form(preview=preview))
        assert refused.name == "Failed"
        assert refused.message == (
            f"user: the award `award-1` of `ada` is dated in the future ({to_come:%Y-%m-%d %H:%M:%S} UTC). Wait until "
            "then, or switch on date_now in issue-badge: the badge then has the current date."
        )
    assert await rows_of(any_world.database, BadgeIssuance) == []

    assert (await see(issue_badge, **form(preview=True, date_now=True))).name == "Completed"
    await see(issue_badge, **form(date_now=True))
    (badge,) = standin.badges()
    assert abs(datetime.fromisoformat(badge["issued_at"]) - datetime.now(UTC)) < timedelta(minutes=5)
    assert [entry["name"] for entry in badge["evidence"]] == ["Acme"]
    assert (await see(issue_badge, **form())).message.startswith("Not issued again")


async def test_with_an_award_it_carries_the_moment_of_the_first_that_stands(world: World, standin: Standin) -> None:
    first, second = (datetime(2026, 11, day, 8, 15, 42, tzinfo=UTC) for day in (2, 3))
    await world.enable(held_at=datetime.now(UTC))
    for moment, withdrawn in ((first, None), (second, None), (first - timedelta(days=1), datetime.now(UTC))):
        await world.award("ada", awarded_at=moment, withdrawn_at=withdrawn, project_id="bridge")

    await see(issue_badge, **form())

    (badge,) = standin.badges()
    assert badge["issued_at"] == "2026-11-02T08:15:42.000Z"
    assert (await the_row_of(world.database, BadgeIssuance)).award_id == "award-1"


async def test_after_a_failure_it_is_tried_again(world: World, standin: Standin) -> None:
    await world.enable(locale="xx", project_evidence=True)
    award = await world.award("ada")

    seen = await see(issue_badge, **form())

    row = await the_row_of(world.database, BadgeIssuance)
    assert seen.name == "Needs attention"
    assert seen.message == ("Not issued forklift to ada: Credly refused this badge; its message is beside this reason.")
    assert "| why | Credly refused this badge; its message is beside this reason. Act on" in seen.page
    assert "| Credly's message | " in seen.page
    assert "| evidence left out | `project:not_on_award` |" in seen.page
    assert (seen.links, row.state) == ([], "failed")

    await change(world.database, CredlyIntegration, 1, locale="")
    await change(world.database, AchievementAward, award, withdrawn_at=datetime.now(UTC))
    seen = await see(issue_badge, **form())
    row = await the_row_of(world.database, BadgeIssuance)
    assert (seen.name, row.state, row.reason, row.award_id) == ("Completed", "issued", None, None)
    assert len(standin.badges()) == 1


async def test_what_the_user_lacks_is_said(world: World, standin: Standin) -> None:
    await world.enable()
    await world.change(UserEmail, "ada", is_primary=False)

    seen = await see(issue_badge, **form())
    preview = await see(issue_badge, **form(preview=True))

    assert (seen.name, seen.message) == (
        "Needs attention",
        "Not issued forklift to ada: The user has no primary e-mail address.",
    )
    assert preview.message == "Preview: nothing can be sent to ada: The user has no primary e-mail address."
    assert "Correct the user's data on the platform" in preview.page
    assert posts(standin) == 0


async def test_what_may_pass_waits_for_the_next_run(world: World, standin: Standin) -> None:
    await world.enable()
    standin.fault("answer", method="POST", status=429, headers={"Retry-After": "3600"}, count=None)

    seen = await see(issue_badge, **form())

    assert (seen.name, seen.links) == ("Completed", [])
    assert seen.message == (
        "Not issued forklift to ada: Credly limits the rate of calls. The badge is looked up at Credly before "
        "anything is sent again. The next run of reconcile tries again."
    )
    assert (await the_row_of(world.database, BadgeIssuance)).state == "pending"


async def test_a_badge_that_is_there_is_left_or_replaced(any_world: World, standin: Standin) -> None:
    await any_world.enable()
    await see(issue_badge, **form())
    (first,) = standin.badges()

    left = await see(issue_badge, **form(if_badge_exists="leave"))
    preview = await see(issue_badge, **form(preview=True))
    row = await the_row_of(any_world.database, BadgeIssuance)
    assert left.message == f"Not issued again: ada has the badge of forklift already: {row.badge_url}"
    assert left.links == preview.links == [row.badge_url]
    assert preview.message == "Preview: nothing would be sent, ada has the badge of forklift already"
    # As rows of an earlier version have it.
    await any_world.change_row(row.id, badge_url=first["accept_badge_url"])
    for again in (
        await see(issue_badge, **form(if_badge_exists="leave")),
        await see(issue_badge, **form(preview=True)),
        await see(explain, user="ada", achievement="forklift"),
    ):
        assert again.links == [row.badge_url]
        assert "/accept" not in again.message + again.page
    assert posts(standin) == 1

    await any_world.change(UserEmail, "ada", address="countess@example.org")
    replaced = await see(issue_badge, **form(if_badge_exists="replace", reason="New address"))
    (now_live,) = live(standin)
    row = await the_row_of(any_world.database, BadgeIssuance)
    assert now_live["id"] != first["id"]
    former = "It went to the address of the badge that it replaces, not to the user's present one"
    assert replaced.message == f"Issued forklift to ada: {row.badge_url}. {former}"
    assert (row.state, row.credly_badge_id, row.request_reason) == ("issued", now_live["id"], "New address")


async def test_replacing_keeps_the_award_that_the_badge_stands_for(world: World, standin: Standin) -> None:
    await world.enable(earned_again=EarnedAgain.REPLACE)
    await world.award("ada", awarded_at=datetime(2026, 11, 2, 8, 0, 0, tzinfo=UTC))
    await reconcile(return_state=True)
    await world.award("ada", awarded_at=datetime(2026, 11, 3, 8, 0, 0, tzinfo=UTC))
    await reconcile(return_state=True)

    await see(issue_badge, **form(if_badge_exists="replace"))
    await reconcile(return_state=True)

    (badge,) = live(standin)
    assert badge["issued_at"] == "2026-11-03T08:00:00.000Z"
    assert posts(standin) == 3


async def test_a_badge_of_an_earlier_template_is_the_badge_that_is_there(world: World, standin: Standin) -> None:
    standin.seed(templates=[{"id": ANOTHER, "organization_id": ORGANIZATION, "name": "New", "state": "active"}])
    await world.enable()
    await see(issue_badge, **form())
    await change(world.database, CredlyIntegration, 1, badge_template_id=ANOTHER)

    left = await see(issue_badge, **form())
    assert left.message.startswith("Not issued again: ada has the badge of forklift already: ")
    assert len(standin.badges()) == 1

    await see(issue_badge, **form(if_badge_exists="replace"))
    (badge,) = live(standin)
    row = await the_row_of(world.database, BadgeIssuance)
    assert (badge["badge_template"]["id"], row.badge_template_id, row.state) == (ANOTHER, ANOTHER, "issued")


async def test_a_badge_that_credly_has_already_is_adopted(world: World, standin: Standin) -> None:
    await world.enable()
    await world.issue_elsewhere(recipient_email="ada@example.org", issuer_earner_id="ada")

    seen = await see(issue_badge, **form())

    assert seen.message.startswith("Issued forklift to ada, found at Credly: ")
    assert len(standin.badges()) == 1


async def test_a_preview_shows_what_would_be_sent_and_does_nothing(world: World, standin: Standin) -> None:
    await world.enable(user_evidence=True, company_evidence=True, expiry="after_days", expires_after_days=3)
    await world.award("ada", awarded_at=datetime(2026, 11, 2, 8, 15, 42, tzinfo=UTC))

    seen = await see(issue_badge, **form(preview=True, company="acme"))

    assert seen.message == "Preview: forklift would be issued to ada; nothing was done"
    assert "| recipient_email | a…\\@e… |" in seen.page
    assert f"| issued_at | {plain('2026-11-02 08:15:42 UTC')} |" in seen.page
    assert f"| expires_at | {plain('2026-11-05 08:15:42 UTC')} |" in seen.page
    assert f"| evidence: company | Acme → {plain('https://acme.example.org')}" in seen.page
    assert "Evidence is **public**" in seen.page
    assert "Lovelace" not in seen.page
    assert (await rows_of(world.database, BadgeIssuance), standin.requests()) == ([], [])


@pytest.mark.prefect
async def test_several_who_ask_at_the_same_moment_and_a_run_make_one_badge(any_world: World, standin: Standin) -> None:
    await any_world.enable()
    await any_world.award("ada")

    run = asyncio.ensure_future(reconcile(return_state=True))
    seen = await asyncio.gather(*(see(issue_badge, **form()) for _ in range(2)))
    await run

    issued = f"Issued forklift to ada: {(await the_row_of(any_world.database, BadgeIssuance)).badge_url}"
    others = ("Another run is issuing forklift to ada", "Not issued again: ada has", issued)
    assert all(one.name == "Completed" and one.message.startswith(others) for one in seen), seen
    assert (len(standin.badges()), posts(standin)) == (1, 1)


async def test_several_requests_at_the_same_moment_are_one_row(any_world: World) -> None:
    request = ManualIssue(achievement_id="forklift", user_id="ada", portal_id="northwind", badge_template_id=TEMPLATE)

    async def ask() -> int | None:
        row = await enter(any_world.database, request, now=datetime.now(UTC))
        return row.id if row else None

    entered = await asyncio.gather(*(ask() for _ in range(8)))

    assert set(entered) == {(await the_row_of(any_world.database, BadgeIssuance)).id}


async def test_a_badge_that_another_run_is_issuing_is_left_to_it(world: World, standin: Standin) -> None:
    await world.enable()
    lease = datetime.now(UTC) + timedelta(minutes=5)
    await an_issuance(
        world.database, badge_template_id=TEMPLATE, state=IssuanceState.ISSUING, claim="another-run", lease_until=lease
    )

    seen = await see(issue_badge, **form(if_badge_exists="replace"))

    assert seen.message == "Another run is issuing forklift to ada at this moment; look at that run"
    assert (await the_row_of(world.database, BadgeIssuance)).claim == "another-run"
    assert posts(standin) == 0


async def test_what_is_named_and_is_not_there_is_said(world: World, standin: Standin) -> None:
    long = "🏅<b>" * 16
    assert await refused(issue_badge, **form(achievement="Fork-lift")) == (
        "achievement: there is no achievement `Fork-lift`. Did you mean forklift (Forklift)?"
    )
    assert await refused(issue_badge, **form()) == (
        "achievement: `forklift` has no Credly integration. Run enable-credly first."
    )
    await world.enable()
    assert await refused(issue_badge, **form(user="<i>eve</i>")) == (
        "user: there is no user `<i>eve</i>`. Enter the user's id on the platform. "
        "`python -m models.find_user` finds an id by the primary e-mail address or a part of the name."
    )
    said = await refused(issue_badge, **form(project=long))
    assert said.startswith("project: there is no project `🏅<b>🏅")
    assert said.endswith("…`. Enter the project's id on the platform. Or leave it empty.")
    assert await refused(issue_badge, **form(company="جسر")) == (
        "company: there is no company `جسر`. Enter the company's id on the platform. Or leave it empty."
    )
    await world.put_token("  ")
    assert (await refused(issue_badge, **form())).startswith("token_block: The Prefect Secret block credly-northwind")
    await change(world.database, CredlyIntegration, 1, paused_at=datetime.now(UTC))
    assert await refused(issue_badge, **form()) == "achievement: `forklift` is paused. Run resume-credly first."
    await world.disconnect()
    await change(world.database, CredlyIntegration, 1, paused_at=None)
    assert await refused(issue_badge, **form()) == (
        "achievement: its portal `northwind` is not connected to Credly. Run connect-portal first."
    )
    assert (await rows_of(world.database, BadgeIssuance), standin.requests()) == ([], [])


@pytest.mark.prefect
async def test_who_started_it_is_kept_as_far_as_prefect_knows(world: World) -> None:
    await world.enable()
    # What Prefect's server is told of a run that an automation starts; the name comes encoded.
    name = "Tm9ydGggd2luZA=="
    with temporary_settings(
        {PREFECT_CLIENT_CUSTOM_HEADERS: {"Prefect-Automation-Id": str(uuid4()), "Prefect-Automation-Name": name}}
    ):
        await see(issue_badge, **form())

    assert (await the_row_of(world.database, BadgeIssuance)).requested_by == "AUTOMATION: North wind"


@pytest.mark.prefect
async def test_an_address_is_refused_before_a_run_exists(world: World) -> None:
    await an_achievement(world.database, "4711")
    deployment = await issue_badge.ato_deployment("as-in-the-form", entrypoint_type="module_path")  # type: ignore[arg-type]
    deployment_id = UUID(str(await deployment.aapply()))
    async with get_client() as client:
        for changes in (
            {"user": "ada@example.org"},
            {"reason": "asked by ada@example.org"},
            {"user": "Ada Lovelace"},
            {"operator": "jo@example.org"},
        ):
            with pytest.raises(PrefectHTTPStatusError, match="409"):
                await client.create_flow_run_from_deployment(deployment_id, parameters=form(**changes))
        run = await client.create_flow_run_from_deployment(deployment_id, parameters=form(user=" ada "))
        await client.delete_flow_run(run.id)
