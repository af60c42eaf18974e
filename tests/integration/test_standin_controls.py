"""What a test or a person can do to the stand-in under /_standin/, and that its README tells of it."""

import re
from datetime import datetime, timedelta
from typing import Any, get_args

import httpx
import pytest
from fastapi.routing import APIRoute

from credly.standin import controls, faults
from credly.standin.settings import Assumptions
from settings import ROOT
from tests.support.standin import Standin
from tests.support.world import BADGE, ORGANIZATION, TEMPLATE, TOKEN


def api(standin: Standin, method: str, path: str, *, token: str = TOKEN, **more: Any) -> httpx.Response:
    return httpx.request(method, f"{standin.base_url}/{path}", auth=(token, ""), **more)


def issue(standin: Standin, **changes: Any) -> dict[str, Any]:
    reply = api(standin, "POST", f"organizations/{ORGANIZATION}/badges", json=BADGE | changes)
    assert reply.status_code == 201, reply.text
    return dict(reply.json()["data"])


def test_it_says_when_it_is_ready(standin: Standin) -> None:
    assert standin.control("GET", "health") == {"status": "ok"}


def test_a_reset_forgets_everything(standin: Standin) -> None:
    issue(standin)
    standin.settings(list_lag_seconds=30)
    standin.fault("drop", count=None)
    standin.control("POST", "clock", {"seconds": 3600})

    standin.control("POST", "reset")

    assert (standin.badges(), standin.requests(), standin.mails()) == ([], [], [])
    assert standin.control("GET", "settings")["list_lag_seconds"] == 0
    assert standin.faults() == {"faults": [], "held": 0, "happened": {}}
    assert api(standin, "GET", "organizations").status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"organizations": {"id": "a"}},
        {"organizations": ["a"]},
        {"templates": [{"id": "t", "organization_id": {"not": "text"}}]},
        {"accounts": [{"addresses": 1}]},
        {"tokens": [{"organization_id": "a"}]},
    ],
)
def test_a_seed_is_planted_as_a_whole_or_not_at_all(standin: Standin, wrong: dict[str, Any]) -> None:
    good = {"organizations": [{"id": "a", "name": "A"}], "tokens": [{"token": "of-a", "organization_id": "a"}]}

    reply = httpx.post(f"{standin.root_url}/_standin/seed", json=good | wrong)

    assert (reply.status_code, reply.json()["metadata"]) == (400, None)
    assert api(standin, "GET", "organizations", token="of-a").status_code == 401


def test_a_row_with_a_known_key_replaces_the_old_one(standin: Standin) -> None:
    standin.seed(organizations=[{"id": ORGANIZATION, "name": "Southwind"}])

    assert [each["name"] for each in api(standin, "GET", "organizations").json()["data"]] == ["Southwind"]


def test_the_clock_is_moved_from_the_real_time_and_not_from_where_it_was(standin: Standin) -> None:
    def moved(seconds: int) -> datetime:
        return datetime.fromisoformat(standin.control("POST", "clock", {"seconds": seconds})["now"])

    present, ahead, ahead_again = (moved(seconds) for seconds in (0, 86400, 86400))

    assert timedelta(hours=23) < ahead - present < timedelta(hours=25)
    assert ahead_again - ahead < timedelta(hours=1)
    assert datetime.fromisoformat(issue(standin)["created_at"]) >= ahead_again


@pytest.mark.parametrize("seconds", ["soon", None, [1], 1e300, 1e12])
def test_a_clock_that_cannot_be_is_refused_and_goes_on(standin: Standin, seconds: Any) -> None:
    reply = httpx.post(f"{standin.root_url}/_standin/clock", json={"seconds": seconds})

    assert (reply.status_code, "seconds" in reply.json()["data"]["message"]) == (400, True)
    assert issue(standin)["state"] == "pending"


def test_badges_are_found_by_ids_with_capitals(standin: Standin) -> None:
    standin.seed(
        organizations=[{"id": "ORG-B", "name": "B"}],
        tokens=[{"token": "of-b", "organization_id": "ORG-B"}],
        templates=[{"id": "TEMPLATE-B", "organization_id": "ORG-B"}],
    )
    path = "organizations/ORG-B/badges"
    made = api(standin, "POST", path, token="of-b", json=BADGE | {"badge_template_id": "TEMPLATE-B"}).json()["data"]
    issue(standin)

    found = standin.badges(organization_id="ORG-B", badge_template_id="TEMPLATE-B", unknown="ignored")

    assert [badge["id"] for badge in found] == [made["id"]]


def test_the_outbox_has_what_would_have_been_mailed(standin: Standin) -> None:
    badge = issue(standin, locale="fr")
    issue(standin, recipient_email="bob@example.org", suppress_badge_notification_email=True)
    path = f"organizations/{ORGANIZATION}/badges/{badge['id']}/revoke"
    api(standin, "PUT", path, json={"reason": "a mistake"})

    mails = [(mail["kind"], mail["recipient_email"], mail["locale"]) for mail in standin.mails()]

    assert mails == [("issued", "ada@example.org", "fr"), ("revoked", "ada@example.org", "fr")]


def test_a_template_can_be_taken_out_of_use_and_put_back(standin: Standin) -> None:
    path = f"organizations/{ORGANIZATION}/badges"
    statuses = []
    for state in ("archived", "draft", "active"):
        standin.template_state(TEMPLATE, state)
        statuses.append(api(standin, "POST", path, json=BADGE).status_code)

    assert statuses == [422, 422, 201]


def test_a_template_can_be_opened_for_duplicates_and_closed_again(standin: Standin) -> None:
    path = f"organizations/{ORGANIZATION}/badges"
    issue(standin)
    statuses = []
    for allowed in (True, False):
        standin.control("POST", f"templates/{TEMPLATE}/duplicates", {"allowed": allowed})
        statuses.append(api(standin, "POST", path, json=BADGE).status_code)
    unknown = httpx.post(f"{standin.root_url}/_standin/templates/unknown/duplicates", json={"allowed": True})

    assert (statuses, unknown.status_code) == ([201, 422], 404)


def test_a_fault_happens_as_often_as_it_is_asked_for(standin: Standin) -> None:
    standin.fault("answer", status=503, count=2)

    statuses = [api(standin, "GET", "organizations").status_code for _ in range(3)]

    assert statuses == [503, 503, 200]


def test_the_head_of_a_chain_is_the_last_that_is_left(standin: Standin) -> None:
    again = {"badge_template_id": TEMPLATE, "issued_at": "2026-11-09T08:00:00Z"}
    path = f"organizations/{ORGANIZATION}/badges"
    first = issue(standin)["id"]
    second = api(standin, "POST", f"{path}/{first}/replace", json=again).json()["data"]["id"]
    api(standin, "DELETE", f"{path}/{second}")

    reply = api(standin, "POST", f"{path}/{first}/replace", json=again)

    assert (reply.status_code, reply.json()["metadata"]) == (422, {"current_badge_id": first})


@pytest.mark.parametrize(("page", "shown"), [("0", 1), ("9" * 30, 1), ("1", 1)])
def test_a_page_beyond_the_last_shows_the_last(standin: Standin, page: str, shown: int) -> None:
    issue(standin)

    reply = httpx.get(f"{standin.root_url}/organizations/{ORGANIZATION}", params={"page": page})

    assert (reply.status_code, reply.text.count('href="/badges/')) == (200, shown)


def test_the_readme_tells_of_every_control_fault_and_assumption() -> None:
    text = (ROOT / "credly" / "standin" / "README.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) [\w/]+)", text))
    routes = [route for router in (controls.router, faults.router) for route in router.routes]
    there = {
        f"{method} {re.sub(r'{move}', 'accept', re.sub(r'{[a-z_]+id}', 'ID', route.path)).strip('/')}"
        for route in routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }

    assert there - told == set()
    names = [*get_args(faults.Action), "reject", "private", *Assumptions.model_fields]
    assert [name for name in names if f"`{name}`" not in text] == []
