"""What the stand-in shows to people, what a test can do to it, and how it is started."""

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from credly.standin.settings import Assumptions
from settings import ROOT
from tests.support.standin import Standin
from tests.support.waiting import until
from tests.support.world import ORGANIZATION, SEED, TEMPLATE, TOKEN


def issue(standin: Standin, **changes: object) -> dict[str, str]:
    asked = {
        "recipient_email": "ada@example.org",
        "issued_to_first_name": "Ada",
        "issued_to_last_name": "<b>Lovelace</b>",
        "badge_template_id": TEMPLATE,
        "issued_at": "2026-11-02T08:00:00Z",
    }
    path = f"{standin.base_url}/organizations/{ORGANIZATION}/badges"
    reply = httpx.post(path, json=asked | changes, auth=(TOKEN, ""))
    assert reply.status_code == 201, reply.text
    return dict(reply.json()["data"])


def page(standin: Standin, path: str) -> str:
    reply = httpx.get(f"{standin.root_url}{path}")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "stand-in of Credly" in reply.text
    return reply.text


@pytest.mark.parametrize("claimed", [False, True])
def test_a_badge_shows_what_a_learner_sees(standin: Standin, claimed: bool) -> None:
    evidence = [
        {"type": "UrlEvidence", "name": "Portfolio & more", "value": "https://example.org/p?a=1&b=2"},
        {"type": "PlainTextEvidence", "title": "Remark", "description": "<i>Well</i> done"},
    ]
    badge = issue(standin, evidence=evidence, expires_at="2030-01-31 00:00:00 +0000")

    shown = page(standin, f"/badges/{badge['id']}" + ("" if claimed else "/accept"))

    assert "Forklift" in shown
    assert "Northwind" in shown
    assert "2 November 2026, 08:00:00 UTC" in shown
    assert "31 January 2030" in shown
    assert 'href="https://example.org/p?a=1&amp;b=2"' in shown
    assert "Portfolio &amp; more" in shown
    assert "a…@e…" in shown
    assert "ada@example.org" not in shown
    assert not re.search("<i>Well|<b>Lovelace", shown)


def test_an_organization_shows_its_badges_page_by_page(standin: Standin) -> None:
    for number in range(51):
        issue(standin, recipient_email=f"user-{number}@example.org", issued_to_last_name=f"Number-{number}")

    first = page(standin, f"/organizations/{ORGANIZATION}")
    second = page(standin, f"/organizations/{ORGANIZATION}?page=2")

    assert (first.count("/badges/"), second.count("/badges/")) == (50, 1)
    assert "51" in page(standin, "/")
    assert "user-1@" not in first


def test_what_is_not_there_is_not_found(standin: Standin) -> None:
    for path in ("/badges/unknown", "/organizations/unknown", "/nothing", "/_standin/nothing"):
        assert httpx.get(f"{standin.root_url}{path}").status_code == 404


def test_every_assumption_is_on_a_page_with_its_present_value(standin: Standin) -> None:
    standin.settings(list_lag_seconds=17)

    shown = page(standin, "/assumptions")

    assert [name for name in Assumptions.model_fields if name not in shown] == []
    assert "<td>17.0</td>" in shown
    assert "Documented" in shown
    assert "Missing" in shown


def test_a_template_has_a_picture(standin: Standin) -> None:
    reply = httpx.get(f"{standin.root_url}/images/{TEMPLATE}.svg")

    assert reply.headers["content-type"] == "image/svg+xml"
    assert reply.text.startswith("<svg")


def test_requests_are_listed_with_names_of_fields_and_no_values(standin: Standin) -> None:
    issue(standin)

    (request,) = standin.requests()

    assert (request["method"], request["status"]) == ("POST", 201)
    assert "recipient_email" in request["fields"]
    assert "ada@example.org" not in json.dumps(request)


def test_badges_can_be_asked_for_across_organizations(standin: Standin) -> None:
    made = issue(standin)
    issue(standin, recipient_email="bob@example.org")

    assert len(standin.badges(organization_id=ORGANIZATION, badge_template_id=TEMPLATE)) == 2
    assert [badge["id"] for badge in standin.badges(recipient_email="ADA@example.org")] == [made["id"]]


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("POST", "seed", {"badges": []}, "Cannot seed badges"),
        ("POST", "seed", {"tokens": [{"token": "x"}]}, "missing 'organization_id'"),
        ("PATCH", "settings", {"latency_ms": -1}, "latency_ms"),
        ("PATCH", "settings", {"unheard_of": 1}, "unheard_of"),
        ("POST", f"templates/{TEMPLATE}/state", {"state": "lost"}, "draft, active or archived"),
    ],
)
def test_a_control_that_cannot_be_done_says_why(
    standin: Standin, method: str, path: str, body: dict[str, object], words: str
) -> None:
    reply = httpx.request(method, f"{standin.root_url}/_standin/{path}", json=body)

    assert reply.status_code == 400
    assert words in reply.json()["data"]["message"]


def test_moves_that_are_not_possible_are_refused(standin: Standin) -> None:
    badge_id = issue(standin)["id"]
    controls = f"{standin.root_url}/_standin"

    assert httpx.post(f"{controls}/templates/unknown/state", json={"state": "active"}).status_code == 404
    assert httpx.post(f"{controls}/badges/unknown/accept").status_code == 404
    assert httpx.post(f"{controls}/badges/{badge_id}/eat").status_code == 404
    standin.as_earner(badge_id, "accept")
    assert httpx.post(f"{controls}/badges/{badge_id}/accept").status_code == 422


def test_latency_is_before_every_answer(standin: Standin) -> None:
    standin.settings(latency_ms=120)

    reply = httpx.get(f"{standin.base_url}/organizations", auth=(TOKEN, ""))

    assert reply.elapsed.total_seconds() >= 0.12
    assert standin.control("GET", "settings")["latency_ms"] == 120


@pytest.mark.parametrize("seeded", [True, False])
def test_it_is_started_with_a_command_and_keeps_its_state_in_a_file(tmp_path: Path, seeded: bool) -> None:
    seed = tmp_path / "seed.json"
    seed.write_text(json.dumps(SEED))
    options = ["--port", "0", "--database", str(tmp_path / "standin.db"), *(["--seed", str(seed)] if seeded else [])]
    token = TOKEN if seeded else "invented-sample-token"

    first, second = (_started_once(options, token, shown=tmp_path / f"{name}.txt") for name in ("first", "second"))

    assert ("Sample organization" in first) is not seeded
    assert "Sample organization" not in second


def _started_once(options: list[str], token: str, *, shown: Path) -> str:
    with shown.open("w") as output:
        command = [sys.executable, "-m", "credly.standin", *options]
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    try:
        until(lambda: "answers at" in shown.read_text() or process.poll() is not None, what="it answers")
        found = re.search(r"answers at (http://127\.0\.0\.1:\d+/v1)", shown.read_text())
        assert found, shown.read_text()
        until(lambda: _answers(found[1], token), what="the token is known")
    finally:
        process.terminate()
        process.wait(timeout=20)
    return shown.read_text()


def _answers(base_url: str, token: str) -> bool:
    try:
        return httpx.get(f"{base_url}/organizations", auth=(token, "")).status_code == 200
    except httpx.TransportError:
        return False
