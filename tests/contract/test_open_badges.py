"""The public Open Badges documents of a badge (docs/reference/credly-api.md)."""

from hashlib import sha256

import httpx

from tests.contract.conftest import STRANGER, TEMPLATES, Api
from tests.support.standin import Standin


def test_an_accepted_badge_has_an_assertion_a_class_and_an_issuer(standin: Standin, api: Api) -> None:
    evidence = {"type": "UrlEvidence", "name": "Portfolio", "value": "https://example.org/p"}
    badge = api.issue(recipient_email="Ada@example.org", evidence=[evidence])
    standin.as_earner(badge["id"], "accept")

    assertion = httpx.get(f"{standin.base_url}/obi/v2/badge_assertions/{badge['id']}").json()
    badge_class = httpx.get(assertion["badge"]).json()
    issuer = httpx.get(badge_class["issuer"]).json()

    identity = "sha256$" + sha256(b"ada@example.org").hexdigest()
    assert assertion["recipient"] == {"type": "email", "hashed": True, "identity": identity}
    assert assertion["type"] == "Assertion"
    assert assertion["issuedOn"].startswith("2026-11-02T08:00:00")
    assert "expires" not in assertion
    assert assertion["evidence"][0]["id"] == "https://example.org/p"
    assert (badge_class["type"], issuer["type"]) == ("BadgeClass", "Issuer")
    obi = f"{standin.root_url}/api/v1/obi/v2"
    assert assertion["badge"] == f"{obi}/issuers/{api.organization}/badge_classes/{api.template}"
    assert (assertion["id"], badge_class["id"]) == (f"{obi}/badge_assertions/{badge['id']}", assertion["badge"])
    assert httpx.get(f"{standin.base_url}/obi/v2/badge_classes/{api.template}").json() == badge_class


def test_a_badge_that_expires_says_so(standin: Standin, api: Api) -> None:
    badge = api.issue(expires_at="2030-01-01 00:00:00 +0000")
    standin.as_earner(badge["id"], "accept")

    assertion = httpx.get(f"{standin.base_url}/obi/v2/badge_assertions/{badge['id']}").json()

    assert assertion["expires"].startswith("2030-01-01")


def test_what_nobody_may_see_is_not_found_and_what_was_revoked_is_gone(standin: Standin, api: Api) -> None:
    pending, private, revoked = (api.issue()["id"] for _ in range(3))
    for badge_id in (private, revoked):
        standin.as_earner(badge_id, "accept")
    standin.as_earner(private, "private")
    api.http.put(f"{api.path}/badges/{revoked}/revoke", json={"reason": "x"})

    statuses = {
        badge_id: httpx.get(f"{standin.base_url}/obi/v2/badge_assertions/{badge_id}").status_code
        for badge_id in (pending, private, revoked, "unknown")
    }

    assert statuses == {pending: 404, private: 404, revoked: 410, "unknown": 404}


def test_unknown_classes_and_issuers_are_not_found(standin: Standin) -> None:
    elsewhere = f"issuers/{STRANGER}/badge_classes/{TEMPLATES['active']}"
    for path in ("badge_classes/unknown", "issuers/unknown", elsewhere):
        assert httpx.get(f"{standin.base_url}/obi/v2/{path}").status_code == 404
