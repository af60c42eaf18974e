"""The digest of a name: another one for a name that would be shown differently, and for nothing else."""

import pytest

from credly.wire import Badge
from rules.badge.names import digest_on_badge, is_corrected, name_digest
from rules.badge.request import Prepared, prepare_request
from tests.support.facts import NOW, facts


def digest(first_name: str | None = "Zoë", last_name: str | None = "Quist", *, issuance: int = 1) -> str | None:
    return name_digest(issuance, first_name, last_name)


@pytest.mark.parametrize(
    ("first_name", "last_name"),
    [(" Zoë", "Quist\t"), ("Zoe\u0308", "Quist"), ("Zoë", "Qu\u200bist")],
)
def test_what_credly_would_show_alike_has_one_digest(first_name: str, last_name: str) -> None:
    assert digest(first_name, last_name) == digest()


@pytest.mark.parametrize(
    ("first_name", "last_name"),
    [("Zoe", "Quist"), ("zoë", "Quist"), ("Quist", "Zoë"), ("Zoë Q", "uist"), ("ZoëQuist", "")],
)
def test_another_name_has_another_digest(first_name: str, last_name: str) -> None:
    assert digest(first_name, last_name) != digest()


def test_equal_names_of_two_issuances_have_different_digests_without_the_name() -> None:
    first, second = digest(), digest(issuance=2)

    assert first != second
    assert len(first or "") == 10


@pytest.mark.parametrize("name", [("", " "), (None, None), ("N/A", "-"), ("Zo\ufffd", "Quist"), ("Z" * 256, "Quist")])
def test_a_name_that_cannot_be_sent_has_none(name: tuple[str | None, str | None]) -> None:
    assert digest(*name) is None


@pytest.mark.parametrize(
    ("before", "now", "corrected"),
    [
        (("Zoe", "Quist"), ("Zoë", "Quist"), True),
        (("Quist", "Zoë"), ("Zoë", "Quist"), True),
        (("Zoë", ""), ("Zoë", "Quist"), True),
        (("Zoë", ""), ("Zoe", ""), True),
        (("Zoë", "Quist"), ("Zoë", "Quist "), False),
        (("Zoë", "Quist"), ("Zoë", ""), False),
        (("Zoë", "Quist"), ("", "Quist"), False),
        (("Zoë", "Quist"), ("Zoë", "N/A"), False),
        (("Zoë", "Quist"), ("", ""), False),
        (("Zoë", "Quist"), ("\ufffd", "Quist"), False),
        (("", ""), ("Zoë", "Quist"), False),
        (("Zoë", ""), ("", "Zoë"), False),
    ],
)
def test_a_name_is_corrected_unless_it_lost_a_part_or_was_unknown(
    before: tuple[str, str], now: tuple[str, str], corrected: bool
) -> None:
    assert is_corrected(digest(*before), digest(*now)) is corrected


def on_badge(*, adopted: bool, **shown: str) -> str | None:
    given = facts(issuance_id=1, first_name="Zoë", last_name="Quist")
    prepared = prepare_request(given, now=NOW)
    assert isinstance(prepared, Prepared)
    return digest_on_badge(given, Badge(id="b", **shown), prepared.request, adopted=adopted)


def test_what_was_sent_is_on_the_badge_whatever_credly_returns() -> None:
    assert on_badge(adopted=False, issued_to_first_name="Z", issued_to_last_name="Q") == digest()


def test_an_adopted_badge_has_the_name_that_credly_shows() -> None:
    assert on_badge(adopted=True, issued_to_first_name="Zoë", issued_to_last_name="Quist") == digest()
    assert on_badge(adopted=True, issued_to_first_name="Zoe", issued_to_last_name="Quist") == digest("Zoe")
    assert on_badge(adopted=True) is None


def test_what_was_sent_for_a_missing_name_is_no_correction() -> None:
    given = facts(issuance_id=1, first_name="Zoë", last_name=None, missing_name="Learner")
    prepared = prepare_request(given, now=NOW)
    assert isinstance(prepared, Prepared)
    shown = Badge(id="b", issued_to_first_name="Zoë", issued_to_last_name="Learner")

    assert digest_on_badge(given, shown, prepared.request, adopted=True) == digest("Zoë", None)


def test_without_a_request_or_a_badge_there_is_only_what_credly_shows() -> None:
    given = facts(issuance_id=1)
    shown = Badge(id="b", issued_to_first_name="Zoe", issued_to_last_name="Quist")

    assert digest_on_badge(given, shown, None, adopted=True) == digest("Zoe")
    assert digest_on_badge(given, None, None, adopted=True) is None
