"""One learner's story, through the flow and on a terminal, from a real run against the stand-in."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

import pytest

from flows.enable_credly import enable_credly
from flows.explain import explain
from flows.issue_badge import issue_badge
from flows.pause_credly import pause_credly
from models.platform.tables import User
from rules.markdown import plain
from settings import ROOT
from tests.support.factories import an_achievement
from tests.support.running import run_reconcile
from tests.support.seen import refused, see
from tests.support.standin import Standin
from tests.support.world import TEMPLATE, World

ECHO = '{"data": {"message": "No, Ada Lovelace", "errors": []}}'
PERSONAL = ("Ada", "Lovelace", "ada@example.org", "people/ada")


def a_day_ago() -> datetime:
    return datetime.now(UTC) - timedelta(days=1)


@pytest.mark.prefect
async def test_a_refused_badge_is_told_from_award_to_advice(any_world: World, standin: Standin) -> None:
    await any_world.enable(user_evidence=True)
    await any_world.award("ada", awarded_at=datetime(2026, 11, 2, 8, 15, 42, tzinfo=UTC))
    standin.fault("answer", method="POST", status=422, content=ECHO)
    run = await run_reconcile()

    seen = await see(explain, user="ada", achievement="forklift")

    assert (seen.name, seen.title) == ("Needs attention", "explain forklift of ada")
    assert seen.message.startswith("Credly refused this badge; its message is beside this reason. Credly's message: ")
    assert "**What you can do:** Act on Credly's message, then issue the badge by hand" in seen.page
    order = ["Credly was enabled", "Awarded", "An eligible award", "Sent the badge to Credly", "Refused, or the data"]
    places = [seen.page.index(part) for part in order]
    assert places == sorted(places)
    assert f"refused {plain('(422')}" in seen.page
    assert "| when |" not in seen.page  # a list: a table of long lines is cut off on the screen
    assert "badge\\_template\\_id, evidence\\[1\\], issued\\_at" in seen.page
    assert "## What was sent last" in seen.page
    assert "proves that these very values were sent" in seen.page
    assert "| issued_at | 2026\\-11\\-02 08\\:15\\:42 UTC |" in seen.page
    assert "| recipient_email | a…\\@e… |" in seen.page
    assert f"| badge_template_id | {plain(TEMPLATE)} |" in seen.page
    (row,) = await any_world.ledger()
    assert f"/runs/flow-run/{row.flow_run_id})" in seen.page
    assert row.flow_run_id != str(run.state_details.flow_run_id)  # it is the organization's run that has the calls
    assert [word for word in PERSONAL if word in seen.page + seen.message] == []


async def test_a_later_try_by_hand_and_changed_settings_leave_what_was_before(world: World, standin: Standin) -> None:
    await see(enable_credly, achievement="forklift", badge_template_id=TEMPLATE, issue_since=a_day_ago())
    await world.award("ada")
    standin.fault("answer", method="POST", status=422, content=ECHO)
    await run_reconcile()
    by_hand = await see(issue_badge, user="ada", achievement="forklift", reason="By letter", operator=" o-17")
    paused = await see(pause_credly, achievement="forklift", operator=4711)

    page = (await see(explain, user="ada", achievement="forklift")).page.replace("\\", "")

    order = [
        f"Achievement forklift was enabled for Credly: badge_template_id {TEMPLATE}; ",
        "Issuance 1: An eligible award became an issuance (pending, template",
        "Sent the badge to Credly: refused (422",
        "Issuance 1: Refused, or the data cannot be sent (issuing → failed): Credly refused this badge",
        "Issuance 1: Requested by an operator (failed → pending). By operator o-17. Reason given: By letter.",
        "Sent the badge to Credly: it was issued (201",
        "Issuance 1: Credly has the badge; its id was recorded (issuing → issued). Badge ",
        "Achievement forklift was paused. By operator 4711.",
    ]
    places = [page.index(part) for part in order]
    assert places == sorted(places)
    for seen, at in ((by_hand, order[4]), (paused, order[7])):
        assert f"/runs/flow-run/{seen.run_id})" in page[page.index(at) :].partition("\n")[0]


async def test_a_change_after_sending_is_told_as_such(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("ada")
    await run_reconcile()
    await world.change(User, "ada", first_name="Augusta")

    seen = await see(explain, user="ada", achievement="forklift")

    (badge,) = standin.badges()
    assert seen.message.startswith("ada has the badge of forklift since 20")
    assert seen.name == "Completed"
    assert "## What would be sent now; it is not what was sent last" in seen.page
    assert "What was sent is not kept" in seen.page
    assert plain(badge["id"]) in seen.page
    assert len(seen.links) == 1


async def test_an_award_that_no_run_has_seen_is_told_too(world: World) -> None:
    await world.enable()
    await world.award("ada")

    seen = await see(explain, user="ada", achievement="forklift")

    assert "no run has planned since" in seen.message
    assert "## What would be sent\n\nNothing was sent to Credly for this badge." in seen.page
    assert "| recipient_email | a…\\@e… |" in seen.page


async def test_unknown_ids_are_refused_with_near_ones(world: World) -> None:
    await an_achievement(world.database, "crane")

    assert await refused(explain, user="adam", achievement="forklift") == (
        "user: there is no user `adam`. Did you mean ada? `python -m models.find_user` finds an id by the primary "
        "e-mail address or a part of the name."
    )
    assert await refused(explain, user="ada", achievement="forklfit") == (
        "achievement: there is no achievement `forklfit`. Did you mean forklift (Forklift)?"
    )


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (False, "The platform no longer has a row of its award, which does not withdraw it."),
        (True, "the award was withdrawn afterwards"),
    ],
)
async def test_what_left_the_platform_is_told_from_the_ledger(world: World, counts: bool, said: str) -> None:
    await world.change_connection(deletion_withdraws=counts)
    await world.enable()
    await world.award("ada", awarded_at=a_day_ago())
    await run_reconcile()
    await world.forget("forklift")

    seen = await see(explain, user="ada", achievement="forklift")

    assert said in seen.message
    assert "Credly is not enabled on it." in seen.page


@pytest.mark.parametrize(
    ("arguments", "code", "shown", "hidden"),
    [
        (["--user", "ada", "--achievement", "forklift"], 0, "recipient_email: a…@e…", "ada@example.org"),
        (["--user", "ada", "--achievement", "forklift", "--show-personal-data"], 0, "ada@example.org", "a…@e…"),
        (["--user", "eve", "--achievement", "forklift"], 1, "user: there is no user `eve`.", "ada@example.org"),
    ],
)
async def test_the_terminal_shows_personal_data_only_when_asked(
    world: World, arguments: list[str], code: int, shown: str, hidden: str
) -> None:
    await world.enable()
    await world.award("ada")
    command = [sys.executable, "-m", "flows.explain", *arguments]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=asyncio.subprocess.STDOUT)

    written, _ = await process.communicate()

    assert process.returncode == code
    assert shown in written.decode()
    assert hidden not in written.decode()
