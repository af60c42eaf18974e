"""A rate limit: so many calls of one organization within any second (9)."""

from collections import deque

WINDOW_SECONDS = 1.0


class Limits:
    """When each organization's calls were taken."""

    def __init__(self) -> None:
        self._taken: dict[str, deque[float]] = {}

    def take(self, path: str, *, calls_per_second: int, now: float) -> bool:
        """Take a call at the moment `now`, in seconds of any clock, or return False: it is one too many."""
        organization = path.partition("/organizations/")[2].partition("/")[0]
        taken = self._taken.setdefault(organization, deque())
        while taken and taken[0] <= now - WINDOW_SECONDS:
            taken.popleft()
        if len(taken) >= calls_per_second:
            return False
        taken.append(now)
        return True
