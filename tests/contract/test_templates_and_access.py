"""Templates, organizations, tokens; who is let in; paths and envelopes (docs/reference/credly-api.md)."""

import base64
from uuid import UUID

import httpx
import pytest

from tests.contract.conftest import ORGANIZATION, READ_ONLY, STRANGER, TEMPLATES, TOKEN, Api
from tests.support.standin import Standin


def test_an_organization_is_the_cheapest_check_of_a_token(api: Api) -> None:
    reply = api.http.get(api.path)

    assert (reply.status_code, reply.json()["metadata"]) == (200, {})
    assert reply.json()["data"]["id"] == api.organization
    assert reply.json()["data"]["name"]


def test_organizations_are_those_of_the_token(api: Api) -> None:
    assert [each["id"] for each in api.http.get("/organizations").json()["data"]] == [api.organization]


def test_a_template_can_be_read(api: Api) -> None:
    template = api.http.get(f"{api.path}/badge_templates/{api.template}").json()["data"]

    assert (template["id"], template["state"], template["allow_duplicate_badges"]) == (api.template, "active", False)
    assert template["owner"]["id"] == api.organization
    assert len(template["skills"]) >= 3


def test_an_unknown_template_is_not_found(api: Api) -> None:
    assert api.http.get(f"{api.path}/badge_templates/00000000-0000-4000-8000-00000000dead").status_code == 404


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "active draft archived"),
        ("state::active", "active"),
        ("state::draft,archived", "draft archived"),
        ("name::template", "active draft archived"),
        ('name::"Template, draft"', "draft"),
        ("query::DRAFT", "draft"),
        ("public::true", "active draft archived"),
        ("public::false", ""),
        ("reporting_tags::safety,other", "draft"),
        ("skills::Juggling", "archived"),
        (f"id::{TEMPLATES['draft']}", "draft"),
        (f"owner_id::{STRANGER}", ""),
        ("created_at_min::2026-10-02", "active archived"),
        ("created_at_max::2026-10-01", "draft"),
        ("updated_at_max::2026-10-01|state::draft,active", "draft"),
        ("an_unknown_key::x", "active draft archived"),
    ],
)
def test_templates_are_listed_and_filtered(standin: Standin, api: Api, query: str, found: str) -> None:
    old = {
        "reporting_tags": ["safety"],
        "created_at": "2026-10-01T12:00:00.000Z",
        "updated_at": "2026-10-01T12:00:00.000Z",
    }
    for state, more in (("draft", old), ("archived", {"skills": ["Juggling", "Riding", "Fire"]})):
        named = {"id": TEMPLATES[state], "organization_id": ORGANIZATION, "name": f"Template, {state}", "state": state}
        standin.seed(templates=[named | more])

    rows = api.http.get(f"{api.path}/badge_templates", params={"filter": query} if query else {}).json()["data"]

    assert sorted(row["id"] for row in rows) == sorted(TEMPLATES[state] for state in found.split())


def test_templates_can_be_sorted(standin: Standin, api: Api) -> None:
    standin.template_state(TEMPLATES["archived"], "active")
    api.issue(badge_template_id=TEMPLATES["archived"])

    names = api.http.get(f"{api.path}/badge_templates", params={"sort": "-name"}).json()["data"]
    counts = api.http.get(f"{api.path}/badge_templates", params={"sort": "-badges_count"}).json()["data"]

    assert [row["name"] for row in names] == ["Template, draft", "Template, archived", "Template, active"]
    assert (counts[0]["id"], counts[0]["badges_count"]) == (TEMPLATES["archived"], 1)


def test_a_template_tells_how_many_badges_it_has(standin: Standin, api: Api) -> None:
    gone, _ = (api.issue(recipient_email=f"{name}@example.org") for name in ("ada", "bob"))
    api.http.delete(f"{api.path}/badges/{gone['id']}")

    reply = api.http.get(f"{api.path}/badge_templates/{gone['badge_template']['id']}").json()["data"]

    assert (gone["badge_template"]["badges_count"], reply["badges_count"]) == (1, 1)


def _basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Basic", "Basic ***", _basic("wrong:"), _basic(":"), f"Bearer {TOKEN}", "Basic /w=="],
)
def test_without_the_token_nothing_is_let_in(api: Api, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}

    reply = httpx.get(f"{api.http.base_url}{api.path.removeprefix('/')}", headers=headers)

    assert (reply.status_code, reply.json()["metadata"]) == (401, None)
    assert api.message(reply)


@pytest.mark.parametrize("ending", ["", ":"])
def test_a_token_works_without_its_colon(api: Api, ending: str) -> None:
    url = f"{api.http.base_url}{api.path.removeprefix('/')}"

    reply = httpx.get(url, headers={"Authorization": _basic(f"{api.token}{ending}"), "Accept": "application/json"})

    assert reply.status_code == 200


def test_a_token_ends(standin: Standin, api: Api) -> None:
    assert api.http.get(api.path).status_code == 200
    standin.control("POST", "clock", {"seconds": 181 * 86400})
    assert api.http.get(api.path).status_code == 401


def test_a_token_that_only_reads_may_not_write(standin: Standin, api: Api) -> None:
    badge = api.issue()
    reading = (READ_ONLY, "")

    assert api.http.get(f"{api.path}/badges", auth=reading).status_code == 200
    assert api.http.post(f"{api.path}/badges", json=api.request(), auth=reading).status_code == 403
    assert api.http.delete(f"{api.path}/badges/{badge['id']}", auth=reading).status_code == 403
    assert len(standin.badges()) == 1


def test_a_token_that_only_writes_may_not_read(standin: Standin, api: Api) -> None:
    standin.seed(tokens=[{"token": "that-writes", "organization_id": ORGANIZATION, "read_enabled": False}])
    writing = ("that-writes", "")

    statuses = [api.http.get(path, auth=writing).status_code for path in ("/organizations", api.path)]

    assert statuses == [403, 403]
    assert api.http.post(f"{api.path}/badges", json=api.request(), auth=writing).status_code == 201


def test_tokens_are_listed_and_one_that_reads_sees_its_like(standin: Standin, api: Api) -> None:
    path = f"{api.path}/authorization_tokens"

    all_tokens = api.http.get(path).json()["data"]
    seen = api.http.get(path, auth=(READ_ONLY, "")).json()["data"]

    assert {each["token"] for each in all_tokens} == {TOKEN, READ_ONLY}
    assert [each["token"] for each in seen] == [READ_ONLY]
    assert {"id", "expires_at", "created_at", "write_enabled", "owner_id"} <= set(all_tokens[0])


def test_a_new_token_leaves_the_old_one_as_it_is(standin: Standin, api: Api) -> None:
    path = f"{api.path}/authorization_tokens"
    fields = {"description": "new", "read_enabled": True, "write_enabled": True, "delete_enabled": False}

    made = api.http.post(path, json=fields)

    assert (made.status_code, made.json()["data"]["delete_enabled"]) == (201, False)
    for token in (TOKEN, made.json()["data"]["token"]):
        assert api.http.get(api.path, auth=(token, "")).status_code == 200
    assert api.http.post(path, json=fields, auth=(READ_ONLY, "")).status_code == 403


def test_another_organization_is_closed_and_an_unknown_one_not_found(standin: Standin, api: Api) -> None:
    assert api.http.get(f"/organizations/{STRANGER}/badges").status_code == 403
    assert api.http.get("/organizations/00000000-0000-4000-8000-00000000dead/badges").status_code == 404


@pytest.mark.parametrize("path", ["badges/", "badges.json", "badges"])
@pytest.mark.parametrize("prefix", ["/v1", "/api/v1"])
def test_paths_are_taken_tolerantly(standin: Standin, api: Api, prefix: str, path: str) -> None:
    url = f"{standin.root_url}{prefix}/organizations/{ORGANIZATION}/{path}"

    assert httpx.get(url, auth=(TOKEN, "")).status_code == 200


def test_an_unknown_path_answers_in_the_envelope(api: Api) -> None:
    reply = api.http.get("/nothing/here")

    assert (reply.status_code, reply.json()["metadata"]) == (404, None)


def test_every_reply_says_that_this_is_a_stand_in(standin: Standin, api: Api) -> None:
    for reply in (api.http.get(api.path), api.http.get("/nothing"), httpx.get(standin.root_url)):
        assert "stand-in" in reply.headers["x-credly-standin"]


def test_a_reply_has_a_request_id_of_its_own(standin: Standin, api: Api) -> None:
    sent = {"X-Request-Id": "our-own-id"}
    replies = [api.http.get(path, headers=sent) for path in (api.path, "/nothing", standin.root_url)]
    replies.append(httpx.get(f"{standin.base_url}{api.path}"))

    ids = {reply.headers["x-request-id"] for reply in replies}
    assert len(ids) == 4
    assert "our-own-id" not in ids
    assert all(UUID(each) for each in ids)


@pytest.mark.parametrize(("sent", "answered"), [("our-own_id@1", "our-own_id@1"), ("a b;c" * 100, ("abc" * 100)[:255])])
def test_a_request_id_can_be_assumed_to_be_reused(standin: Standin, api: Api, sent: str, answered: str) -> None:
    standin.settings(request_id_is_reused=True)

    reply = api.http.get(api.path, headers={"X-Request-Id": sent})

    assert reply.headers["x-request-id"] == answered
    assert UUID(api.http.get(api.path).headers["x-request-id"])


def test_unknown_fields_can_be_added_to_replies(standin: Standin, api: Api) -> None:
    standin.settings(extra_fields=True)

    assert "invented_field" in api.issue()


def test_a_rotated_token_is_dead_at_once(standin: Standin, api: Api) -> None:
    path = f"{api.path}/authorization_tokens/rotate"
    assert api.http.post(path).status_code == 404
    standin.settings(rotate_is_offered=True)

    fresh = api.http.post(path).json()["data"]["token"]

    assert api.http.get(api.path).status_code == 401
    assert api.http.get(api.path, auth=(fresh, "")).status_code == 200
