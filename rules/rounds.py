"""How much of a round through everything one run does, so that a round ends within a day."""

from datetime import timedelta
from math import ceil

ROUND_WITHIN = timedelta(hours=20)  # a day, less what runs that were skipped may cost


def rows_for_run(*, of_round: int, since: timedelta | None, at_least: int) -> int:
    """Return how many rows a run looks at: `at_least` so many, more where the round would not end within a day.

    `of_round` is how many rows the round has, `since` how long ago a run last worked on it; None is never.
    """
    if since is None:
        return at_least
    return max(at_least, ceil(of_round * (since / ROUND_WITHIN)))
