"""What holds back a withdrawal: too many badges at once, or a source that lost much of what it had."""

import pytest

from rules.ledger.withdrawal import Loss, Revocable, held_back


def lost(missing: int, awards: int) -> Loss:
    return Loss(portal_id="northwind", missing=missing, awards=awards)


@pytest.mark.parametrize(
    ("missing", "awards", "large"),
    [(0, 0, False), (9, 9, False), (10, 10, True), (10, 99, True), (10, 100, False), (11, 100, True), (20, 201, False)],
)
def test_more_than_a_tenth_and_ten_at_least_is_a_large_loss(missing: int, awards: int, large: bool) -> None:
    assert lost(missing, awards).is_large is large


def test_a_loss_is_said_with_its_numbers() -> None:
    assert lost(12, 90).sentence == (
        "12 of the 90 awards behind the badges of portal northwind are missing from the platform"
    )
    assert "withdrawn_at" in lost(12, 90).advice


def of(portal: str, achievement: str, badges: int) -> Revocable:
    return Revocable(portal_id=portal, achievement_id=achievement, badges=badges)


def test_a_portal_is_held_by_the_sum_of_its_achievements() -> None:
    found = [of("a", "boat", 10), of("a", "crane", 11), of("b", "forklift", 20)]

    (held,) = held_back(found, above=20)

    assert (held.portal_id, held.badges, held.achievements) == ("a", 21, tuple(found[:2]))
    assert held.sentence == "portal a has 21 badges to revoke, more than 20, so none of them is"


@pytest.mark.parametrize("above", [21, 100])
def test_as_many_as_the_cap_are_not_held(above: int) -> None:
    assert held_back([of("a", "boat", 10), of("a", "crane", 11)], above=above) == []
    assert held_back([], above=0) == []
