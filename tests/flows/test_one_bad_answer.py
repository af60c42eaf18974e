"""One bad answer stays one bad answer: it is about a badge, unless a call about the organization confirms it."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from flows.issue_badge import issue_badge
from flows.revoke_withdrawn import revoke_withdrawn
from models.ledger.tables import AttemptKind, AttemptOutcome, BadgeIssuance, IssuanceAttempt
from models.setup.calls import CredlyCall
from models.tables import table
from rules.forms.inputs import EarnedAgain, IfBadgeExists
from rules.monitoring.brake import UNANSWERED_AT_MOST
from tests.support.running import run_reconcile as run
from tests.support.standin import Standin
from tests.support.world import ORGANIZATION, TEMPLATE, TOKEN, World

ISSUE = {"method": "POST", "path": "/badges$"}
ORGANIZATION_ITSELF = f"/organizations/{ORGANIZATION}$"
HTML = "<html><body>Forbidden</body></html>"
CREDLYS = json.dumps({"data": {"message": "You are not authorized to perform this action."}, "metadata": None})


async def with_due(world: World, count: int) -> None:
    await world.enable()
    for number in range(count):
        await world.add_user(f"user-{number:03}")
        await world.award(f"user-{number:03}")


async def states(world: World) -> dict[tuple[str, str | None], int]:
    found: dict[tuple[str, str | None], int] = {}
    for row in await world.ledger():
        found[row.state, row.reason] = found.get((row.state, row.reason), 0) + 1
    return found


def posts(standin: Standin) -> int:
    return sum(request["method"] == "POST" for request in standin.requests())


def assert_each_once(standin: Standin, badges: int) -> None:
    assert len(standin.badges()) == len(standin.mails()) == badges
    assert len({badge["recipient_email"] for badge in standin.badges()}) == badges


async def test_a_badge_that_was_erased_at_credly_is_issued_again_and_stops_nobody(
    world: World, standin: Standin
) -> None:
    await world.enable(earned_again="replace")
    await world.award("ada", awarded_at=datetime.now(UTC) - timedelta(days=2))
    await run()
    (erased,) = standin.badges()
    standin.erase(erased["id"], token=TOKEN)
    await world.award("ada", awarded_at=datetime.now(UTC) - timedelta(hours=1))
    for number in range(60):
        await world.add_user(f"user-{number:03}")
        await world.award(f"user-{number:03}")

    state = await run()

    assert str(state.message).startswith("61 issued")
    assert await states(world) == {("issued", None): 61}
    assert (len(standin.badges()), len(standin.mails())) == (61, 62)  # the erased one had its mail


async def test_a_badge_to_be_replaced_by_hand_that_was_erased_is_issued_again(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("ada")
    await run()
    standin.erase(standin.badges()[0]["id"], token=TOKEN)

    state = await issue_badge(
        user="ada", achievement="forklift", if_badge_exists=IfBadgeExists.REPLACE, return_state=True
    )

    assert str(state.message).startswith("Issued forklift to ada")
    assert len(standin.badges()) == 1


@pytest.mark.parametrize("again", ["earned", "by hand"])
@pytest.mark.parametrize("ended", ["rejected", "revoked"])
async def test_a_badge_that_ended_at_credly_can_be_had_again(
    world: World, standin: Standin, ended: str, again: str
) -> None:
    await world.enable(earned_again=EarnedAgain.REPLACE)
    await world.award("ada", awarded_at=datetime.now(UTC) - timedelta(hours=2))
    await run()
    (badge,) = standin.badges()
    end_at_credly(standin, badge["id"], ended)

    if again == "earned":
        await world.award("ada")
        await run()
    else:
        replacing = IfBadgeExists.REPLACE
        await issue_badge(user="ada", achievement="forklift", if_badge_exists=replacing, return_state=True)

    assert await states(world) == {("issued", None): 1}
    assert sorted(each["state"] for each in standin.badges()) == sorted([ended, "pending"])


async def test_a_state_of_any_length_is_kept_as_far_as_the_ledger_can(any_world: World, standin: Standin) -> None:
    await any_world.enable()
    await any_world.award("ada")
    await run()
    await any_world.do(update(table(BadgeIssuance)).values(credly_state="pending"))
    badge = standin.badges()[0] | {"id": "0e0e0e0e-0000-4000-8000-000000000001", "state": "p" * 40}
    standin.fault("answer", method="POST", path="/replace$", status=201, content=json.dumps({"data": badge}))

    replacing = IfBadgeExists.REPLACE
    await issue_badge(user="ada", achievement="forklift", if_badge_exists=replacing, return_state=True)

    (row,) = await any_world.ledger()
    assert (row.state, row.credly_state) == ("issued", "p" * 20)


def end_at_credly(standin: Standin, badge_id: str, state: str) -> None:
    if state == "rejected":
        standin.as_earner(badge_id, "reject")
        return
    with httpx.Client(base_url=f"{standin.base_url}/organizations/{ORGANIZATION}", auth=(TOKEN, "")) as http:
        http.put(f"/badges/{badge_id}/revoke", json={"reason": "by mistake"}).raise_for_status()


@pytest.mark.parametrize(
    ("status", "content", "ends"),
    [
        (403, CREDLYS, ("failed", "not_permitted")),
        (404, CREDLYS, ("failed", "refused_by_credly")),
        (401, CREDLYS, ("pending", "answer_unclear")),
        (403, HTML, ("pending", "answer_unclear")),
        (404, HTML, ("pending", "answer_unclear")),
        (302, HTML, ("pending", "answer_unclear")),
        (421, HTML, ("pending", "answer_unclear")),
        (418, '{"message": "Forbidden"}', ("pending", "answer_unclear")),
    ],
)
async def test_what_is_answered_for_one_persons_badge_is_about_that_badge(
    world: World, standin: Standin, status: int, content: str, ends: tuple[str, str]
) -> None:
    await with_due(world, 12)
    standin.allow_duplicates(TEMPLATE)
    standin.fault("answer", **ISSUE, body='"user-001"', status=status, content=content, count=None)

    await run()

    assert await states(world) == {("issued", None): 11, ends: 1}
    assert_each_once(standin, 11)

    standin.control("DELETE", "faults")
    await world.let_time_pass(timedelta(days=2))
    await run()
    if ends[0] == "pending":
        assert_each_once(standin, 12)


@pytest.mark.parametrize("status", [400, 403])
async def test_a_gateway_in_the_way_makes_no_badge_fail_and_is_noticed(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    world.configure(monkeypatch, RETRIES="0")
    await with_due(world, 40)
    standin.fault("answer", **ISSUE, status=status, content=HTML, count=None)

    state = await run()

    assert state.is_failed()
    assert posts(standin) < 40
    assert {each for each, _ in await states(world)} == {"pending"}

    standin.control("DELETE", "faults")
    await world.let_time_pass(timedelta(days=2))
    await run()
    assert await states(world) == {("issued", None): 40}
    assert_each_once(standin, 40)


@pytest.mark.parametrize(("status", "message"), [(422, "Issued to last name is not valid"), (403, "Not allowed")])
async def test_refusal_after_refusal_without_a_success_leaves_the_badges_pending(
    world: World, standin: Standin, status: int, message: str
) -> None:
    await with_due(world, 40)
    content = json.dumps({"data": {"message": message}, "metadata": None})
    standin.fault("answer", **ISSUE, status=status, content=content, count=None)

    state = await run()

    assert (state.name, {each for each, _ in await states(world)}) == ("Needs attention", {"pending"})
    assert "0 issued" in str(state.message)
    assert "failed" not in str(state.message)
    assert posts(standin) < 40
    assert message in {row.credly_message for row in await world.ledger()}

    standin.control("DELETE", "faults")
    await world.let_time_pass(timedelta(days=2))
    await run()
    assert await states(world) == {("issued", None): 40}
    assert_each_once(standin, 40)


async def test_a_few_refusals_beside_successes_are_those_badges_own(world: World, standin: Standin) -> None:
    await with_due(world, 40)
    content = json.dumps({"data": {"message": "Issued to last name is not valid"}})
    for number in (3, 9, 27):
        standin.fault("answer", **ISSUE, body=f'"user-{number:03}"', status=422, content=content, count=None)

    await run()

    assert await states(world) == {("issued", None): 37, ("failed", "refused_by_credly"): 3}


@pytest.mark.parametrize(("status", "content"), [(403, CREDLYS), (404, CREDLYS), (301, HTML)])
async def test_what_the_organization_itself_answers_stops_it(
    world: World, standin: Standin, status: int, content: str
) -> None:
    await with_due(world, 30)
    standin.fault("answer", path=ORGANIZATION_ITSELF, status=status, content=content, skip=1, count=None)
    standin.fault("answer", **ISSUE, status=status, content=content, count=None)

    await run()

    ((state, reason),) = await states(world)
    assert (state, reason) == ("blocked", "token_refused" if status == 403 else "organization_not_found")
    assert len(standin.requests()) < 30


@pytest.mark.prefect
async def test_a_throttled_organization_ends_and_others_are_done_meanwhile(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.configure(monkeypatch, THROTTLE_PAUSE_DEFAULT="0.2", CALLS_AT_ONCE="2")
    await with_due(world, 20)
    other = "0b0b0b0b-0000-4000-8000-000000000002"
    await world.second_portal(token_block="credly-second")
    standin.seed(
        organizations=[{"id": other, "name": "Second"}],
        tokens=[{"token": "of-second", "organization_id": other}],
        templates=[{"id": "second-template", "organization_id": other, "name": "Second", "state": "active"}],
    )
    await world.put_token("of-second", block="credly-second")
    await world.change_template("second-achievement", "second-template")
    await world.award("ada", achievement_id="second-achievement")
    standin.fault("answer", method="POST", path=f"{ORGANIZATION}/badges$", status=429, count=None)

    await run()

    assert await states(world) == {("pending", "throttled"): 20, ("issued", None): 1} or (
        {each for each, _ in await states(world)} == {"pending", "issued"}
    )
    assert sum(request["status"] == 429 for request in standin.requests()) < 20


async def test_hanging_posts_are_not_excused_by_look_ups_that_work(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.configure(monkeypatch, READ_TIMEOUT="0.2", RETRIES="0", CALLS_AT_ONCE="4")
    await with_due(world, 60)
    standin.fault("hold", **ISSUE, count=None)

    state = await run()
    await asyncio.to_thread(standin.control, "DELETE", "faults")

    assert state.is_failed()
    assert UNANSWERED_AT_MOST <= posts(standin) <= UNANSWERED_AT_MOST + 4


async def test_revoking_ends_with_a_refused_token_and_each_call_is_kept(world: World, standin: Standin) -> None:
    await with_withdrawn(world, 12)
    standin.fault("expire_tokens", method="PUT", path="/revoke$", skip=2)

    await revoke_withdrawn(return_state=True)

    revocations = [each for each in await world.rows(IssuanceAttempt) if each.kind == AttemptKind.REVOKE]
    assert [each.outcome for each in revocations].count(AttemptOutcome.REVOKED) == 2
    assert len(revocations) <= 4
    assert sum(request["method"] == "PUT" for request in standin.requests()) == len(revocations)


@pytest.mark.parametrize("fault", [{"status": 429}, {"status": 403, "content": CREDLYS}])
async def test_revoking_ends_after_a_few_calls_that_are_refused(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    world.configure(monkeypatch, THROTTLE_PAUSE_DEFAULT="0.01")
    await with_withdrawn(world, 12)
    standin.fault("answer", method="PUT", path="/revoke$", count=None, **fault)

    await revoke_withdrawn(return_state=True)

    assert sum(request["method"] == "PUT" for request in standin.requests()) <= 6
    assert {row.state for row in await world.ledger()} == {"issued"}


async def with_withdrawn(world: World, count: int) -> None:
    await with_due(world, count)
    await world.change_integration(revoke_when_withdrawn=True)
    await run()
    await world.withdraw_all()


async def test_calls_that_belong_to_no_issuance_are_kept_too(world: World, standin: Standin) -> None:
    await with_due(world, 1)

    await run()

    calls = await world.rows(CredlyCall)
    assert [(each.operation, each.outcome, each.status) for each in calls] == [
        ("organization", AttemptOutcome.FOUND, 200),
        ("template", AttemptOutcome.FOUND, 200),
    ]
    assert {each.organization_id for each in calls} == {ORGANIZATION}
    assert all(each.flow_run_id and each.request_id for each in calls)
