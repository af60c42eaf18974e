from datetime import timedelta

import pytest

from rules.ledger.sweep import ROUND_WITHIN, rows_for_run

QUARTER = timedelta(minutes=15)


@pytest.mark.parametrize(
    ("of_round", "since", "rows"),
    [
        (10_000_000, None, 50_000),
        (0, QUARTER, 50_000),
        (4_000_000, QUARTER, 50_000),
        (10_000_000, QUARTER, 125_000),
        (10_000_000, timedelta(hours=10), 5_000_000),
        (10_000_000, timedelta(seconds=-5), 50_000),
    ],
)
def test_a_run_looks_at_as_much_as_ends_a_round_within_a_day(of_round: int, since: timedelta | None, rows: int) -> None:
    assert rows_for_run(of_round=of_round, since=since, at_least=50_000) == rows


def test_the_runs_of_a_day_go_through_everything_even_if_some_are_skipped() -> None:
    rows = 3_000_001
    runs = [rows_for_run(of_round=rows, since=timedelta(hours=2), at_least=1_000) for _ in range(11)]

    assert sum(runs) >= rows
    assert timedelta(hours=2) * 11 < timedelta(days=1)
    assert timedelta(days=1) > ROUND_WITHIN
