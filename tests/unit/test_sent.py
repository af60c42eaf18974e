"""What a request consists of, field by field."""

from rules.badge.evidence import EvidenceKind, EvidenceSetting, EvidenceSource
from rules.badge.fields import fields_of
from rules.badge.issuance_data import Expiry
from rules.badge.request import Prepared, prepare_request
from tests.support.facts import NOW, facts

EVIDENCE = {kind: EvidenceSetting(enabled=True) for kind in (EvidenceKind.USER, EvidenceKind.COMPANY)}
SOURCES = {EvidenceKind.USER: EvidenceSource(name="Ada Muster", link="https://example.org/ada")}


def fields(*, masked: bool = True, **changes: object) -> dict[str, str]:
    prepared = prepare_request(facts(evidence=EVIDENCE, sources=SOURCES, **changes), now=NOW)
    assert isinstance(prepared, Prepared)
    return dict(fields_of(prepared, masked=masked))


def test_personal_values_are_masked() -> None:
    assert fields() == {
        "recipient_email": "a…@e…",
        "issued_to_first_name": "A…",
        "issued_to_last_name": "M…",
        "badge_template_id": "template-1",
        "issued_at": "2026-11-02 22:59:59 UTC",
        "expires_at": "the template's default",
        "locale": "–",
        "Credly's e-mail": "sent",
        "evidence: user": "A… → a link to the user's profile",
        "left out: company": "The award has none.",
    }


def test_they_are_shown_to_whom_may_see_them() -> None:
    shown = fields(masked=False)

    assert (shown["recipient_email"], shown["issued_to_last_name"]) == ("ada@example.org", "Muster")
    assert shown["evidence: user"] == "Ada Muster → https://example.org/ada"


def test_static_texts_are_shown_as_they_will_be_and_apart_from_the_link() -> None:
    texts = EvidenceSetting(enabled=True, static_name="Profile", static_description="Open it")
    prepared = prepare_request(facts(evidence={EvidenceKind.USER: texts}, sources=SOURCES), now=NOW)
    assert isinstance(prepared, Prepared)

    shown = dict(fields_of(prepared))

    assert shown["evidence: user"] == "Profile → a link to the user's profile"
    assert shown["evidence: user, description"] == "Open it"


def test_expiry_is_told_in_words() -> None:
    assert fields(expiry=Expiry.NEVER)["expires_at"] == "never"
    dated = fields(expiry=Expiry.AFTER_DAYS, expires_after_days=1, suppress_notification=True)
    assert (dated["expires_at"], dated["Credly's e-mail"]) == ("2026-11-03 22:59:59 UTC", "suppressed")
