"""A rate limit of each organization: a number of calls within any second (9)."""

from collections import deque

WINDOW_SECONDS = 1.0


class Limits:
    """The moments of each organization's latest calls."""

    def __init__(self) -> None:
        self._taken: dict[str, deque[float]] = {}

    def take(self, path: str, *, calls_per_second: int, now: float) -> bool:
        """Count a call at the moment `now`, in seconds of any clock; return False if it is over the limit."""
        organization = path.partition("/organizations/")[2].partition("/")[0]
        taken = self._taken.setdefault(organization, deque())
        while taken and taken[0] <= now - WINDOW_SECONDS:
            taken.popleft()
        if len(taken) >= calls_per_second:
            return False
        taken.append(now)
        return True
