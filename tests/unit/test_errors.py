import copy
import pickle
from datetime import timedelta

import pytest

from credly.errors import (
    AlreadyIssued,
    AlreadyReplaced,
    CredlyError,
    NotConnected,
    NotFound,
    NotSent,
    Refused,
    Throttled,
    Unclear,
    mask_message,
)

EVERY_ERROR = [
    CredlyError,
    NotSent,
    Unclear,
    Throttled,
    Refused,
    AlreadyIssued,
    AlreadyReplaced,
    NotConnected,
    NotFound,
]


def an_error(kind: type[CredlyError]) -> CredlyError:
    return kind(
        status=422,
        code="http_422",
        request_id="request-1",
        credly_request_id="credly-1",
        operation="issue_badge",
        credly_message="Validation failed: … is not unique",
    )


@pytest.mark.parametrize("kind", EVERY_ERROR)
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301
def test_an_error_keeps_its_facts_when_prefect_stores_it(kind, duplicate) -> None:  # type: ignore[no-untyped-def]
    error = an_error(kind)

    twin = duplicate(error)

    assert type(twin) is kind
    assert vars(twin) == vars(error)
    assert str(twin) == str(error)


def test_what_an_error_carries_besides_survives_too() -> None:
    throttled = pickle.loads(pickle.dumps(Throttled(retry_after=timedelta(seconds=7), status=429)))  # noqa: S301
    replaced = pickle.loads(pickle.dumps(AlreadyReplaced(current_badge_id="badge-2", status=422)))  # noqa: S301

    assert (throttled.retry_after, throttled.status) == (timedelta(seconds=7), 429)
    assert (replaced.current_badge_id, replaced.status) == ("badge-2", 422)


@pytest.mark.parametrize("kind", EVERY_ERROR)
def test_the_text_is_the_class_and_our_own_facts_without_credlys_words(kind: type[CredlyError]) -> None:
    error = an_error(kind)

    assert kind.__doc__ is not None
    assert str(error) == (
        f"{kind.__doc__.splitlines()[0]} (operation issue_badge, status 422, code http_422, request request-1)"
    )
    assert repr(error) == f"{kind.__name__}({str(error)!r})"


def test_an_error_without_facts_still_says_what_to_do() -> None:
    assert str(Unclear()) == "The request may have arrived at Credly: look up before anything else."


def test_an_error_still_has_a_text_when_docstrings_are_stripped() -> None:
    class Undocumented(NotFound):
        __doc__ = None

    assert str(Undocumented(status=404)) == "Undocumented (status 404)"


def test_only_throttled_has_a_time_to_wait() -> None:
    assert [an_error(kind).retry_after for kind in EVERY_ERROR] == [None] * len(EVERY_ERROR)


def test_a_badge_that_exists_is_one_kind_of_refusal() -> None:
    assert issubclass(AlreadyIssued, Refused)
    assert issubclass(AlreadyReplaced, Refused)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Template is archived", "Template is archived"),
        ("ada@example.org has it", "… has it"),
        ("<ada@example.org>, ada%40example.org", "… …"),
        ("ADA MUSTER has it", "… has it"),
        ("Muster, Ada", "…, …"),
        ("Adalbert has it", "Adalbert has it"),
        ("Mustermann has it", "…mann has it"),
        ("Ada\u200b Mus\u00adter has it", "… has it"),
        ("has\r\n\t it\x00\x1b[31m", "has it[31m"),
        ("Zoe\u0308 has it", "… has it"),
        ("李小龙已有此徽章", "…已有此徽章"),
        ("a" * 600, "a" * 500),
        (" \n ", None),
        ("", None),
    ],
)
def test_what_credly_writes_is_kept_without_people(said: str, kept: str | None) -> None:
    assert mask_message(said, personal=["Ada Muster", "Ada", "Muster", "Zoë", "李小龙", "", " "]) == kept


def test_a_name_cut_in_half_at_the_end_of_a_long_message_is_dropped() -> None:
    assert mask_message("@" * 3_995 + " Mustermann", personal=["Mustermann"]) == "…"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("The template is wrong. " * 1_500, ("The template is wrong. " * 22)[:500]),
        ("x" * 33_000, "x" * 500),
        ("Invalid: " + "é" * 33_000, "Invalid: " + "é" * 491),
        ("Muster" * 6_000, "…" * 350),
        ("x" * 3_990 + "Mustermann", "x" * 500),
        ("Mustermann " * 3_000, "… " * 250),
    ],
    ids=["words", "no blank", "one blank", "a name", "a name at the end", "names"],
)
def test_of_a_very_long_message_the_beginning_is_kept(said: str, kept: str) -> None:
    assert mask_message(said, personal=["Mustermann", "Muster"]) == kept


def test_no_half_of_an_address_or_name_is_left_at_the_end_of_what_is_read() -> None:
    names = "Mustermann" * 399 + "eda"  # of eda@example.org, whose rest is not read

    assert mask_message(f"{names}.muster@example.org {'x' * 9_000}", personal=["Mustermann"]) == "…" * 89
    assert mask_message("Mustermann" * 399 + "Mustermann" * 9, personal=["Mustermann"]) == "…" * 80
