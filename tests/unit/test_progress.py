"""How far a run is, in words."""

from datetime import timedelta

import pytest

from rules.monitoring.progress import percent, progress_sentence


@pytest.mark.parametrize(
    ("done", "total", "seconds", "sentence"),
    [
        (0, 100, 5, "0 of 100 badges · 0.0 a second"),
        (0, 100, 0, "0 of 100 badges · 0.0 a second"),
        (40, 100, 10, "40 of 100 badges · 4.0 a second · about 15 seconds left"),
        (99, 100, 10, "99 of 100 badges · 9.9 a second · about 1 second left"),
        (100, 10_000, 10, "100 of 10000 badges · 10.0 a second · about 16 minutes left"),
        (1, 10_000, 1, "1 of 10000 badges · 1.0 a second · about 3 hours left"),
        (100, 100, 10, "100 of 100 badges · 10.0 a second"),
        (101, 100, 10, "101 of 100 badges · 10.1 a second"),
        (1, 1, 1, "1 of 1 badge · 1.0 a second"),
    ],
)
def test_progress_is_told_with_rate_and_time_left(done: int, total: int, seconds: int, sentence: str) -> None:
    assert progress_sentence(done, total, elapsed=timedelta(seconds=seconds)) == sentence


def test_percent_stays_between_0_and_100() -> None:
    assert [percent(0, 4), percent(1, 4), percent(5, 4), percent(0, 0)] == [0.0, 25.0, 100.0, 100.0]
