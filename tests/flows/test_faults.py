"""What goes wrong between Laurel and Credly, and that each award still ends as one badge and one mail.

Each test counts badges and mails at the stand-in, and reads its log for a badge that was sent again blindly.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from sqlalchemy import Engine, event, text, update
from sqlalchemy.pool import Pool

from models.ledger.claiming import claim
from models.ledger.tables import AttemptKind, AttemptOutcome, BadgeIssuance, IssuanceAttempt
from models.platform.tables import User, UserEmail
from models.tables import table
from rules.monitoring.brake import UNANSWERED_AT_MOST
from tasks.runtime.rate_limiter import RateLimiter
from tests.support.light_run import Clock
from tests.support.running import run_reconcile as run
from tests.support.standin import Standin
from tests.support.waiting import until
from tests.support.world import ORGANIZATION, TEMPLATE, TOKEN, World

issuances = table(BadgeIssuance)

ISSUE = {"method": "POST", "path": "/badges$"}
LOOK_UP = {"method": "GET", "path": "/badges$"}
HTML = "<html><body>Bad Gateway</body></html>"


async def a_due_badge(world: World, **settings: Any) -> None:
    await world.enable(**settings)
    await world.award("ada")


async def due_again(world: World) -> None:
    """As when the time has come that the ledger waits for."""
    moment = datetime.now(UTC) - timedelta(seconds=1)
    await world.do(update(issuances).where(issuances.c.state == "pending").values(not_before=moment))


def calls(standin: Standin) -> list[str]:
    """What was asked of the stand-in about badges, in order."""
    return [r["method"] for r in standin.requests() if "/badges" in r["path"]]


def assert_once(standin: Standin, badges: int = 1) -> None:
    assert len(standin.badges()) == badges
    assert len(standin.mails()) == badges


@pytest.mark.prefect
@pytest.mark.parametrize(
    ("fault", "made"),
    [
        ({"action": "drop"}, False),
        ({"action": "drop_after"}, True),
        ({"action": "cut_after"}, True),
        ({"action": "answer", "status": 500}, False),
        ({"action": "answer", "status": 503, "content": HTML}, False),
        ({"action": "answer_after", "status": 502, "content": HTML}, True),
        ({"action": "answer_after", "status": 201, "content": ""}, True),
        ({"action": "answer_after", "status": 201, "content": HTML}, True),
        ({"action": "answer_after", "status": 201, "content": '{"data": [], "metadata": {}}'}, True),
        ({"action": "answer_after", "status": 204, "content": ""}, True),
    ],
)
async def test_an_unclear_answer_is_looked_up_before_anything_is_sent_again(
    world: World, standin: Standin, fault: dict[str, Any], made: bool
) -> None:
    await a_due_badge(world)
    standin.allow_duplicates(TEMPLATE)
    standin.fault(**ISSUE, **fault)

    state = await run()

    (row,) = await world.ledger()
    assert (row.state, row.adopted, row.unclear_at) == ("issued", made, None)
    assert row.credly_badge_id == standin.badges()[0]["id"]
    looked_up = calls(standin)[1:-1] if not made else calls(standin)[1:]
    assert set(looked_up) == {"GET"}
    assert calls(standin).count("POST") == (1 if made else 2)
    assert_once(standin)
    assert str(state.message).startswith("1 issued")


@pytest.mark.prefect
@pytest.mark.parametrize("action", ["slow", "drip_after"])
async def test_a_call_that_takes_too_long_is_unclear(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    world.configure(monkeypatch, READ_TIMEOUT="0.3", RETRIES="0")
    standin.allow_duplicates(TEMPLATE)
    await a_due_badge(world)
    standin.fault(action, **ISSUE, seconds=1 if action == "slow" else 20)

    await run()

    (row,) = await world.ledger()
    assert (row.state, row.reason) == ("pending", "answer_unclear")
    await asyncio.to_thread(until, standin.badges, what="the slow server has made its badge")
    world.configure(monkeypatch, READ_TIMEOUT="30")  # on a busy machine a look-up takes longer
    await due_again(world)
    await run()
    assert (await world.ledger())[0].state == "issued"
    assert_once(standin)


@pytest.mark.parametrize(
    "retry_after",
    ["1", lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True), ""],
)
@pytest.mark.parametrize("grace", ["0", "1"])
async def test_a_near_end_of_throttling_is_waited_out(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch, retry_after: str | Callable[[], str], grace: str
) -> None:
    world.configure(monkeypatch, THROTTLE_PAUSE_DEFAULT="0.1", LOOKUP_GRACE=grace)
    await a_due_badge(world)
    value = retry_after if isinstance(retry_after, str) else retry_after()
    standin.fault("answer", **ISSUE, status=429, headers={"Retry-After": value} if value else {})

    await run()

    (row,) = await world.ledger()
    assert (row.state, row.attempts) == ("issued", 1)
    # By the user's id and by address, since any answer to a POST may follow a badge that was made.
    assert calls(standin) == ["POST", "GET", "GET", "POST"]
    assert_once(standin)


async def test_a_far_end_of_throttling_is_left_to_a_later_run(world: World, standin: Standin) -> None:
    await a_due_badge(world)
    standin.fault("answer", **ISSUE, status=429, headers={"Retry-After": "3600"})

    await run()
    await run()

    (row,) = await world.ledger()
    assert (row.state, row.reason, row.attempts) == ("pending", "throttled", 0)
    assert timedelta(minutes=50) < row.not_before - datetime.now(UTC) < timedelta(minutes=61)
    assert calls(standin) == ["POST"]

    await due_again(world)
    await run()
    assert_once(standin)


@pytest.mark.prefect
async def test_throttling_without_end_is_left_to_a_later_run(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.configure(monkeypatch, THROTTLE_PAUSE_DEFAULT="0.01")
    await a_due_badge(world)
    standin.fault("answer", **ISSUE, status=429, count=None)

    await run()

    (row,) = await world.ledger()
    assert (row.state, row.reason, row.attempts) == ("pending", "throttled", 0)
    assert calls(standin).count("POST") == 3


@pytest.mark.prefect
async def test_while_the_look_up_fails_nothing_is_sent_again(world: World, standin: Standin) -> None:
    standin.allow_duplicates(TEMPLATE)
    await a_due_badge(world)
    standin.fault("drop_after", **ISSUE)
    standin.fault("answer", **LOOK_UP, count=None)

    await run()

    (row,) = await world.ledger()
    assert (row.state, row.reason, calls(standin).count("POST")) == ("pending", "look_up_failed", 1)

    standin.control("DELETE", "faults")
    await due_again(world)
    await run()
    assert (await world.ledger())[0].adopted
    assert_once(standin)


@pytest.mark.prefect
async def test_a_badge_that_lists_do_not_show_yet_is_waited_for(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.configure(monkeypatch, LOOKUP_GRACE="3600")
    await a_due_badge(world)
    standin.settings(list_lag_seconds=600)
    standin.fault("drop_after", **ISSUE)

    await run()

    (row,) = await world.ledger()
    assert (row.state, row.reason, calls(standin).count("POST")) == ("pending", "answer_unclear", 1)
    assert row.not_before >= row.unclear_at + timedelta(seconds=3600)

    standin.control("POST", "clock", {"seconds": 601})
    await due_again(world)
    await run()
    assert (await world.ledger())[0].state == "issued"
    assert_once(standin)


async def test_lists_that_lag_longer_than_we_wait_still_make_no_second_badge(world: World, standin: Standin) -> None:
    await a_due_badge(world)
    standin.settings(list_lag_seconds=600)
    standin.fault("drop_after", **ISSUE)

    await run()

    (row,) = await world.ledger()
    assert (row.state, row.reason) == ("failed", "duplicate_elsewhere")
    assert_once(standin)


async def test_where_filters_are_ignored_nobody_elses_badge_is_adopted(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("bob")
    await run()
    await world.award("ada")
    standin.settings(filters_are_ignored=True)
    standin.fault("drop", **ISSUE)

    await run()

    earners = {badge["id"]: badge["issuer_earner_id"] for badge in standin.badges()}
    assert {row.user_id: earners[row.credly_badge_id] for row in await world.ledger()} == {"ada": "ada", "bob": "bob"}
    assert_once(standin, badges=2)


async def test_unknown_fields_of_replies_do_no_harm(world: World, standin: Standin) -> None:
    await a_due_badge(world)
    standin.settings(extra_fields=True)

    await run()

    assert_once(standin)


async def test_a_token_that_ends_in_the_middle_blocks_and_a_new_one_goes_on(world: World, standin: Standin) -> None:
    await a_due_badge(world)
    standin.fault("expire_tokens", **ISSUE)

    await run()

    (row,) = await world.ledger()
    assert (row.state, row.reason, row.attempts) == ("blocked", "token_refused", 0)

    standin.seed(tokens=[{"token": "the-next", "organization_id": ORGANIZATION}])
    await world.put_token("the-next")
    await run()
    assert_once(standin)


async def test_a_token_changed_in_the_middle_stops_nothing(world: World, standin: Standin) -> None:
    await a_due_badge(world)
    standin.seed(tokens=[{"token": "the-next", "organization_id": ORGANIZATION}])
    standin.fault("hold", path="/badge_templates/")
    running = asyncio.create_task(run())
    await asyncio.to_thread(standin.until_held)
    await world.put_token("the-next")
    standin.seed(tokens=[{"token": TOKEN, "organization_id": ORGANIZATION, "expires_at": "2026-01-01T00:00:00.000Z"}])
    standin.control("POST", "release", {})

    state = await running

    assert (state.name, state.message) == ("Completed", "1 issued")
    assert_once(standin)


async def test_a_revoked_token_and_hundreds_of_badges_make_a_handful_of_calls(world: World, standin: Standin) -> None:
    await _with_badges_due(world, 200)
    standin.fault("expire_tokens", **ISSUE)

    await run()

    assert {(row.state, row.reason) for row in await world.ledger()} == {("blocked", "token_refused")}
    assert len(standin.requests()) < 30
    assert_once(standin, badges=0)


async def test_what_is_ready_while_calls_are_under_way_makes_no_call_once_the_token_is_refused(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.configure(monkeypatch, CALLS_AT_ONCE="3")
    await _with_badges_due(world, 9)
    standin.fault("hold", **ISSUE, count=None)
    running = asyncio.create_task(run())
    await asyncio.to_thread(standin.until_held, 3)
    async with asyncio.timeout(60):  # three more are ready, and wait for a call to end
        while sum(row.state == "issuing" for row in await world.ledger()) < 6:
            pass
    held = standin.faults()["held"]
    standin.seed(tokens=[{"token": TOKEN, "organization_id": ORGANIZATION, "expires_at": "2026-01-01T00:00:00.000Z"}])

    standin.control("DELETE", "faults")
    await running

    assert (held, calls(standin)) == (3, ["POST"] * 3)
    rows = await world.ledger()
    assert {(row.state, row.reason, row.attempts) for row in rows} == {("blocked", "token_refused", 0)}


async def _with_badges_due(world: World, count: int) -> None:
    await world.enable()
    for number in range(count):
        user = f"user-{number}"
        await world.add(User, id=user, first_name="A", last_name="B")
        await world.add(UserEmail, id=user, user_id=user, address=f"{user}@example.org", is_primary=True)
        await world.award(user)


async def test_a_template_archived_in_the_middle_blocks(world: World, standin: Standin) -> None:
    await a_due_badge(world)
    standin.fault("archive_templates", **ISSUE)

    await run()

    (row,) = await world.ledger()
    assert (row.state, row.reason) == ("blocked", "template_not_active")

    standin.template_state(TEMPLATE, "active")
    await run()
    assert_once(standin)


async def test_a_template_gone_in_the_middle_blocks(world: World, standin: Standin) -> None:
    await a_due_badge(world)
    standin.fault(
        "answer", **ISSUE, status=422, content='{"data": {"message": "Invalid or missing Badge Template ID"}}'
    )
    gone = '{"data": {"message": "Badge template not found"}}'
    standin.fault("answer", path="/badge_templates/", skip=1, status=404, content=gone)

    await run()

    (row,) = await world.ledger()
    assert (row.state, row.reason) == ("blocked", "template_not_found")


async def test_while_the_cause_of_a_refusal_cannot_be_found_out_it_is_not_final(world: World, standin: Standin) -> None:
    await a_due_badge(world)
    standin.fault("archive_templates", **ISSUE)
    standin.fault("answer", path="/badge_templates/", skip=1, count=None)

    await run()

    (row,) = await world.ledger()
    assert (row.state, row.reason) == ("pending", "look_up_failed")


async def test_an_organization_in_trouble_is_not_tried_for_each_badge(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.configure(monkeypatch, CALLS_AT_ONCE="1", RETRIES="0")
    await world.enable()
    for number in range(UNANSWERED_AT_MOST + 2):
        await world.add_user(f"user-{number}")
        await world.award(f"user-{number}")
    standin.fault("drop", path="/badges", count=None)

    state = await run()

    assert calls(standin) == ["POST"] * UNANSWERED_AT_MOST
    assert state.is_failed()

    standin.control("DELETE", "faults")
    await due_again(world)
    await run()
    assert_once(standin, badges=UNANSWERED_AT_MOST + 2)


@pytest.mark.parametrize(
    "path",
    [f"/organizations/{ORGANIZATION}$", "/badge_templates/"],
)
async def test_a_check_that_fails_stops_nothing(world: World, standin: Standin, path: str) -> None:
    await a_due_badge(world)
    standin.fault("answer", path=path)

    await run()

    assert_once(standin)


async def test_what_its_lease_no_longer_covers_is_given_back(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    world.configure(monkeypatch, TASK_RUNS_PER_RUN="1", CALLS_AT_ONCE="1")  # both in one batch, one after the other
    world.set_clock(clock)
    await a_due_badge(world)
    await world.award("bob")

    async def takes_long() -> None:
        clock.moved += timedelta(minutes=9)

    await _while_held(world, standin, takes_long)

    first, second = await world.ledger()
    assert (first.state, second.state, second.attempts, calls(standin)) == ("issued", "pending", 0, ["POST"])


async def test_nothing_is_sent_after_the_lease_although_the_turn_came_late(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()

    async def late(_pace: RateLimiter) -> None:
        clock.moved += timedelta(minutes=9)

    monkeypatch.setattr(RateLimiter, "acquire", late)
    world.configure(monkeypatch, RETRIES="0")
    world.set_clock(clock)
    await a_due_badge(world)

    await run()

    (row,) = await world.ledger()
    assert (row.state, row.attempts, calls(standin)) == ("pending", 0, [])


async def test_who_lost_the_claim_writes_nothing_over_it(world: World, standin: Standin) -> None:
    await a_due_badge(world)

    async def taken_over() -> None:
        await world.do(update(issuances).values(claim="another"))

    await _while_held(world, standin, taken_over)

    (row,) = await world.ledger()
    assert (row.state, row.claim) == ("issuing", "another")
    (attempt,) = await world.rows(IssuanceAttempt)
    assert (attempt.kind, attempt.outcome) == (AttemptKind.ISSUE, AttemptOutcome.ISSUED)

    await world.end_leases()
    await run()
    assert (await world.ledger())[0].adopted
    assert_once(standin)


@pytest.mark.parametrize(
    ("user", "address", "reason"),
    [
        ("cn=eve,ou=people", "eve@example.org", "user_id_not_usable"),
        ("a|b", "eve@example.org", "user_id_not_usable"),
        ("a::b", "", "user_id_not_usable"),
        ("a\u200bb", "eve@example.org", "user_id_not_usable"),
        ("eve", f"{'e' * 70_000}@example.org", "email_malformed"),
    ],
)
async def test_nothing_stays_claimed_that_credlys_filter_cannot_express(
    world: World, standin: Standin, user: str, address: str, reason: str
) -> None:
    """The run that had claimed all three was killed, so that what it may have sent is looked up."""
    await a_due_badge(world, paused_at=datetime.now(UTC))
    await world.add(User, id=user, first_name="Eve", last_name="Ewing")
    await world.add(UserEmail, id="eve", user_id=user, address=address, is_primary=True)
    for each in (user, "bob"):
        await world.award(each)
    await run()
    await world.change_integration(paused_at=None)
    now, ids = datetime.now(UTC), [row.id for row in await world.ledger()]
    await world.database.write(claim, ids, token="killed", now=now, lease=timedelta(0), ignore_wait=True)

    state = await run()

    rows = {row.user_id: row for row in await world.ledger()}
    assert {each: row.state for each, row in rows.items()} == {"ada": "issued", user: "failed", "bob": "issued"}
    assert (rows[user].reason, rows[user].unclear_at, rows[user].sent_to) == (reason, None, None)
    assert (state.is_completed(), {each["issuer_earner_id"] for each in standin.badges()}) == (True, {"ada", "bob"})
    assert_once(standin, badges=2)


async def test_no_database_connection_is_held_while_credly_is_waited_for(any_world: World, standin: Standin) -> None:
    await a_due_badge(any_world)
    out: set[int] = set()

    def checked_out(connection: Any, *_: Any) -> None:
        out.add(id(connection))

    def checked_in(connection: Any, *_: Any) -> None:
        out.discard(id(connection))

    event.listen(Pool, "checkout", checked_out)
    event.listen(Pool, "checkin", checked_in)
    held: list[int] = []

    async def look() -> None:
        held.append(len(out))

    try:
        await _while_held(any_world, standin, look)
    finally:
        event.remove(Pool, "checkout", checked_out)
        event.remove(Pool, "checkin", checked_in)

    assert held == [0]
    assert_once(standin)


@pytest.mark.prefect
@pytest.mark.parametrize(("task_runs", "next_one"), [("3", "issued"), ("1", "pending")])
async def test_a_result_that_cannot_be_written_fails_the_run_and_the_next_one_finds_the_badge(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch, task_runs: str, next_one: str
) -> None:
    """Another call of the batch that was under way is recorded, and none is begun after it."""
    world.configure(monkeypatch, TASK_RUNS_PER_RUN=task_runs, CALLS_AT_ONCE="1")
    world.set_clock(Clock())  # so that the run writes in the test's thread for writing
    await a_due_badge(world)
    await world.award("bob")
    await world.add_user("carol")
    await world.award("carol")
    full = (
        "CREATE TRIGGER full BEFORE UPDATE ON badge_issuances WHEN NEW.state = 'issued' AND NEW.user_id = 'ada' "
        "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
    )
    await world.do(text(full))
    refused = threading.Event()

    def note(_: Any) -> None:
        refused.set()

    standin.fault("hold", **ISSUE, skip=1)
    event.listen(Engine, "handle_error", note)
    try:
        running = asyncio.create_task(run())
        await asyncio.to_thread(refused.wait, 60)
        await world.do(text("SELECT 1"))  # after the refused transaction has ended
        await asyncio.to_thread(standin.until_held)
        standin.control("POST", "release", {})
        state = await running
    finally:
        event.remove(Engine, "handle_error", note)

    states = {row.user_id: row.state for row in await world.ledger()}
    assert states == {"ada": "issuing", "bob": "issued", "carol": next_one}
    assert state.is_failed()

    await world.do(text("DROP TRIGGER full"))
    await world.end_leases()
    await run()
    assert {row.state for row in await world.ledger()} == {"issued"}
    assert_once(standin, badges=3)


@pytest.mark.parametrize(("action", "posts"), [("drop", 3), ("drop_after", 2)])
async def test_an_unclear_replacement_is_looked_for_by_its_chain(
    world: World, standin: Standin, action: str, posts: int
) -> None:
    await a_due_badge(world, earned_again="replace")
    await run()
    (first,) = standin.badges()
    await world.award("ada", awarded_at=datetime.now(UTC) - timedelta(minutes=1))
    standin.fault(action, method="POST", path="/replace$")

    await run()

    (row,) = await world.ledger()
    old, new = standin.badges()
    assert (old["id"], old["replacement_badge_id"]) == (first["id"], new["id"])
    assert (row.state, row.credly_badge_id, calls(standin).count("POST")) == ("issued", new["id"], posts)


async def test_what_somebody_else_has_replaced_already_is_taken_as_it_stands(world: World, standin: Standin) -> None:
    await a_due_badge(world, earned_again="replace")
    await run()
    await world.replace_elsewhere(standin.badges()[0]["id"])
    await world.award("ada", awarded_at=datetime.now(UTC) - timedelta(minutes=1))

    await run()

    (row,) = await world.ledger()
    assert (row.state, row.adopted, row.credly_badge_id) == ("issued", True, standin.badges()[-1]["id"])
    assert_once(standin, badges=2)


async def _while_held(world: World, standin: Standin, act: Callable[[], Awaitable[None]]) -> None:
    """Run, and act while the stand-in has made the badge and holds back its reply."""
    standin.fault("hold_after", **ISSUE)
    running = asyncio.create_task(run())
    await asyncio.to_thread(standin.until_held)
    await act()
    standin.control("POST", "release", {})
    await running
