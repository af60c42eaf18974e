"""Requests as published clients of Credly send them, byte for byte, and what those clients read of the replies.

Written from watching riipen/credly-ruby (Ruby), isovalent/credly-go (Go) and openedx/credentials (Python) work with the
stand-in, and from the source of generalsystemsvehicle/zero-gravitas (PHP).
"""

import base64
import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.contract.conftest import ORGANIZATION, TEMPLATES, TOKEN
from tests.support.standin import Standin

TEMPLATE = TEMPLATES["active"]
PATH = f"/v1/organizations/{ORGANIZATION}"
NAMES = '"issued_to_first_name":"Ada","issued_to_last_name":"Muster"'


def basic(text: str) -> str:
    return "Authorization: Basic " + base64.b64encode(text.encode()).decode()


@dataclass(frozen=True)
class Imitated:
    """A client: its headers in their order, and those that it adds where there is a body."""

    standin: Standin
    headers: Sequence[str]
    with_body: Sequence[str] = ()

    def send(self, method: str, target: str, body: str | None = None) -> tuple[int, Any]:
        """Return the status, and the reply's JSON or None where it is empty."""
        address = urlsplit(self.standin.root_url)
        content = (body or "").encode()
        lines = [f"{method} {target} HTTP/1.1", f"Host: {address.netloc}", *self.headers]
        if body is not None:
            lines += [*self.with_body, f"Content-Length: {len(content)}"]
        with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode("ascii") + content)
            reply = HTTPResponse(connection, method=method)
            reply.begin()
            text = reply.read()
        return reply.status, json.loads(text) if text else None

    def data(self, method: str, target: str, body: str | None = None) -> Any:
        status, reply = self.send(method, target, body)
        assert status in (200, 201), reply
        return reply["data"]


@pytest.fixture
def ruby(standin: Standin) -> Imitated:
    """riipen/credly-ruby, over Faraday."""
    headers = (
        "User-Agent: Faraday v1.1.0",
        "Accept: application/json",
        basic(f"{TOKEN}:"),
        "Accept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3",
    )
    return Imitated(standin, headers, with_body=("Content-Type: application/json",))


@pytest.fixture
def go(standin: Standin) -> Imitated:
    """isovalent/credly-go: a bar after the token, and a content type without content."""
    headers = ("User-Agent: Go-http-client/1.1", "Accept: application/json", basic(f"{TOKEN}|"))
    return Imitated(standin, (*headers, "Content-Type: application/json", "Accept-Encoding: gzip"))


@pytest.fixture
def python(standin: Standin) -> Imitated:
    """openedx/credentials, over requests: nothing after the token, a slash after each path."""
    headers = ("User-Agent: python-requests/2.34.2", "Accept-Encoding: gzip, deflate", "Accept: application/json")
    return Imitated(standin, (*headers, "Connection: keep-alive", "Content-Type: application/json", basic(TOKEN)))


@pytest.fixture
def php(standin: Standin) -> Imitated:
    """generalsystemsvehicle/zero-gravitas, over Guzzle."""
    headers = ("User-Agent: GuzzleHttp/7", basic(f"{TOKEN}:"), "Content-Type: application/json")
    return Imitated(standin, (*headers, "Accept: application/json"))


def test_the_ruby_client_reads_organizations_templates_and_tokens(ruby: Imitated) -> None:
    assert [each["name"] for each in ruby.data("GET", "/v1/organizations")] == ["Contract"]
    assert ruby.data("GET", PATH)["id"] == ORGANIZATION
    active = ruby.data("GET", f"{PATH}/badge_templates?filter=state%3A%3Aactive")
    assert [each["id"] for each in active] == [TEMPLATE]
    assert ruby.data("GET", f"{PATH}/badge_templates/{TEMPLATE}")["state"] == "active"
    assert TOKEN in [each["token"] for each in ruby.data("GET", f"{PATH}/authorization_tokens")]


def test_the_ruby_client_issues_finds_replaces_revokes_and_deletes(ruby: Imitated) -> None:
    asked = f'"badge_template_id":"{TEMPLATE}","issued_at":"2026-11-02 09:00:00 +0100"'
    body = f'{{"recipient_email":"ada+ruby@example.org",{NAMES},{asked}}}'
    found = "filter=recipient_email%3A%3Aada%2Bruby%40example.org%7Cstate%3A%3Apending&page=1&sort=-issued_at"

    issued = ruby.data("POST", f"{PATH}/badges", body)
    listed = ruby.data("GET", f"{PATH}/badges?{found}")
    replaced = ruby.data("POST", f"{PATH}/badges/{issued['id']}/replace", f"{{{asked}}}")
    refused = ruby.send("PUT", f"{PATH}/badges/{issued['id']}/revoke", '{"reason":"x"}')
    silent = '{"reason":"x","suppress_revoke_notification_email":true}'
    revoked = ruby.data("PUT", f"{PATH}/badges/{replaced['id']}/revoke", silent)
    bulk = ruby.data("GET", f"{PATH}/high_volume_issued_badge_search?badge_format=minimal")

    assert [each["id"] for each in listed] == [issued["id"]]
    assert replaced["replaces_badge_id"] == issued["id"]
    assert (refused[0], "replaced" in refused[1]["data"]["message"]) == (422, True)
    assert revoked["state"] == "revoked"
    assert [each["id"] for each in bulk] == [issued["id"], replaced["id"]]
    assert ruby.send("DELETE", f"{PATH}/badges/{replaced['id']}") == (204, None)


def test_the_go_client_reads_templates(go: Imitated) -> None:
    (template, *_) = go.data("GET", f"{PATH}/badge_templates")

    texts = [template[name] for name in ("id", "name", "url", "image_url", "vanity_slug")]
    assert [type(text) for text in (*texts, *template["skills"])] == [str] * (5 + len(template["skills"]))
    assert go.data("GET", f"{PATH}/badge_templates/{TEMPLATE}")["id"] == TEMPLATE


def test_the_go_client_issues_once_and_finds_what_it_issued(go: Imitated) -> None:
    body = (
        f'{{"badge_template_id":"{TEMPLATE}","issued_at":"2026-11-23 12:54:31 +0000",'
        f'{NAMES},"recipient_email":"ada@example.org"}}'
    )
    issued = go.data("POST", f"{PATH}/badges", body)

    by_person = go.data("GET", f"{PATH}/badges?filter=recipient_email_all::ada%40example.org")
    tagged = "%7Cbadge_templates%5Breporting_tags%5D%3A%3Asafety%2Cbridges"
    by_tag = go.data("GET", f"{PATH}/badges?filter=recipient_email_all::ada%40example.org{tagged}")
    bare = f"{PATH}/badges?filter=recipient_email_all::ada@example.org|badge_template_id::{TEMPLATE}"

    assert go.send("POST", f"{PATH}/badges", body)[0] == 422
    assert [each["id"] for each in (*by_person, *go.data("GET", bare))] == [issued["id"]] * 2
    assert by_tag == []
    assert datetime.fromisoformat(issued["issued_at"]).tzinfo is not None
    assert (type(issued["user"]), type(issued["image"]["url"])) == (dict, str)


def test_the_python_client_follows_pages_of_templates(standin: Standin, python: Imitated) -> None:
    more = [{"id": f"more-{n}", "organization_id": ORGANIZATION, "name": f"More {n}"} for n in range(50)]
    standin.seed(templates=more)

    _, first = python.send("GET", f"{PATH}/badge_templates/?filter=state::active")
    following = urlsplit(first["metadata"]["next_page_url"])
    _, second = python.send("GET", f"{following.path}?{following.query}")

    assert (first["metadata"]["total_pages"], second["metadata"]["next_page_url"]) == (2, None)
    rows = [*first["data"], *second["data"]]
    assert len({row["id"] for row in rows}) == 51
    assert {"id", "name", "state", "description", "image_url"} <= set.intersection(*map(set, rows))


def test_the_python_client_issues_and_revokes(python: Imitated) -> None:
    body = (
        '{"recipient_email": "ada@example.org", "issued_to_first_name": "Ada", "issued_to_last_name": "Muster", '
        f'"badge_template_id": "{TEMPLATE}", "issued_at": "2026-11-02 09:00:00 +0100"}}'
    )

    organization = python.data("GET", f"{PATH}/")
    issued = python.data("POST", f"{PATH}/badges/", body)
    again = python.send("POST", f"{PATH}/badges/", body)
    without_reason = python.send("PUT", f"{PATH}/badges/{issued['id']}/revoke/")
    revoked = python.data("PUT", f"{PATH}/badges/{issued['id']}/revoke/", '{"reason": "was revoked"}')

    assert (organization["name"], issued["state"], revoked["state"]) == ("Contract", "pending", "revoked")
    assert (again[0], without_reason[0]) == (422, 422)


def test_the_php_client_issues_and_reads_on(php: Imitated) -> None:
    body = (
        r'{"recipient_email":"eva@example.org","issued_to_first_name":"\u00c9va","issued_to_last_name":"Muster",'
        rf'"badge_template_id":"{TEMPLATE}","issued_at":"2026-11-02 09:00:00 -0500",'
        r'"evidence":[{"type":"UrlEvidence","name":"Portfolio","value":"https:\/\/example.org\/p"}]}'
    )

    issued = php.data("POST", f"{PATH}/badges", body)
    _, bulk = php.send("GET", f"{PATH}/high_volume_issued_badge_search")

    assert (issued["issued_to"], issued["evidence"][0]["value"]) == ("Éva Muster", "https://example.org/p")
    assert issued["issued_at"] == "2026-11-02T14:00:00.000Z"
    assert (bulk["data"][0]["id"], bulk["metadata"]) == (issued["id"], {"next_page_url": None})


@pytest.mark.parametrize("ending", ["", "|"])
def test_the_colon_can_be_assumed_to_be_needed(standin: Standin, ending: str) -> None:
    standin.settings(accept_token_without_colon=False)
    client = Imitated(standin, (basic(f"{TOKEN}{ending}"),))

    assert client.send("GET", PATH)[0] == 401
