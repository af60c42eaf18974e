import pytest

from rules.forms.inputs import FailedReason
from rules.ledger.reasons import BLOCKED_REASONS, CANCELLED_REASONS, DATA_REASONS, FAILED_REASONS, Reason
from rules.ledger.states import WAITING, IssuanceState, Origin


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_says_what_it_means_and_what_to_do(reason: Reason) -> None:
    for words in (reason.sentence, reason.advice):
        assert words[0].isupper()
        assert words.endswith(".")
        assert words == " ".join(words.split())


@pytest.mark.parametrize("member", [*IssuanceState, *Origin])
def test_a_state_and_an_origin_say_what_they_mean(member: IssuanceState | Origin) -> None:
    assert member.sentence[0].isupper()
    assert member.sentence.endswith(".")


@pytest.mark.parametrize("members", [Reason, IssuanceState, Origin])
def test_no_two_members_say_the_same(members: type[Reason | IssuanceState | Origin]) -> None:
    sentences = [member.sentence for member in members]

    assert len(set(sentences)) == len(sentences)


@pytest.mark.parametrize("member", [*Reason, *IssuanceState, *Origin])
def test_the_stored_value_is_the_name_in_small_letters(member: Reason | IssuanceState | Origin) -> None:
    assert member.value == member.name.lower()
    assert len(member.value) <= 40


def test_a_reason_belongs_to_one_group_at_most() -> None:
    grouped = [*BLOCKED_REASONS, *DATA_REASONS, *CANCELLED_REASONS]

    assert len(set(grouped)) == len(grouped)


def test_the_groups_are_what_the_documents_say() -> None:
    assert {
        "portal_not_connected",
        "token_missing",
        "token_refused",
        "organization_not_found",
        "template_not_found",
        "template_not_active",
    } == BLOCKED_REASONS
    assert {
        "no_primary_email",
        "email_malformed",
        "name_missing",
        "name_too_long",
        "name_unreadable",
        "award_date_unusable",
        "user_missing",
        "user_id_not_usable",
    } == DATA_REASONS
    assert {"integration_removed", "award_withdrawn", "user_erased"} == CANCELLED_REASONS
    assert {
        "refused_by_credly",
        "not_permitted",
        "duplicate_elsewhere",
        "attempts_used_up",
    } == FAILED_REASONS - DATA_REASONS
    assert DATA_REASONS < FAILED_REASONS


def test_the_menu_of_failures_offers_each_reason_that_a_failed_issuance_can_have() -> None:
    assert {choice.reason for choice in FailedReason} == {None, *FAILED_REASONS}
    assert {choice.value for choice in FailedReason} == {"any", *FAILED_REASONS}


def test_only_what_is_not_final_waits() -> None:
    assert set(WAITING) == {"pending", "issuing", "blocked"}
