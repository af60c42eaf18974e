"""What the short form of `make bench` names as worse."""

import pytest

from bench.kept import Ratio, ratio, worse


@pytest.mark.parametrize(
    ("figure", "kept", "named"),
    [
        (ratio([1.1, 1.2, 1.3]), 1.1, False),
        (ratio([1.2, 1.4, 1.5]), 1.1, False),  # the best round is within the tolerance
        (ratio([1.3, 1.4, 1.5]), 1.1, True),
        (ratio([0.5, 0.6]), 1.1, False),
        (ratio([0.84, 0.95], more_is_better=True), 0.97, False),
        (ratio([0.70, 0.80], more_is_better=True), 0.97, True),
        (ratio([1.5], more_is_better=True), 0.97, False),
        (ratio([1.3], tolerance=0.25), 1.1, False),
    ],
)
def test_a_figure_is_worse_when_even_its_best_round_is_beyond_the_tolerance(
    figure: Ratio, kept: float, named: bool
) -> None:
    assert bool(worse({"import": figure}, {"import": kept})) is named


def test_a_figure_that_was_not_kept_is_not_compared() -> None:
    assert worse({"new": ratio([2.0]), "import": ratio([2.0])}, {"import": 1.0, "gone": 1.0}) == ["import: 2, kept 1"]
