"""One badge: reading, replacing, revoking and deleting it (docs/reference/credly-api.md)."""

import pytest

from tests.contract.conftest import STRANGER, Api
from tests.support.standin import Standin

AGAIN = {"issued_at": "2026-11-09 09:00:00 +0000", "suppress_badge_notification_email": True}


def test_a_badge_can_be_read_by_its_id(api: Api) -> None:
    badge = api.issue()

    reply = api.http.get(f"{api.path}/badges/{badge['id']}")

    assert (reply.status_code, reply.json()["metadata"]) == (200, {})
    assert reply.json()["data"]["recipient_email"] == badge["recipient_email"]


def test_an_unknown_badge_is_not_found(api: Api) -> None:
    reply = api.http.get(f"{api.path}/badges/00000000-0000-4000-8000-00000000dead")

    assert reply.status_code == 404


def test_states_are_the_earners_and_change_the_links(standin: Standin, api: Api) -> None:
    badge = api.issue()
    standin.as_earner(badge["id"], "accept")
    accepted = api.http.get(f"{api.path}/badges/{badge['id']}").json()["data"]
    standin.as_earner(badge["id"], "private")
    standin.as_earner(badge["id"], "reject")
    rejected = api.http.get(f"{api.path}/badges/{badge['id']}").json()["data"]

    assert (accepted["state"], accepted["badge_url"].endswith(f"/badges/{badge['id']}")) == ("accepted", True)
    assert "accept_badge_url" not in accepted
    assert accepted["state_updated_at"]
    assert (rejected["state"], rejected["public"]) == ("rejected", False)
    assert not {"badge_url", "accept_badge_url"} & set(rejected)


def test_replacing_makes_a_new_badge_and_a_chain(api: Api) -> None:
    first = api.issue(issuer_earner_id="person-0042")
    path = f"{api.path}/badges/{first['id']}/replace"

    reply = api.http.post(path, json=AGAIN | {"badge_template_id": api.template, "issued_to_last_name": "Lovelace"})
    second = reply.json()["data"]
    old = api.http.get(f"{api.path}/badges/{first['id']}").json()["data"]

    assert reply.status_code == 201
    assert (second["replaces_badge_id"], old["replacement_badge_id"]) == (first["id"], second["id"])
    assert (second["issued_to_first_name"], second["issued_to_last_name"]) == ("Ada", "Lovelace")
    assert (second["recipient_email"], second["issuer_earner_id"]) == (first["recipient_email"], "person-0042")
    assert (second["issued_at"], second["state"]) == ("2026-11-09T09:00:00.000Z", "pending")


def test_a_replaced_badge_can_be_neither_replaced_nor_revoked_and_names_the_head_of_its_chain(api: Api) -> None:
    first = api.issue()
    asked = AGAIN | {"badge_template_id": api.template}
    second = api.http.post(f"{api.path}/badges/{first['id']}/replace", json=asked).json()["data"]
    third = api.http.post(f"{api.path}/badges/{second['id']}/replace", json=asked).json()["data"]

    again = api.http.post(f"{api.path}/badges/{first['id']}/replace", json=asked)
    revoked = api.http.put(f"{api.path}/badges/{first['id']}/revoke", json={"reason": "x"})

    assert again.status_code == 422
    assert "cannot be replaced because it has already been replaced" in api.message(again)
    assert again.json()["metadata"]["current_badge_id"] == third["id"]
    assert revoked.status_code == 422


def test_what_was_replaced_has_changed(standin: Standin, api: Api) -> None:
    badge = api.issue()
    standin.control("POST", "clock", {"seconds": 60})
    api.http.post(f"{api.path}/badges/{badge['id']}/replace", json=AGAIN | {"badge_template_id": api.template})

    old = api.http.get(f"{api.path}/badges/{badge['id']}").json()["data"]

    assert old["updated_at"] > badge["updated_at"]


@pytest.mark.parametrize("end", ["revoked", "rejected"])
def test_what_does_not_stand_cannot_be_replaced(standin: Standin, api: Api, end: str) -> None:
    badge = api.issue()
    if end == "revoked":
        api.http.put(f"{api.path}/badges/{badge['id']}/revoke", json={"reason": "a mistake"})
    else:
        standin.as_earner(badge["id"], "reject")

    reply = api.http.post(f"{api.path}/badges/{badge['id']}/replace", json=AGAIN | {"badge_template_id": api.template})

    assert (reply.status_code, end in api.message(reply), len(standin.badges())) == (422, True, 1)


@pytest.mark.parametrize("lacking", ["badge_template_id", "issued_at"])
def test_replacing_needs_template_and_date(api: Api, lacking: str) -> None:
    badge = api.issue()
    asked = {"badge_template_id": api.template, **AGAIN}
    del asked[lacking]

    assert api.http.post(f"{api.path}/badges/{badge['id']}/replace", json=asked).status_code == 422


def test_revoking_needs_a_reason_and_mails_the_earner(standin: Standin, api: Api) -> None:
    badge = api.issue()
    path = f"{api.path}/badges/{badge['id']}/revoke"

    without = api.http.put(path, json={"reason": "  "})
    reply = api.http.put(path, json={"reason": "a mistake"})
    again = api.http.put(path, json={"reason": "a mistake"})

    assert [r.status_code for r in (without, reply, again)] == [422, 200, 422]
    revoked = reply.json()["data"]
    assert (revoked["state"], revoked["revocation_reason"]) == ("revoked", "a mistake")
    assert [mail["kind"] for mail in standin.mails()] == ["revoked"]


def test_revoking_can_be_silent(standin: Standin, api: Api) -> None:
    badge = api.issue()

    api.http.put(
        f"{api.path}/badges/{badge['id']}/revoke", json={"reason": "x", "suppress_revoke_notification_email": True}
    )

    assert standin.mails() == []


def test_a_deleted_badge_is_gone(standin: Standin, api: Api) -> None:
    badge = api.issue()

    reply = api.http.delete(f"{api.path}/badges/{badge['id']}")

    assert (reply.status_code, reply.content) == (204, b"")
    assert api.http.get(f"{api.path}/badges/{badge['id']}").status_code == 404
    assert standin.badges() == []


def test_another_organizations_badge_is_not_found(standin: Standin, api: Api) -> None:
    badge = api.issue()
    standin.seed(tokens=[{"token": "of-a-stranger", "organization_id": STRANGER}])

    reply = api.http.get(f"/organizations/{STRANGER}/badges/{badge['id']}", auth=("of-a-stranger", ""))

    assert reply.status_code == 404
