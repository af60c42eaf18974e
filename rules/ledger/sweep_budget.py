"""How many rows of a sweep one run checks, so that a sweep ends within a day."""

from datetime import timedelta
from math import ceil

ROUND_WITHIN = timedelta(hours=20)  # a day, less some hours for runs that were skipped


def rows_for_run(*, of_round: int, since: timedelta | None, at_least: int) -> int:
    """Return how many rows a run checks: `at_least`, or more if the sweep would not end within a day.

    `of_round` is the number of rows of the sweep, `since` the time since a run last worked on it; None is never.
    """
    if since is None:
        return at_least
    return max(at_least, ceil(of_round * (since / ROUND_WITHIN)))
