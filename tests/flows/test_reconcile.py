"""The scheduled run on the real parts: SQLite and PostgreSQL, a Prefect server, the stand-in over HTTP.

Each test asks the stand-in which badges there are; our own rows are only half of the truth.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text, update

from flows.reconcile import reconcile
from models.ledger.history import IssuanceTransition
from models.ledger.tables import BadgeIssuance, IssuanceAttempt
from models.platform.tables import AchievementAward, User, UserEmail
from models.tables import table
from tests.support.running import run_reconcile as run
from tests.support.seen import see
from tests.support.standin import Standin
from tests.support.world import ORGANIZATION, TEMPLATE, World

issuances = table(BadgeIssuance)


@pytest.mark.prefect
async def test_an_award_becomes_one_badge_with_everything_that_was_asked_for(
    any_world: World, standin: Standin
) -> None:
    awarded_at = datetime(2026, 11, 2, 8, 15, 42, tzinfo=UTC)
    await any_world.enable(user_evidence=True, company_evidence=True, portal_evidence=True)
    await any_world.award("ada", awarded_at=awarded_at, company_id="acme")

    state = await run()

    (badge,) = standin.badges()
    assert (badge["recipient_email"], badge["issuer_earner_id"]) == ("ada@example.org", "ada")
    assert (badge["issued_to_first_name"], badge["issued_to_last_name"]) == ("Ada", "Lovelace")
    assert badge["issued_at"] == "2026-11-02T08:15:42.000Z"
    assert badge["badge_template"]["id"] == TEMPLATE
    assert [(e["name"], e["value"]) for e in badge["evidence"]] == [
        ("Ada Lovelace", "https://platform.example.org/people/ada"),
        ("Acme", "https://acme.example.org"),
        ("Northwind", "https://northwind.example.org"),
    ]
    (row,) = await any_world.ledger()
    assert (row.state, row.credly_badge_id, row.badge_url) == ("issued", badge["id"], row.badge_url)
    assert row.evidence_sent == "user,company,portal"
    assert row.recorded_at >= row.planned_at
    assert (state.name, state.message) == ("Completed", "1 issued")


async def test_each_badge_has_the_moment_of_its_own_award(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("ada", awarded_at=datetime(2026, 11, 2, 8, 0, 1, tzinfo=UTC))
    await world.award("bob", awarded_at=datetime(2026, 11, 3, 23, 59, 59, 900_000, tzinfo=UTC))

    await run()

    assert {b["issuer_earner_id"]: b["issued_at"] for b in standin.badges()} == {
        "ada": "2026-11-02T08:00:01.000Z",
        "bob": "2026-11-03T23:59:59.000Z",
    }


@pytest.mark.prefect
async def test_a_second_run_issues_nothing(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("ada")

    await run()
    state = await run()

    assert len(standin.badges()) == 1
    assert state.message == "0 issued"


@pytest.mark.prefect
async def test_two_runs_at_once_issue_each_badge_once(any_world: World, standin: Standin) -> None:
    await any_world.enable()
    for user in ("ada", "bob"):
        await any_world.award(user)

    await asyncio.gather(run(), run())

    posts = [r for r in standin.requests() if r["method"] == "POST"]
    assert len(standin.badges()) == 2
    assert len(posts) == 2


async def test_what_is_left_out_is_kept_with_the_badge(world: World, standin: Standin) -> None:
    await world.enable(user_evidence=True, project_evidence=True)
    await world.change(User, "ada", profile_url="ftp://platform.example.org/ada")
    await world.award("ada")

    await run()

    (row,) = await world.ledger()
    assert standin.badges()[0]["evidence"] == []
    assert row.evidence_left_out == "user:link_not_http,project:not_on_award"


@pytest.mark.parametrize(
    ("table_", "change", "reason"),
    [
        (UserEmail, {"is_primary": False}, "no_primary_email"),
        (UserEmail, {"address": "ada(at)example.org"}, "email_malformed"),
        (User, {"first_name": " \u200b"}, "name_missing"),
        (User, {"last_name": None}, "name_missing"),
        (User, {"last_name": "x" * 256}, "name_too_long"),
    ],
)
async def test_bad_data_fails_with_its_reason_and_goes_out_once_corrected(
    world: World, standin: Standin, table_: Any, change: dict[str, Any], reason: str
) -> None:
    await world.enable()
    await world.award("ada")
    before = await world.row(table_, "ada")
    await world.change(table_, "ada", **change)

    state = await run()
    (row,) = await world.ledger()
    assert (row.state, row.reason, len(standin.badges())) == ("failed", reason, 0)
    assert (state.name, state.message) == ("Needs attention", "0 issued · 1 failed")

    await world.change(table_, "ada", **{name: before[name] for name in change})
    await run()
    (row,) = await world.ledger()
    assert (row.state, row.reason, len(standin.badges())) == ("issued", None, 1)


async def test_a_name_that_is_away_between_two_attempts_costs_no_badge(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("ada")
    standin.fault("answer", method="POST", status=503, count=None)
    await run()  # which keeps what it tried to send
    standin.control("DELETE", "faults")
    await world.do(update(issuances).values(not_before=datetime.now(UTC)))
    await world.change(User, "ada", first_name="")
    await run()
    failed = await world.ledger()
    await world.change(User, "ada", first_name="Ada")

    await run()
    await run()

    assert [row.reason for row in failed] == ["name_missing"]
    assert len(standin.badges()) == 1


async def test_another_award_counts_where_the_own_one_is_withdrawn_after_a_failure(
    world: World, standin: Standin
) -> None:
    await world.enable()
    await world.change(User, "ada", first_name="")
    first = await world.award("ada")
    await run()
    await world.award("ada")
    await world.change(AchievementAward, first, withdrawn_at=datetime.now(UTC))
    await world.change(User, "ada", first_name="Ada")

    for _ in range(3):
        await run()

    assert len(standin.badges()) == 1


async def test_an_award_that_the_ledger_cannot_have_is_counted_and_stops_nothing(
    any_world: World, standin: Standin
) -> None:
    await any_world.enable()
    await any_world.award("ada")
    await any_world.add(User, id="", first_name="No", last_name="Id")
    award = await any_world.award("")

    seen = await see(reconcile)

    assert (seen.name, seen.message) == ("Completed", "1 issued. 1 award cannot be entered")
    assert "**1 award** `award_without_user`" in seen.page
    assert f"`{award}` of `forklift`" in seen.page
    assert seen.health == "No alert; 1 award cannot be entered."
    await any_world.change(AchievementAward, award, user_id="bob")
    state = await run()
    assert (state.name, state.message) == ("Completed", "1 issued")
    assert {badge["issuer_earner_id"] for badge in standin.badges()} == {"ada", "bob"}


async def test_a_key_that_the_database_cannot_read_is_named_and_what_is_planned_goes_out(
    world: World, standin: Standin
) -> None:
    await world.enable()
    await world.award("ada")
    await world.disconnect()
    await run()
    await world.award("bob")
    await world.connect()
    # SQLite quotes nothing here, PostgreSQL would quote the user.
    await world.do(text("ALTER TABLE achievement_awards RENAME TO stored_awards"))
    await world.do(
        text(
            "CREATE VIEW achievement_awards AS SELECT id, achievement_id, awarded_at, withdrawn_at, company_id,"
            " project_id, CASE user_id WHEN 'bob' THEN json(user_id) ELSE user_id END AS user_id FROM stored_awards"
        )
    )

    seen = await see(reconcile)

    assert seen.name == "Failed"
    assert seen.message.count("an error about a value when it reads achievement_awards, in a key") == 1
    assert "python -m flows.check" in seen.message
    assert "bob" not in seen.message
    assert "operator has to act: 1 issued. " in seen.health
    assert "when it reads achievement_awards, in a key" in seen.health


async def test_a_missing_name_is_replaced_where_the_connection_says_so(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("ada")
    await world.change(User, "ada", last_name="")
    await world.change_connection(missing_name="-")

    await run()

    assert standin.badges()[0]["issued_to_last_name"] == "-"


async def test_awards_of_an_unconnected_portal_wait_and_go_out_once_it_is_connected(
    any_world: World, standin: Standin
) -> None:
    await any_world.enable()
    await any_world.award("ada")
    await any_world.disconnect()

    state = await run()
    assert (await any_world.ledger())[0].reason == "portal_not_connected"
    assert (state.name, state.message) == ("Completed", "0 issued · now 1 blocked")

    await any_world.connect()
    await run()
    assert len(standin.badges()) == 1


async def test_a_template_that_is_not_active_blocks_and_unblocks(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("ada")
    standin.template_state(TEMPLATE, "archived")

    state = await run()
    posts = [r for r in standin.requests() if r["method"] == "POST"]
    assert (await world.ledger())[0].reason == "template_not_active"
    assert (state.name, posts) == ("Needs attention", [])

    standin.template_state(TEMPLATE, "active")
    await run()
    assert len(standin.badges()) == 1


async def test_a_template_of_nobody_blocks(world: World, standin: Standin) -> None:
    await world.enable(badge_template_id="00000000-0000-4000-8000-00000000dead")
    await world.award("ada")

    await run()

    assert (await world.ledger())[0].reason == "template_not_found"
    assert standin.badges() == []


@pytest.mark.prefect
async def test_a_refused_token_stops_the_organization_with_a_handful_of_calls(world: World, standin: Standin) -> None:
    await world.enable()
    for user in ("ada", "bob"):
        await world.award(user)
    await world.put_token("not-the-token")

    state = await run()

    rows = await world.ledger()
    assert {(r.state, r.reason) for r in rows} == {("blocked", "token_refused")}
    assert len(standin.requests()) == 1
    assert (state.name, state.message) == ("Needs attention", "0 issued · now 2 blocked")

    await world.put_token()
    await run()
    assert len(standin.badges()) == 2


async def test_a_token_that_may_not_write_stops_the_organization(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("ada")
    reads = {"token": "read-only", "write_enabled": False, "delete_enabled": False}
    standin.seed(tokens=[reads | {"organization_id": ORGANIZATION}])
    await world.put_token("read-only")

    await run()

    (row,) = await world.ledger()
    assert (row.state, row.reason, row.attempts) == ("blocked", "token_refused", 0)


@pytest.mark.parametrize("value", [None, "  ", "two words"])
async def test_a_secret_block_without_a_token_blocks(world: World, standin: Standin, value: str | None) -> None:
    await world.enable()
    await world.award("ada")
    if value is None:
        await world.change_connection(token_block="there-is-no-such-block")
    else:
        await world.put_token(value)

    state = await run()

    assert (await world.ledger())[0].reason == "token_missing"
    assert (state.name, standin.requests()) == ("Needs attention", [])


async def test_a_badge_that_credly_has_already_is_adopted(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("ada")
    await run()
    for forgotten in (table(IssuanceTransition), table(IssuanceAttempt), issuances):  # as after a restored backup
        await world.do(forgotten.delete())

    state = await run()

    (row,), (badge,) = await world.ledger(), standin.badges()
    assert (row.state, row.adopted, row.credly_badge_id) == ("issued", True, badge["id"])
    assert state.message == "1 issued, 1 of them found at Credly"


async def test_a_duplicate_that_cannot_be_found_is_a_persons_to_decide(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("ada")
    standin.seed(accounts=[{"addresses": ["ada@example.org", "countess@example.org"]}])
    await world.issue_elsewhere(recipient_email="countess@example.org", issuer_earner_id="someone-else")

    await run()

    (row,) = await world.ledger()
    assert (row.state, row.reason, len(standin.badges())) == ("failed", "duplicate_elsewhere", 1)
    assert "already has this badge" in row.credly_message


async def test_what_credly_refuses_fails_with_its_message(world: World, standin: Standin) -> None:
    await world.enable(locale="xx")
    await world.award("ada")

    await run()

    (row,) = await world.ledger()
    assert (row.state, row.reason, row.attempts) == ("failed", "refused_by_credly", 1)
    assert "ocale" in row.credly_message
    assert "ada@example.org" not in row.credly_message


async def test_an_award_in_the_future_waits(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("ada", awarded_at=datetime.now(UTC) + timedelta(days=1))

    state = await run()

    (row,) = await world.ledger()
    assert (row.state, row.reason, standin.badges()) == ("pending", "awarded_in_future", [])
    assert state.message == "0 issued · now 1 waiting"


async def test_the_badge_is_cancelled_where_the_integration_went_away(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("ada")
    standin.template_state(TEMPLATE, "archived")
    await run()
    await world.disable()

    await run()

    (row,) = await world.ledger()
    assert (row.state, row.reason) == ("cancelled", "integration_removed")


@pytest.mark.prefect
async def test_limit_and_portal_bound_a_run(world: World, standin: Standin) -> None:
    await world.enable()
    for user in ("ada", "bob"):
        await world.award(user)

    await run(limit=1)
    assert len(standin.badges()) == 1

    await run(portal="another-portal")
    assert len(standin.badges()) == 1

    await run(portal="northwind")
    assert len(standin.badges()) == 2


@pytest.mark.prefect
async def test_several_badges_share_a_task_run_beyond_the_bound_and_are_issued_at_once(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.configure(monkeypatch, TASK_RUNS_PER_RUN="1")
    await world.enable()
    for user in ("ada", "bob"):
        await world.award(user)
    standin.fault("hold", method="POST", path="/badges$", count=None)

    running = asyncio.create_task(run())
    await asyncio.to_thread(standin.until_held, 2)
    standin.control("DELETE", "faults")
    await running

    rows = await world.ledger()
    assert len(standin.badges()) == 2
    assert len({row.task_run_id for row in rows}) == 1


async def test_few_rows_are_claimed_at_a_time(world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two for each call, before a batch of three is added."""
    world.configure(monkeypatch, CALLS_AT_ONCE="2", TASK_RUNS_PER_RUN="10")
    await world.enable()
    for number in range(30):
        await world.add_user(f"user-{number:02}")
        await world.award(f"user-{number:02}")
    await world.do(text("CREATE TABLE claimed (rows_at_once INTEGER)"))
    counted = "SELECT count(*) FROM badge_issuances WHERE state = 'issuing'"
    when = "AFTER UPDATE ON badge_issuances WHEN NEW.state = 'issuing'"
    await world.do(text(f"CREATE TRIGGER counts {when} BEGIN INSERT INTO claimed {counted}; END"))

    await run()

    ((most,),) = await world.read(text("SELECT max(rows_at_once) FROM claimed"))
    assert most <= 2 * 2 - 1 + 3
    assert len(standin.badges()) == 30


@pytest.mark.prefect
async def test_a_preview_writes_nothing_and_does_not_call_credly(world: World, standin: Standin) -> None:
    await world.enable(user_evidence=True, project_evidence=True)
    await world.award("ada")
    await world.award("bob", awarded_at=datetime.now(UTC) + timedelta(days=1))

    state = await run(preview=True)

    assert (await world.ledger(), await world.rows(IssuanceAttempt), standin.requests()) == ([], [], [])
    assert state.message == "Preview, nothing was done: 1 issue · 1 wait"


async def test_a_preview_shows_what_is_held_before_and_after_a_run_has_entered_it(world: World) -> None:
    await world.enable(held_at=datetime.now(UTC))
    await world.award("ada")

    before = await run(preview=True)
    await run()
    after = await run(preview=True)

    assert before.message == after.message == "Preview, nothing was done: 1 hold"


async def test_a_correction_between_planning_and_sending_reaches_the_badge(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("ada")
    await world.disconnect()
    await run()
    await world.change(UserEmail, "ada", address="ada.lovelace@example.org")
    await world.connect()

    await run()

    assert standin.badges()[0]["recipient_email"] == "ada.lovelace@example.org"


@pytest.mark.prefect
async def test_one_organizations_trouble_leaves_the_others_alone(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("ada")
    await world.second_portal(base_url="http://127.0.0.1:1/v1")
    await world.award("ada", achievement_id="second-achievement")

    state = await run()

    rows = {row.portal_id: row for row in await world.ledger()}
    assert rows["northwind"].state == "issued"
    assert (rows["second"].state, rows["second"].attempts) == ("pending", 0)
    assert state.is_failed()
    assert "1 issued" in str(state.message)


async def test_a_withdrawn_award_is_not_issued(world: World, standin: Standin) -> None:
    await world.enable()
    award_id = await world.award("ada")
    await world.disconnect()
    await run()
    await world.change(AchievementAward, award_id, withdrawn_at=datetime.now(UTC))
    await world.connect()

    await run()

    (row,) = await world.ledger()
    assert (row.state, row.reason, standin.badges()) == ("cancelled", "award_withdrawn", [])


@pytest.mark.parametrize(("days", "told"), [(9, "ends in 9 days"), (-1, "ended on ")])
async def test_a_token_near_its_end_is_told_loudly_even_where_nothing_is_due(
    world: World, days: int, told: str
) -> None:
    await world.change_connection(token_ends_at=datetime.now(UTC) + timedelta(days=days, hours=1))

    state = await run()

    assert state.name == "Needs attention"
    assert str(state.message).startswith(f"0 issued. Replace the Credly token of northwind ({told}")


async def test_a_token_that_was_replaced_in_its_block_is_not_told(world: World, standin: Standin) -> None:
    await world.change_connection(token_ends_at=datetime.now(UTC) + timedelta(days=9))
    await world.enable()
    await world.award("ada")

    state = await run()

    assert (state.name, state.message) == ("Completed", "1 issued")
    assert (await world.connection()).token_ends_at > datetime.now(UTC) + timedelta(days=170)
