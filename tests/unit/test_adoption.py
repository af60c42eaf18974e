"""Which badge at Credly an issuance may take as its own."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from credly.wire import Badge, BadgeRequest
from rules.ledger.adoption import CLOCKS_DIFFER, has_another_address, leaves_open, names_another, own_badges
from rules.ledger.outcome import LIVE_STATES

SENT_AT = datetime(2026, 11, 10, 12, tzinfo=UTC)
AWARDED_AT = datetime(2026, 11, 10, 9, 30, 15, 250_000, tzinfo=UTC)
REQUEST = BadgeRequest(
    badge_template_id="forklift",
    recipient_email="Ada@example.org",
    issued_to_first_name="Ada",
    issued_to_last_name="Lovelace",
    issued_at=AWARDED_AT,
    issuer_earner_id="ada",
)


def a_badge(badge_id: str = "badge", **changes: Any) -> Badge:
    made = {
        "state": "accepted",
        "badge_template_id": "forklift",
        "issuer_earner_id": "ada",
        "created_at": SENT_AT,
    }
    return Badge(id=badge_id, **made | changes)


def own(*found: Badge) -> list[str]:
    return [badge.id for badge in own_badges(found, request=REQUEST, sent_at=SENT_AT)]


@pytest.mark.parametrize(
    "changes",
    [
        *({"state": state} for state in LIVE_STATES),
        {"created_at": datetime(2019, 1, 1, tzinfo=UTC)},
        {"created_at": None},
        {"issuer_earner_id": None},
        {"issuer_earner_id": None, "created_at": SENT_AT - CLOCKS_DIFFER},
        {"issuer_earner_id": "", "created_at": SENT_AT + timedelta(days=3)},
        {"issuer_earner_id": None, "created_at": None, "issued_at": AWARDED_AT.replace(microsecond=0)},
        {"recipient_email": "former@example.org"},
    ],
    ids=str,
)
def test_what_this_request_can_have_made_is_adopted(changes: dict[str, Any]) -> None:
    assert own(a_badge(**changes)) == ["badge"]


@pytest.mark.parametrize(
    "changes",
    [
        *({"state": state} for state in ("revoked", "rejected", "replaced", "expired", "", None)),
        {"replacement_badge_id": "successor"},
        {"badge_template_id": "crane"},
        {"badge_template_id": None},
        {"issuer_earner_id": "bob"},
        {"issuer_earner_id": "bob", "recipient_email": "ada@example.org"},
        {"issuer_earner_id": "ADA"},
        {"issuer_earner_id": None, "created_at": SENT_AT - CLOCKS_DIFFER - timedelta(seconds=1)},
        {"issuer_earner_id": None, "created_at": datetime(2019, 1, 1, tzinfo=UTC)},
        {"issuer_earner_id": None, "created_at": None},
        {"issuer_earner_id": None, "created_at": None, "issued_at": AWARDED_AT + timedelta(seconds=1)},
    ],
    ids=str,
)
def test_what_it_cannot_have_made_is_not(changes: dict[str, Any]) -> None:
    assert own(a_badge(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "open_"),
    [
        ({}, True),
        ({"issued_at": AWARDED_AT}, False),
        ({"created_at": SENT_AT}, False),
        ({"issuer_earner_id": "bob"}, False),
        ({"state": "revoked"}, False),
        ({"badge_template_id": "crane"}, False),
    ],
    ids=str,
)
def test_a_badge_that_says_neither_whose_nor_of_when_it_is_leaves_open_if_it_is_this_one(
    changes: dict[str, Any], open_: bool
) -> None:
    silent = a_badge(**{"issuer_earner_id": None, "created_at": None} | changes)

    assert leaves_open([a_badge("other"), silent], request=REQUEST) is open_


def test_the_oldest_comes_first_whatever_the_order_and_one_without_a_moment_last() -> None:
    found = [
        a_badge("c", created_at=SENT_AT),
        a_badge("d", created_at=None),
        a_badge("a", created_at=SENT_AT - timedelta(days=1)),
        a_badge("b", created_at=SENT_AT),
    ]

    assert own(*found) == own(*reversed(found)) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("changes", "another"),
    [
        ({}, False),
        ({"issuer_earner_id": None, "badge_template_id": None}, False),
        ({"issuer_earner_id": "bob"}, True),
        ({"badge_template_id": "crane"}, True),
    ],
    ids=str,
)
def test_an_answer_about_another_earner_or_template_is_noticed(changes: dict[str, Any], another: bool) -> None:
    assert names_another(a_badge(**changes), REQUEST) is another


@pytest.mark.parametrize(
    ("address", "another"), [("ada@example.org", False), ("ADA@EXAMPLE.ORG", False), (None, False), ("b@x.org", True)]
)
def test_a_replacement_for_another_address_is_noticed(address: str | None, another: bool) -> None:
    assert has_another_address(a_badge(recipient_email=address), REQUEST) is another
