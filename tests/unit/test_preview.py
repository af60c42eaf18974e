from datetime import timedelta

from rules.badge.evidence import EvidenceKind, EvidenceSetting, EvidenceSource
from rules.badge.preview import preview
from tests.support.facts import AWARDED, NOW, facts


def test_what_would_be_sent_is_shown_masked_with_the_evidence_and_what_is_left_out() -> None:
    found = preview(
        facts(
            evidence={kind: EvidenceSetting(enabled=True) for kind in (EvidenceKind.USER, EvidenceKind.COMPANY)},
            sources={EvidenceKind.USER: EvidenceSource(name="Ada Muster", link="https://example.org/ada")},
        ),
        now=NOW,
    )

    assert (found.verdict, found.recipient, found.issued_at) == ("issue", "A… M… a…@e…", AWARDED)
    assert found.evidence == "user"
    assert found.left_out.startswith("company: ")


def test_an_award_in_the_future_waits_to_the_second() -> None:
    assert preview(facts(awarded_at=NOW), now=NOW).verdict == "issue"
    assert preview(facts(awarded_at=NOW + timedelta(seconds=1)), now=NOW).verdict.startswith("wait: ")


def test_what_a_person_keeps_back_is_shown_with_what_lets_it_go() -> None:
    held, paused = preview(facts(held=True, paused=True), now=NOW), preview(facts(paused=True), now=NOW)

    assert (held.verdict, bool(held.recipient)) == ("hold: Until release-credly is run.", True)
    assert (paused.verdict, bool(paused.recipient)) == ("wait: Until resume-credly is run.", True)


def test_an_unconnected_portal_blocks() -> None:
    found = preview(facts(connected=False), now=NOW)

    assert found.verdict == "block: The achievement's portal is not connected to Credly."
    assert (found.recipient, found.evidence) == ("", "")


def test_what_cannot_be_sent_says_why() -> None:
    assert preview(facts(email=None), now=NOW).verdict == "failed: The user has no primary e-mail address."
    assert preview(facts(award_withdrawn=True), now=NOW).verdict.startswith("cancelled: ")
