from datetime import timedelta
from typing import Any

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from rules.badge.evidence import EvidenceKind, EvidenceSetting, EvidenceSource, LeftOut
from rules.badge.issuance_data import BadgeOptions, Expiry
from rules.badge.request import (
    LONGEST_TEXT,
    Prepared,
    can_be_looked_up,
    expires_at,
    fault_of_email,
    prepare_request,
    would_differ,
)
from rules.ledger.reasons import Reason
from rules.ledger.states import NO_MOMENT
from tests.support.facts import AWARDED, NOW, facts


def prepared(**changes: Any) -> Prepared:
    result = prepare_request(facts(**changes), now=NOW)
    assert isinstance(result, Prepared), result
    return result


def test_a_request_is_made_of_the_user_the_template_and_the_moment_of_the_award() -> None:
    assert prepared().request.body == {
        "badge_template_id": "template-1",
        "recipient_email": "ada@example.org",
        "issued_to_first_name": "Ada",
        "issued_to_last_name": "Muster",
        "issued_at": "2026-11-02 22:59:59 +0000",
        "issuer_earner_id": "person-0042",
    }


def test_two_awards_with_different_moments_have_different_dates() -> None:
    first, second = prepared(), prepared(awarded_at=AWARDED + timedelta(days=3))

    assert second.request.issued_at - first.request.issued_at == timedelta(days=3)


def test_without_an_award_the_badge_is_issued_now() -> None:
    assert prepared(award_id=None, awarded_at=None).request.issued_at == NOW


def test_texts_are_sent_tidied() -> None:
    request = prepared(first_name=" Ada\tMaria ", last_name="Muster\x00", email=" ada@example.org\n").request

    assert (request.issued_to_first_name, request.issued_to_last_name) == ("Ada Maria", "Muster")
    assert request.recipient_email == "ada@example.org"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"integration_exists": False}, Reason.INTEGRATION_REMOVED),
        ({"award_withdrawn": True}, Reason.AWARD_WITHDRAWN),
        ({"user_exists": False, "first_name": None, "email": None}, Reason.USER_MISSING),
        ({"user_id": "a|b"}, Reason.USER_ID_NOT_USABLE),
        ({"email": None}, Reason.NO_PRIMARY_EMAIL),
        ({"email": ""}, Reason.NO_PRIMARY_EMAIL),
        ({"email": " \t"}, Reason.NO_PRIMARY_EMAIL),
        ({"email": "nobody"}, Reason.EMAIL_MALFORMED),
        ({"first_name": None}, Reason.NAME_MISSING),
        ({"last_name": None}, Reason.NAME_MISSING),
        ({"first_name": ""}, Reason.NAME_MISSING),
        ({"last_name": " \u200b"}, Reason.NAME_MISSING),
        ({"first_name": None, "missing_name": " \u200b"}, Reason.NAME_MISSING),
        ({"first_name": "undefined", "last_name": "undefined"}, Reason.NAME_MISSING),
        ({"last_name": "(N/A)"}, Reason.NAME_MISSING),
        ({"first_name": "Jos\ufffd"}, Reason.NAME_UNREADABLE),
        ({"last_name": "\ufffd", "missing_name": "-"}, Reason.NAME_UNREADABLE),
        ({"user_id": " "}, Reason.USER_ID_NOT_USABLE),
        ({"awarded_at": NO_MOMENT}, Reason.AWARD_DATE_UNUSABLE),
        ({"awarded_at": NOW + timedelta(seconds=1)}, Reason.AWARDED_IN_FUTURE),
        (
            {"options": BadgeOptions(expiry=Expiry.AFTER_DAYS, expires_after_days=3_000_000)},
            Reason.AWARD_DATE_UNUSABLE,
        ),
        ({"first_name": "A" * (LONGEST_TEXT + 1)}, Reason.NAME_TOO_LONG),
        ({"last_name": "M" * (LONGEST_TEXT + 1)}, Reason.NAME_TOO_LONG),
    ],
)
def test_what_cannot_be_sent_has_a_reason(changes: dict[str, Any], reason: Reason) -> None:
    assert prepare_request(facts(**changes), now=NOW) is reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"integration_exists": False, "award_withdrawn": True}, Reason.INTEGRATION_REMOVED),
        ({"award_withdrawn": True, "user_exists": False}, Reason.AWARD_WITHDRAWN),
        ({"user_exists": False, "user_id": "a|b"}, Reason.USER_MISSING),
        ({"user_id": "a|b", "email": None}, Reason.USER_ID_NOT_USABLE),
        ({"email": None, "first_name": None}, Reason.NO_PRIMARY_EMAIL),
    ],
)
def test_what_is_gone_is_said_before_what_is_wrong(changes: dict[str, Any], reason: Reason) -> None:
    assert prepare_request(facts(**changes), now=NOW) is reason


@pytest.mark.parametrize("name", ["first_name", "last_name"])
@pytest.mark.parametrize("blank", [None, "", " \t", "\u200b"])
def test_a_missing_name_is_replaced_where_the_connection_says_by_what(name: str, blank: str | None) -> None:
    request = prepared(**{name: blank}, missing_name=" – ").request

    assert getattr(request, f"issued_to_{name}") == "–"


def test_a_name_of_exactly_the_longest_length_is_sent() -> None:
    request = prepared(first_name="A" * LONGEST_TEXT, last_name="M" * LONGEST_TEXT).request

    assert (len(request.issued_to_first_name), len(request.issued_to_last_name)) == (255, 255)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("ada@example.org", None),
        ("ada+credly@sub.example.org", None),
        ("o'brien@example.org", None),
        ("ADA@EXAMPLE.ORG", None),
        ("ada@bücher.example", None),
        ("", Reason.NO_PRIMARY_EMAIL),
        ("ada", Reason.EMAIL_MALFORMED),
        ("ada@", Reason.EMAIL_MALFORMED),
        ("@example.org", Reason.EMAIL_MALFORMED),
        ("ada@localhost", Reason.EMAIL_MALFORMED),
        ("ada@example..org", Reason.EMAIL_MALFORMED),
        ("ada@example.org.", Reason.EMAIL_MALFORMED),
        ("ada muster@example.org", Reason.EMAIL_MALFORMED),
        ("ada@example.org, bob@example.org", Reason.EMAIL_MALFORMED),
        ("Ada <ada@example.org>", Reason.EMAIL_MALFORMED),
        ("ada@example.org\nbcc:bob@example.org", Reason.EMAIL_MALFORMED),
    ],
)
def test_only_the_form_of_an_address_is_judged(address: str, reason: Reason | None) -> None:
    assert fault_of_email(address) is reason


@given(
    local_part=st.text("aZ9.+_-@ '", max_size=70),
    domain=st.sampled_from(
        ["example.org", "example", "b@example.org", "-x.org", "x" * 64 + ".org", "bücher.example", ""]
    ),
)
def test_an_address_is_judged_as_the_library_judges_the_whole_of_it(local_part: str, domain: str) -> None:
    address = f"{local_part}@{domain}".strip()
    try:
        validate_email(address, check_deliverability=False, globally_deliverable=False)
        well_formed = "." in domain
    except EmailNotValidError:
        well_formed = False

    assert (fault_of_email(address) is None) is well_formed


@pytest.mark.parametrize(
    ("value", "usable"),
    [
        ("42", True),
        ("0a1b-2c3d", True),
        ("a:b", True),
        ("a b", True),
        ("name@example.org", True),
        ("李", True),
        ("a|b", False),
        ("a,b", False),
        ("a::b", False),
        ("a\nb", False),
        ("a\x00b", False),
        ("a\u200bb", False),
    ],
)
def test_an_id_can_be_looked_up_unless_it_holds_what_the_filter_reads_as_its_own(value: str, usable: bool) -> None:
    assert can_be_looked_up(value) is usable


@pytest.mark.parametrize(
    ("expiry", "after", "expected"),
    [
        (Expiry.TEMPLATE_DEFAULT, None, None),
        (Expiry.TEMPLATE_DEFAULT, 5, None),
        (Expiry.NEVER, None, False),
        (Expiry.NEVER, 5, False),
        (Expiry.AFTER_DAYS, 365, AWARDED + timedelta(days=365)),
        (Expiry.AFTER_DAYS, None, None),
    ],
)
def test_a_badge_expires_as_the_integration_says(expiry: Expiry, after: int | None, expected: object) -> None:
    options = BadgeOptions(expiry=expiry, expires_after_days=after)

    assert expires_at(options, issued_at=AWARDED) == expected
    assert prepared(expiry=expiry, expires_after_days=after).request.expires_at == expected


def test_expiry_counts_from_the_award_and_not_from_today() -> None:
    request = prepared(expiry=Expiry.AFTER_DAYS, expires_after_days=1).request

    assert request.body["expires_at"] == "2026-11-03 22:59:59 +0000"


@pytest.mark.parametrize(("suppress", "sent"), [(True, True), (False, None)])
def test_credlys_mail_is_suppressed_only_where_asked(suppress: bool, sent: bool | None) -> None:
    body = prepared(suppress_notification=suppress).request.body

    assert body.get("suppress_badge_notification_email") is sent


@pytest.mark.parametrize(("locale", "sent"), [("", None), ("de", "de")])
def test_the_language_is_sent_only_where_chosen(locale: str, sent: str | None) -> None:
    assert prepared(locale=locale).request.body.get("locale") == sent


def test_evidence_goes_into_the_request_and_what_is_left_out_beside_it() -> None:
    result = prepared(
        evidence={kind: EvidenceSetting(enabled=True) for kind in (EvidenceKind.PORTAL, EvidenceKind.PROJECT)},
        sources={EvidenceKind.PORTAL: EvidenceSource(name="Northwind", link="https://northwind.example.org")},
    )

    assert result.request.body["evidence"] == [
        {"type": "UrlEvidence", "name": "Northwind", "value": "https://northwind.example.org"}
    ]
    assert result.kinds == (EvidenceKind.PORTAL,)
    assert result.left_out == ((EvidenceKind.PROJECT, LeftOut.NOT_ON_AWARD),)


def test_an_unchanged_request_is_not_worth_another_try() -> None:
    refused = prepared().request.fingerprint

    assert would_differ(facts(request_fingerprint=refused), now=NOW + timedelta(days=1)) is False


@pytest.mark.parametrize(
    "correction",
    [
        {"email": "ada.muster@example.org"},
        {"first_name": "Adelheid"},
        {"awarded_at": AWARDED + timedelta(seconds=1)},
        {"evidence": {EvidenceKind.PORTAL: EvidenceSetting(enabled=True)}, "sources": {}, "locale": "de"},
    ],
)
def test_a_corrected_request_is_worth_another_try(correction: dict[str, Any]) -> None:
    refused = prepared().request.fingerprint

    assert would_differ(facts(request_fingerprint=refused, **correction), now=NOW) is True


def test_what_was_never_sent_is_tried_once_it_can_be() -> None:
    assert would_differ(facts(request_fingerprint=None), now=NOW) is True
    assert would_differ(facts(request_fingerprint=None, email=None), now=NOW) is False
    assert would_differ(facts(awarded_at=NOW + timedelta(days=1)), now=NOW) is True  # it then waits for its moment
    assert would_differ(facts(award_withdrawn=True), now=NOW) is True  # it is cancelled, or another award counts


def test_what_is_put_back_to_what_an_earlier_attempt_sent_is_tried() -> None:
    attempted = prepared().request.fingerprint

    assert would_differ(facts(request_fingerprint=attempted, reason=Reason.NAME_MISSING), now=NOW) is True


def test_facts_and_results_do_not_show_people() -> None:
    person = {"first_name": "Adelheid", "last_name": "Mustermann", "email": "adelheid@example.org"}
    sources = {EvidenceKind.USER: EvidenceSource(name="Adelheid Mustermann", link="https://example.org/adelheid")}
    known = facts(**person, sources=sources, evidence={EvidenceKind.USER: EvidenceSetting(enabled=True)})

    shown = f"{known!r} {known} {prepare_request(known, now=NOW)!r}".lower()

    assert "adelheid" not in shown
    assert "mustermann" not in shown
