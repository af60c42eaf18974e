"""Issuing: what is required, what comes back, what counts as a duplicate (docs/reference/credly-api.md)."""

import re
from typing import Any

import pytest

from tests.contract.conftest import TEMPLATES, Api
from tests.support.standin import Standin

EVIDENCE = {"type": "UrlEvidence", "name": "Portfolio", "value": "https://example.org/p/42", "description": "Forty-two"}


def test_a_badge_comes_back_whole(api: Api) -> None:
    asked = api.request(issuer_earner_id="person-0042", issued_to_middle_name="B.", evidence=[EVIDENCE])
    reply = api.http.post(f"{api.path}/badges", json=asked)
    badge = reply.json()["data"]

    assert (reply.status_code, reply.json()["metadata"]) == (201, {})
    assert badge["recipient_email"] == asked["recipient_email"]
    assert (badge["issued_to_first_name"], badge["issued_to_last_name"]) == ("Ada", "Muster")
    assert badge["issuer_earner_id"] == "person-0042"
    assert (badge["issued_at"], badge["issued_at_date"]) == ("2026-11-02T08:00:00.000Z", "2026-11-02")
    assert badge["badge_template"]["id"] == api.template
    (entry,) = badge["evidence"]
    assert {name: entry[name] for name in EVIDENCE} == EVIDENCE
    assert entry["id"]


def test_a_new_badge_is_pending_and_public_and_can_be_accepted(api: Api) -> None:
    badge = api.issue()

    assert (badge["state"], badge["public"], badge["state_updated_at"]) == ("pending", True, None)
    assert badge["accept_badge_url"].endswith(f"/badges/{badge['id']}/accept")
    assert badge["user"] == {}
    assert (badge["replacement_badge_id"], badge["replaces_badge_id"], badge["revocation_reason"]) == (None, None, None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", badge["created_at"])


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-11-02 09:00:00 +0100", "2026-11-02T08:00:00.000Z"),
        ("2026-11-02T08:00:00Z", "2026-11-02T08:00:00.000Z"),
        ("2026-11-02T08:00:00.789Z", "2026-11-02T08:00:00.000Z"),
        ("2026-11-02T10:30:00+02:30", "2026-11-02T08:00:00.000Z"),
        ("2026-11-02 08:00:00 am", "2026-11-02T08:00:00.000Z"),
    ],
)
def test_moments_are_read_in_all_their_forms(api: Api, written: str, read: str) -> None:
    assert api.issue(issued_at=written)["issued_at"] == read


@pytest.mark.parametrize(
    "name", ["recipient_email", "issued_to_first_name", "issued_to_last_name", "badge_template_id", "issued_at"]
)
@pytest.mark.parametrize("value", [None, "", "   "])
def test_a_required_field_may_be_neither_missing_nor_blank(api: Api, name: str, value: str | None) -> None:
    reply = api.post(**{name: value})

    assert (reply.status_code, reply.json()["metadata"]) == (422, None)
    assert api.message(reply)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("recipient_email", "nobody"),
        ("recipient_email", "two@example.org, more@example.org"),
        ("issued_to_first_name", ["Ada"]),
        ("issued_at", "yesterday"),
        ("issued_at", "false"),
        ("issued_at", "9999-12-31T23:59:59-14:00"),
        ("expires_at", "some day"),
        ("expires_at", 0),
        ("locale", "xx"),
        ("issued_to_first_name", "x" * 256),
        ("issuer_earner_id", "x" * 256),
        ("evidence", "https://example.org"),
        ("evidence", [{"type": "CourseEvidence", "name": "x"}]),
        ("evidence", [{"type": "UrlEvidence", "name": "x", "value": "javascript:alert(1)"}]),
        ("evidence", [{"type": "UrlEvidence", "name": " ", "value": "https://example.org"}]),
        ("duplicate_behavior", "perhaps"),
    ],
)
def test_what_is_not_valid_is_refused(standin: Standin, api: Api, field: str, value: Any) -> None:
    reply = api.post(**{field: value})

    assert reply.status_code == 422
    assert api.message(reply).startswith("Validation failed: ")
    (error,) = reply.json()["data"]["errors"]
    assert (error["attribute"], len(error["messages"])) == (field, 1)
    assert standin.badges() == []


@pytest.mark.parametrize(
    "evidence",
    [
        {"type": "IdEvidence", "title": "Certificate", "description": "42"},
        {"type": "PlainTextEvidence", "title": "Remark", "description": "Well done"},
        {
            "type": "KeyValueGroupEvidence",
            "name": "Numbers",
            "values": [{"type": "KeyValuePairEvidence", "key": "score", "value": "9"}],
        },
    ],
)
def test_other_kinds_of_evidence(api: Api, evidence: dict[str, Any]) -> None:
    (entry,) = api.issue(evidence=[evidence])["evidence"]

    assert entry["type"] == evidence["type"]


def test_unknown_fields_are_ignored(api: Api) -> None:
    assert api.issue(favourite_colour="green")["state"] == "pending"


def test_an_optional_field_that_is_no_text_counts_as_left_out(standin: Standin, api: Api) -> None:
    optional = ("issued_to_middle_name", "issuer_earner_id", "country_name", "state_or_province")

    badge = api.issue(**{name: {"of": "another kind"} for name in optional})

    shown = ("issued_to_middle_name", "issuer_earner_id", "country", "state_or_province")
    assert [badge[name] for name in shown] == [None] * 4


def test_a_number_is_read_as_text(standin: Standin, api: Api) -> None:
    badge = api.issue(issuer_earner_id=42)

    assert badge["issuer_earner_id"] == "42"
    assert api.post(issuer_earner_id="42").status_code == 422


@pytest.mark.parametrize("sent", ["form", "query"])
def test_forms_and_query_strings_are_taken_as_well(standin: Standin, api: Api, sent: str) -> None:
    asked = {name: str(value) for name, value in api.request().items()}
    reply = api.http.post(f"{api.path}/badges", **{"data" if sent == "form" else "params": asked})  # type: ignore[arg-type]

    assert (reply.status_code, len(standin.badges())) == (201, 1)


@pytest.mark.parametrize("kind", ["json", "x-www-form-urlencoded"])
def test_bytes_that_are_no_text_are_a_bad_request(api: Api, kind: str) -> None:
    headers = {"Content-Type": f"application/{kind}"}

    assert api.http.post(f"{api.path}/badges", content=b"\xff", headers=headers).status_code == 400


@pytest.mark.parametrize(
    "body",
    [b"{", b'"text"', b"[1]", b'{"evidence": NaN}', b'{"evidence": 1e999}', b'{"evidence": "\\ud800"}', b"[" * 10_000],
    ids=["cut", "text", "list", "NaN", "infinite", "half a character", "deep"],
)
def test_what_cannot_be_read_is_a_bad_request(api: Api, body: bytes) -> None:
    reply = api.http.post(f"{api.path}/badges", content=body, headers={"Content-Type": "application/json"})

    assert reply.status_code == 400


@pytest.mark.parametrize("template", ["draft", "archived", "unknown"])
def test_only_an_active_template_is_issued(standin: Standin, api: Api, template: str) -> None:
    template_id = TEMPLATES.get(template, "00000000-0000-4000-8000-00000000dead")

    reply = api.post(badge_template_id=template_id)

    assert reply.status_code == 422
    assert api.message(reply) == f"Invalid or missing Badge Template ID: {template_id}"
    assert standin.badges() == []


def test_expiry_is_the_templates_unless_it_is_false(standin: Standin, api: Api) -> None:
    template = {
        "id": api.template,
        "organization_id": api.organization,
        "default_expires_at": "2030-01-01T00:00:00.000Z",
    }
    standin.seed(templates=[template])

    assert api.issue()["expires_at"] == "2030-01-01T00:00:00.000Z"
    assert api.issue(expires_at=False)["expires_at"] is None
    assert api.issue(expires_at="2028-02-29 00:00:00 +0000")["expires_at_date"] == "2028-02-29"


def test_mails_are_sent_unless_suppressed(standin: Standin, api: Api) -> None:
    api.issue()
    told = api.issue(suppress_badge_notification_email=False, locale="de")

    assert [(mail["badge_id"], mail["locale"]) for mail in standin.mails()] == [(told["id"], "de")]


@pytest.mark.parametrize("shared", ["recipient_email", "issuer_earner_id"])
def test_the_same_person_gets_a_template_once(api: Api, shared: str) -> None:
    first = api.issue(issuer_earner_id="person-0042" if shared == "issuer_earner_id" else None)
    again = {shared: first[shared].upper() if shared == "recipient_email" else first[shared]}

    reply = api.post(**again)

    assert reply.status_code == 422
    assert "already has this badge" in api.message(reply)


def test_another_address_of_the_same_account_is_the_same_person(standin: Standin, api: Api) -> None:
    standin.seed(accounts=[{"addresses": ["ada@example.org", "countess@example.org"]}])
    api.issue(recipient_email="ada@example.org")

    assert api.post(recipient_email="Countess@example.org").status_code == 422
    assert api.post(recipient_email="bob@example.org").status_code == 201


def test_a_template_may_allow_duplicates(standin: Standin, api: Api) -> None:
    standin.seed(templates=[{"id": api.template, "organization_id": api.organization, "allow_duplicate_badges": True}])

    assert [api.post(recipient_email="ada@example.org").status_code for _ in range(2)] == [201, 201]


def test_a_revoked_a_rejected_and_a_deleted_badge_do_not_block(standin: Standin, api: Api) -> None:
    for end in ("revoke", "reject", "delete"):
        badge = api.issue(recipient_email=f"{end}@example.org")
        if end == "revoke":
            api.http.put(f"{api.path}/badges/{badge['id']}/revoke", json={"reason": "a mistake"})
        elif end == "reject":
            standin.as_earner(badge["id"], "reject")
        else:
            api.http.delete(f"{api.path}/badges/{badge['id']}")

        assert api.post(recipient_email=f"{end}@example.org").status_code == 201


@pytest.mark.parametrize(("switch", "state"), [("rejected_blocks", "rejected"), ("expired_blocks", "expired")])
@pytest.mark.parametrize("blocks", [True, False])
def test_what_is_not_known_of_duplicates_can_be_assumed_either_way(
    standin: Standin, api: Api, switch: str, state: str, blocks: bool
) -> None:
    standin.settings(**{switch: blocks})
    badge = api.issue(recipient_email="ada@example.org", expires_at="2026-11-03 00:00:00 +0000")
    if state == "rejected":
        standin.as_earner(badge["id"], "reject")

    assert api.post(recipient_email="ada@example.org").status_code == (422 if blocks else 201)


def test_duplicate_behavior_is_the_callers_choice(standin: Standin, api: Api) -> None:
    first = api.issue(recipient_email="ada@example.org", evidence=[EVIDENCE])
    same = {"recipient_email": "ada@example.org", "evidence": [EVIDENCE]}

    assert api.post(**same, duplicate_behavior="deny").status_code == 422
    passed_over = api.post(**same, duplicate_behavior="replace")
    replaced = api.issue(
        recipient_email="ada@example.org",
        issued_to_first_name="Augusta",
        issued_at="2026-11-09 09:00:00 +0000",
        duplicate_behavior="replace",
    )
    elsewhere = api.issue(
        recipient_email="ada@example.org",
        issued_to_first_name="Augusta",
        state_or_province="Surrey",
        duplicate_behavior="replace",
    )
    allowed = api.issue(**same, duplicate_behavior="allow")

    assert (passed_over.status_code, passed_over.json()["data"]["id"]) == (200, first["id"])
    assert (replaced["replaces_badge_id"], replaced["issued_at"]) == (first["id"], first["issued_at"])
    assert replaced["evidence"] == []
    assert elsewhere["replaces_badge_id"] == replaced["id"]
    assert allowed["replaces_badge_id"] is None
    assert len(standin.badges()) == 4


def test_what_was_accepted_stays_so_when_it_is_issued_again_in_its_place(standin: Standin, api: Api) -> None:
    first = api.issue(recipient_email="ada@example.org")
    standin.as_earner(first["id"], "accept")

    second = api.issue(recipient_email="ada@example.org", issued_to_first_name="Eva", duplicate_behavior="replace")

    assert (second["state"], second["replaces_badge_id"]) == ("accepted", first["id"])


@pytest.mark.parametrize(("refused", "status"), [(True, 422), (False, 201)])
def test_an_issue_date_in_the_future_can_be_assumed_either_way(
    standin: Standin, api: Api, refused: bool, status: int
) -> None:
    standin.settings(future_issued_at_is_refused=refused)

    assert api.post(issued_at="2099-01-01 00:00:00 +0000").status_code == status


def test_a_batch_is_issued_as_a_whole_or_not_at_all(standin: Standin, api: Api) -> None:
    path = f"{api.path}/badges/batch"
    good, bad = api.request(), api.request(locale="xx")
    not_offered = api.http.post(path, json={"badges": [good]})
    standin.settings(batch_is_offered=True)

    refused = api.http.post(path, json={"badges": [good, bad]})
    left = standin.badges()
    issued = api.http.post(path, json={"badges": [good, api.request()]})

    assert (not_offered.status_code, api.http.post(path, json={"badges": "all"}).status_code) == (404, 422)
    assert (refused.status_code, refused.json()["data"]["error_index"], left) == (422, 1, [])
    assert (issued.status_code, len(issued.json()["data"]), issued.json()["metadata"]) == (201, 2, {})
