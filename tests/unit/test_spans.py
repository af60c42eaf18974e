"""Numbers in words."""

import pytest

from rules.spans import change, share, time_in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"),
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h"),
        (7_530, "2 h 5 min"),
        (86_400, "1 day"),
        (86_400 + 59, "1 day"),
        (3 * 86_400 + 4 * 3_600 + 59, "3 days 4 h"),
    ],
)
def test_a_time_is_told_in_its_two_largest_units(seconds: int | None, words: str) -> None:
    assert time_in_words(seconds) == words


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [
        (0, 0, "–"),
        (0, 5, "0 %"),
        (5, 5, "100 %"),
        (1, 2, "50 %"),
        (1, 1000, "<1 %"),
        (999, 1000, ">99 %"),
        (1, 100, "1 %"),
    ],
)
def test_a_share_is_all_or_nothing_only_where_it_is(part: int, whole: int, words: str) -> None:
    assert share(part, whole) == words


@pytest.mark.parametrize(
    ("now", "before", "words"),
    [
        (5, 5, "no change"),
        (12, 0, "+12 (none before)"),
        (54, 50, "+4 (+8 %)"),
        (0, 50, "−50 (−100 %)"),
        (12_000, 2_000, "+10,000 (+500 %)"),
    ],
)
def test_a_change_is_told_as_difference_and_share(now: int, before: int, words: str) -> None:
    assert change(now, before) == words
