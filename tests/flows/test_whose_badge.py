"""Any answer may follow a badge that was made, and what is found at Credly is adopted by the one that made it only."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.issue_badge import issue_badge
from models.platform.tables import Achievement, User, UserEmail
from rules.forms.inputs import IfBadgeExists
from tests.support.running import run_reconcile as run
from tests.support.standin import Standin
from tests.support.world import TEMPLATE, World

ISSUE = {"method": "POST", "path": "/badges$"}
HTML = "<html><body>Bad Gateway</body></html>"
CREDLYS = json.dumps({"data": {"message": "You are not authorized to perform this action."}, "metadata": None})
STATUSES = (301, 401, 403, 404, 429, 500)  # tests/model/test_misbehaving.py tries all of them


@pytest.fixture(autouse=True)
def _allow_duplicates(standin: Standin) -> None:
    """Credly's own rule must not save us: a second request makes a second badge here."""
    standin.allow_duplicates(TEMPLATE)


async def later(world: World) -> None:
    await world.let_time_pass(timedelta(days=2))
    await run()


def earners(standin: Standin) -> list[str]:
    return sorted(str(badge["issuer_earner_id"]) for badge in standin.badges())


@pytest.mark.parametrize("content", ["", HTML, CREDLYS], ids=["empty", "html", "credlys"])
@pytest.mark.parametrize("status", STATUSES)
async def test_a_badge_made_before_any_answer_is_found_and_not_made_again(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch, status: int, content: str
) -> None:
    world.configure(monkeypatch, THROTTLE_PAUSE_DEFAULT="0.01", RETRIES="0")
    await world.enable()
    await world.award("ada")
    headers = {"Location": "http://127.0.0.1:1/v1"} if 300 <= status < 400 else {}
    standin.fault("answer_after", **ISSUE, status=status, content=content, headers=headers)

    await run()
    await later(world)

    (row,) = await world.ledger()
    assert (row.state, row.adopted, row.unclear_at) == ("issued", True, None)
    assert len(standin.badges()) == len(standin.mails()) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 410, 429])
async def test_where_lists_lag_it_is_not_made_again_either(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    world.configure(monkeypatch, THROTTLE_PAUSE_DEFAULT="0.01", LOOKUP_GRACE="600")
    await world.enable()
    await world.award("ada")
    standin.settings(list_lag_seconds=300)
    standin.fault("answer_after", **ISSUE, status=status, content=HTML)

    await run()
    standin.control("POST", "clock", {"seconds": 301})
    await later(world)

    assert (await world.ledger())[0].state == "issued"
    assert len(standin.badges()) == 1


@pytest.mark.parametrize("earner", ["somebody-else", "ADA"])
async def test_another_earners_badge_for_the_same_address_is_not_adopted(
    world: World, standin: Standin, earner: str
) -> None:
    await world.issue_elsewhere(recipient_email="ada@example.org", issuer_earner_id=earner)
    await world.enable()
    await world.award("ada")
    standin.fault("drop", **ISSUE)

    await run()
    await later(world)

    assert earners(standin) == sorted([earner, "ada"])
    assert [row.adopted for row in await world.ledger()] == [False]


async def test_a_badge_without_an_earner_id_from_years_ago_is_not_adopted(world: World, standin: Standin) -> None:
    years = 3 * 365 * 24 * 3600
    standin.control("POST", "clock", {"seconds": -years})
    await world.issue_elsewhere(recipient_email="ada@example.org", issuer_earner_id="")
    standin.control("POST", "clock", {"seconds": 0})
    await world.enable()
    await world.award("ada")
    standin.fault("drop", **ISSUE)

    await run()
    await later(world)

    assert len(standin.badges()) == 2


@pytest.mark.prefect
async def test_two_users_with_one_address_have_a_badge_each_whatever_is_lost(world: World, standin: Standin) -> None:
    await world.enable()
    await world.add(User, id="cleo", first_name="Cleo", last_name="Palmer")
    await world.add(UserEmail, id="cleo", user_id="cleo", address="ada@example.org", is_primary=True)
    await world.award("ada")
    await world.award("cleo")
    standin.fault("drop_after", **ISSUE)
    standin.fault("drop", **ISSUE)

    await run()
    await later(world)

    assert earners(standin) == ["ada", "cleo"]
    rows = await world.ledger()
    assert {row.state for row in rows} == {"issued"}
    assert len({row.credly_badge_id for row in rows}) == 2


@pytest.mark.parametrize("faults", [["drop_after"], ["drop"], ["drop_after", "drop_after"], ["drop", "drop_after"]])
async def test_two_achievements_with_one_template_have_a_badge_each_whatever_is_lost(
    world: World, standin: Standin, faults: list[str]
) -> None:
    await world.add(Achievement, id="crane", portal_id="northwind", name="Crane")
    await world.enable()
    await world.enable("crane")
    await world.award("ada", awarded_at=datetime.now(UTC) - timedelta(hours=2))
    await world.award("ada", achievement_id="crane")
    for fault in faults:
        standin.fault(fault, **ISSUE)

    await run()
    await later(world)
    await later(world)

    rows = await world.ledger()
    assert [(row.state, row.reason) for row in rows] == [("issued", None)] * 2
    assert sorted(row.credly_badge_id for row in rows) == sorted(badge["id"] for badge in standin.badges())


async def test_a_second_achievement_by_hand_is_issued_although_an_answer_was_lost(
    world: World, standin: Standin
) -> None:
    await world.add(Achievement, id="crane", portal_id="northwind", name="Crane")
    await world.enable()
    await world.enable("crane")
    await issue_badge(user="ada", achievement="forklift", return_state=True)
    standin.fault("drop", **ISSUE)

    state = await issue_badge(user="ada", achievement="crane", return_state=True)

    assert str(state.message).startswith("Issued crane to ada")
    assert len(standin.badges()) == 2


@pytest.mark.parametrize(
    "wrong", [{"issuer_earner_id": "somebody-else"}, {"badge_template": {"id": "7e7e7e7e-0000-4000-8000-00000000000f"}}]
)
async def test_an_answer_about_another_earner_or_template_is_unclear(
    world: World, standin: Standin, wrong: dict[str, Any]
) -> None:
    await world.enable()
    await world.award("ada")
    row = {"id": "of-another", "state": "pending", "issuer_earner_id": "ada"} | wrong
    standin.fault("answer_after", **ISSUE, status=201, content=json.dumps({"data": row, "metadata": {}}))

    await run()
    await later(world)

    (issued,) = await world.ledger()
    assert (issued.state, issued.credly_badge_id) == ("issued", standin.badges()[0]["id"])
    assert len(standin.badges()) == 1


async def test_a_replacement_shows_before_and_after_to_which_address_it_goes(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("ada")
    await run()
    await world.change(UserEmail, "ada", address="ada.lovelace@example.com")
    form = {"user": "ada", "achievement": "forklift", "if_badge_exists": IfBadgeExists.REPLACE}

    preview = await issue_badge(**form, preview=True, return_state=True)
    state = await issue_badge(**form, return_state=True)

    shown = "It goes to the address of the badge that it replaces (a…@e…), not to the user's present one"
    assert shown in str(preview.message)
    assert "It went to the address of the badge that it replaces, not to the user's present one" in str(state.message)
    (mail, second) = standin.mails()
    assert mail["recipient_email"] == second["recipient_email"] == "ada@example.org"
    assert [row.former_address for row in await world.ledger()] == [True]
    assert "ada.lovelace" not in str(state.message)


async def test_one_found_badge_fits_two_rows_that_are_settled_at_once(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.configure(monkeypatch, RETRIES="0")
    await world.add(Achievement, id="crane", portal_id="northwind", name="Crane")
    await world.enable()
    await world.enable("crane")
    await world.award("ada")
    await world.award("ada", achievement_id="crane")
    standin.fault("drop_after", **ISSUE)
    standin.fault("drop", **ISSUE, count=None)
    await run()
    standin.control("DELETE", "faults")
    standin.fault("hold", method="GET", path="/badges$", count=2)
    await world.let_time_pass(timedelta(days=2))

    running = asyncio.create_task(run())
    await asyncio.to_thread(standin.until_held, 2)
    standin.control("POST", "release", {})
    await running
    await later(world)
    await later(world)

    rows = await world.ledger()
    assert {row.state for row in rows} == {"issued"}
    assert sorted(row.credly_badge_id for row in rows) == sorted(badge["id"] for badge in standin.badges())
    assert len(standin.badges()) == 2
