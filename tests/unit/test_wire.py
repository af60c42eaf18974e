from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from credly.wire import AuthorizationToken, Badge, BadgeRequest, BadgeTemplate, Organization, UrlEvidence, badge_page

TEMPLATE_ID = "11111111-2222-3333-4444-555555555555"
CET = timezone(timedelta(hours=1))


def a_request(**changed: Any) -> BadgeRequest:
    fields: dict[str, Any] = {
        "badge_template_id": TEMPLATE_ID,
        "recipient_email": "ada@example.org",
        "issued_to_first_name": "Ada",
        "issued_to_last_name": "Muster",
        "issued_at": datetime(2026, 11, 2, 0, 30, 15, 999_999, tzinfo=CET),
        "issuer_earner_id": "person-0042",
    }
    return BadgeRequest(**fields | changed)


def some_evidence(**changed: Any) -> UrlEvidence:
    return UrlEvidence(**{"name": "Portfolio", "value": "https://example.org/p/42"} | changed)


def test_a_bare_request_sends_only_what_credly_requires_and_the_earner_id() -> None:
    assert a_request().body == {
        "badge_template_id": TEMPLATE_ID,
        "recipient_email": "ada@example.org",
        "issued_to_first_name": "Ada",
        "issued_to_last_name": "Muster",
        "issued_at": "2026-11-01 23:30:15 +0000",
        "issuer_earner_id": "person-0042",
    }


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"locale": "de"}, {"locale": "de"}),
        ({"duplicate_behavior": "deny"}, {"duplicate_behavior": "deny"}),
        ({"suppress_badge_notification_email": True}, {"suppress_badge_notification_email": True}),
        ({"expires_at": False}, {"expires_at": False}),
        ({"expires_at": datetime(2027, 1, 1, 1, tzinfo=CET)}, {"expires_at": "2027-01-01 00:00:00 +0000"}),
        ({"expires_at": None, "locale": None, "duplicate_behavior": None, "evidence": ()}, {}),
        ({"suppress_badge_notification_email": False}, {}),
        (
            {"evidence": (some_evidence(description="What she built"),)},
            {
                "evidence": [
                    {
                        "type": "UrlEvidence",
                        "name": "Portfolio",
                        "value": "https://example.org/p/42",
                        "description": "What she built",
                    }
                ]
            },
        ),
        (
            {"evidence": (some_evidence(description="  "),)},
            {"evidence": [{"type": "UrlEvidence", "name": "Portfolio", "value": "https://example.org/p/42"}]},
        ),
    ],
)
def test_an_option_is_sent_only_when_it_is_asked_for(asked: dict[str, Any], sent: dict[str, Any]) -> None:
    assert a_request(**asked).body == a_request().body | sent


def test_a_replacement_leaves_out_what_credly_does_not_take_for_one() -> None:
    request = a_request(
        locale="de",
        expires_at=False,
        evidence=(some_evidence(),),
        suppress_badge_notification_email=True,
        duplicate_behavior="deny",
    )

    assert sorted(request.as_replacement_json()) == [
        "badge_template_id",
        "evidence",
        "expires_at",
        "issued_at",
        "issued_to_first_name",
        "issued_to_last_name",
        "issuer_earner_id",
    ]


@pytest.mark.parametrize("field", ["issued_at", "expires_at"])
def test_a_time_without_a_zone_is_refused_and_said_so(field: str) -> None:
    with pytest.raises(ValidationError, match=f"{field}\n.*needs a time zone"):
        a_request(**{field: datetime(2026, 11, 2, 9)})  # noqa: DTZ001


def test_a_field_that_credly_does_not_have_is_refused() -> None:
    with pytest.raises(ValidationError, match="recipient_mail"):
        a_request(recipient_mail="ada@example.org")


def test_equal_requests_have_equal_fingerprints_for_ever() -> None:
    evidence = (some_evidence(description="Größe"),)

    # A new value here means that every failed badge would be taken for changed and sent again.
    assert (
        a_request(evidence=evidence).fingerprint
        == a_request(evidence=evidence).fingerprint
        == "3686db23286e8bf4c015c4a17324cee364cf1fa243821abef8f59d92c7ebc4aa"
    )


def test_the_same_moment_in_another_zone_has_the_same_fingerprint() -> None:
    moment = datetime(2026, 11, 2, 9, tzinfo=CET)

    assert a_request(issued_at=moment).fingerprint == a_request(issued_at=moment.astimezone(UTC)).fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        {"recipient_email": "ada@example.com"},
        {"issued_to_first_name": "Eda"},
        {"evidence": (some_evidence(),)},
        {"expires_at": False},
        {"issued_at": datetime(2026, 11, 2, 0, 30, 16, tzinfo=CET)},
    ],
)
def test_whatever_would_be_sent_differently_changes_the_fingerprint(changed: dict[str, Any]) -> None:
    assert a_request(**changed).fingerprint != a_request().fingerprint


def test_field_names_tell_what_was_sent_without_saying_about_whom() -> None:
    request = a_request(evidence=(some_evidence(), some_evidence()), locale="de")

    assert request.field_names() == [
        "badge_template_id",
        "evidence[2]",
        "issued_at",
        "issued_to_first_name",
        "issued_to_last_name",
        "issuer_earner_id",
        "locale",
        "recipient_email",
    ]


def a_badge_row(**changed: Any) -> dict[str, Any]:
    return {
        "id": "badge-1",
        "issued_to": "Ada Muster",
        "recipient_email": "ada@example.org",
        "issuer_earner_id": "person-0042",
        "state": "pending",
        "state_updated_at": None,
        "issued_at": "2021-05-01T10:00:00.000Z",
        "expires_at": None,
        "created_at": "2021-05-01T10:00:01.250Z",
        "user": {},
        "accept_badge_url": "https://www.credly.com/badges/badge-1/accept",
        "badge_template": {"id": TEMPLATE_ID, "name": "Diver"},
        "a_field_of_next_year": [1, 2],
    } | changed


def test_a_badge_is_read_from_credlys_row() -> None:
    badge = Badge.model_validate(a_badge_row())

    assert badge == Badge(
        id="badge-1",
        state="pending",
        recipient_email="ada@example.org",
        issuer_earner_id="person-0042",
        badge_template_id=TEMPLATE_ID,
        issued_at=datetime(2021, 5, 1, 10, tzinfo=UTC),
        created_at=datetime(2021, 5, 1, 10, 0, 1, 250_000, tzinfo=UTC),
        accept_badge_url="https://www.credly.com/badges/badge-1/accept",
    )


PAGE = "https://www.credly.com/badges/badge-1"


@pytest.mark.parametrize(
    ("urls", "url"),
    [
        ({"badge_url": PAGE}, PAGE),
        ({"badge_url": "https://credly.example.org/2026/diver"}, "https://credly.example.org/2026/diver"),
        ({"badge_url": "https://credly.example.org/2026/accept?for=ada"}, "https://credly.example.org/2026"),
        ({"badge_url": "javascript:alert(1)"}, PAGE),
        ({"accept_badge_url": f"{PAGE}/accept"}, PAGE),
        ({"accept_badge_url": f"{PAGE}/accept/s3cret"}, PAGE),
        ({"accept_badge_url": f"{PAGE}?token=s3cret"}, PAGE),
        ({"accept_badge_url": f"{PAGE}#s3cret"}, PAGE),
        ({"accept_badge_url": "https://credly.example.org/claims/s3cret"}, None),
        ({"accept_badge_url": "https://credly.example.org/badges/badge-12/accept"}, None),
        ({"accept_badge_url": None}, None),
    ],
)
def test_a_badge_has_its_page_and_never_what_claims_it(urls: dict[str, Any], url: str | None) -> None:
    assert Badge.model_validate(a_badge_row(**urls)).url == url


@pytest.mark.parametrize(
    "link",
    [
        *(
            "javascript:alert('/badge-1')",
            "data:text/html,/badge-1",
            "file:///badge-1",
            "//h.example/badge-1",
            "badge-1",
        ),
        *("https://ada:s3cret@h.example/badge-1", "https://h.example/ada@example.org/badge-1", "https:///badge-1"),
        *(
            "https://h.example/ada%40example.org/badge-1",
            "https://h.example/a b/badge-1",
            "https://h.example/é/badge-1",
        ),
        *(
            "https://h.example/)[x](javascript:1)/badge-1",
            "https://h.example/<b>/badge-1",
            "https://h.example\\x/badge-1",
        ),
        *(
            "https://h.example/\n/badge-1",
            "https://h.example/" + "x" * 500 + "/badge-1",
            "https://h.example/\u202e/badge-1",
        ),
    ],
)
def test_a_link_that_is_no_plain_web_address_is_dropped(link: str) -> None:
    assert Badge.model_validate(a_badge_row(badge_url=link, accept_badge_url=link)).url is None


def test_a_link_of_a_badge_without_an_id_is_cut_before_what_claims_it() -> None:
    assert badge_page(f"{PAGE}/accept", None) == PAGE
    assert badge_page(f"{PAGE}/accept", "") == PAGE
    assert badge_page(f"{PAGE}/accept", "https:") == PAGE
    assert badge_page(None, "badge-1") is None


@pytest.mark.parametrize(
    ("row", "template_id"),
    [
        ({"badge_template": {"id": "T"}}, "T"),
        ({"badge_template_id": "T"}, "T"),
        ({"badge_template_id": "T", "badge_template": {"id": "other"}}, "T"),
        ({"badge_template": None}, None),
        ({"badge_template": {}}, None),
        ({"badge_template": []}, None),
    ],
)
def test_the_template_of_a_badge_is_read_from_either_place(row: dict[str, Any], template_id: str | None) -> None:
    assert Badge.model_validate({"id": "badge-1"} | row).badge_template_id == template_id


@pytest.mark.parametrize(
    ("field", "odd", "read"),
    [
        ("issued_at", "last week", None),
        ("issued_at", "2021-05-01T10:00:00", datetime(2021, 5, 1, 10, tzinfo=UTC)),
        ("issued_at", None, None),
        ("state", {"name": "pending"}, None),
        ("recipient_email", ["ada@example.org"], None),
        ("issuer_earner_id", 42, "42"),
        ("issued_at", "0001-01-01T00:00:00+14:00", None),
        ("created_at", "9999-12-31T23:59:59-14:00", None),
        ("issued_at", "0001-01-01T00:00:00Z", None),
        ("issued_at", "9999-12-31T23:59:59Z", None),
        ("issued_at", "9998-12-31T23:59:59-14:00", datetime(9999, 1, 1, 13, 59, 59, tzinfo=UTC)),
        ("issued_at", 1e300, None),
        ("state", "x" * 33_000, "x" * 500),
        ("state", "pend\0ing", None),
        ("badge_url", "https://credly.example.org/\0", None),
        ("accept_badge_url", "https://credly.example.org/\ud800", None),
    ],
)
def test_an_odd_field_does_not_lose_the_badge(field: str, odd: object, read: object) -> None:
    assert getattr(Badge.model_validate(a_badge_row(**{field: odd})), field) == read


@pytest.mark.parametrize("row", [{}, {"id": None}, {"id": ""}, [], None, "badge-1"])
@pytest.mark.parametrize("model", [Badge, BadgeTemplate, Organization, AuthorizationToken])
def test_nothing_is_read_without_an_id(model: type[BaseModel], row: object) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(row)


@pytest.mark.parametrize(
    "odd", ["x" * 65, "a/b", "../b", "a?b", "a#b", "a\\b", "a\r\nb", "a\0", "\ud800", " ", "..", ""]
)
def test_a_badge_whose_id_could_never_be_asked_for_again_is_not_read(odd: str) -> None:
    with pytest.raises(ValidationError):
        Badge.model_validate(a_badge_row(id=odd))


@pytest.mark.parametrize("known", ["badge-1", "x" * 64, 42, "a b", "é"])
def test_other_forms_of_ids_are_read(known: object) -> None:
    assert Badge.model_validate(a_badge_row(id=known)).id == str(known)


def test_a_template_is_read_with_the_organization_that_owns_it() -> None:
    row = {"id": "T", "name": "Diver", "state": "active", "allow_duplicate_badges": False, "owner": {"id": "O"}}

    template = BadgeTemplate.model_validate(row)

    assert template == BadgeTemplate(id="T", name="Diver", state="active", allow_duplicate_badges=False, owner_id="O")


def test_a_token_tells_when_it_ends_and_never_itself() -> None:
    row = {"id": "9", "token": "s3cret", "write_enabled": True, "expires_at": "2026-12-01T00:00:00.000Z"}

    token = AuthorizationToken.model_validate(row)

    assert token.expires_at == datetime(2026, 12, 1, tzinfo=UTC)
    assert token.write_enabled is True
    assert token.token == SecretStr("s3cret")
    assert "s3cret" not in f"{token!r} {token} {token.model_dump_json()}"


@pytest.mark.parametrize(
    "value",
    [
        a_request(evidence=(some_evidence(name="Ada Muster", value="https://example.org/ada"),)),
        some_evidence(name="Ada Muster", value="https://example.org/ada", description="Ada dives"),
        Badge.model_validate(a_badge_row()),
    ],
    ids=["request", "evidence", "badge"],
)
def test_no_person_is_in_the_text_of_a_value(value: BaseModel) -> None:
    text = f"{value!r} {value} {[value]}"

    assert not any(word in text for word in ("Ada", "Muster", "ada", "example.org", "person-0042"))


def test_a_request_that_is_refused_does_not_show_the_person() -> None:
    with pytest.raises(ValidationError) as refused:
        a_request(issued_at="Ada's birthday", issued_to_last_name=["Muster"])

    assert "Ada" not in str(refused.value)
    assert "Muster" not in str(refused.value)


def test_personal_texts_hold_every_text_that_could_say_who_it_is() -> None:
    request = a_request(issued_to_first_name="Ada Eva", evidence=(some_evidence(description="Dives"),))

    assert set(request.personal_texts()) == {
        "ada@example.org",
        "ada",
        "Ada Eva Muster",
        "Ada",
        "Eva",
        "Muster",
        "Portfolio",
        "https://example.org/p/42",
        "Dives",
    }
