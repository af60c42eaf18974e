"""The pace of one organization's calls: the rate limit belongs to its token, so every process shares it."""

from asyncio import Lock, sleep
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import monotonic

_AHEAD_SECONDS = 0.25
_LATE_SECONDS = 0.01
WIDER = 1.02  # turns lie so much further apart, so that calls which arrive unevenly are none too many in any second


class Pace:
    """Hands out turns, evenly spaced, one after the other; other processes take theirs in between.

    `book` takes the next seconds of the organization's time, lets them begin so much later than they might, and
    returns when they begin, by `monotonic()`; `hold` lets nobody take a turn for so many. A process books one turn, or
    a quarter of a second's turns where the pace is quick: so somebody who issues one badge by hand waits for no long
    queue.
    """

    def __init__(
        self,
        *,
        calls_per_second: float,
        book: Callable[[float, float], Awaitable[float]],
        hold: Callable[[float], Awaitable[None]],
    ) -> None:
        self._interval = WIDER / calls_per_second
        self._size = max(1, int(calls_per_second * _AHEAD_SECONDS))
        self._book, self._hold = book, hold
        self._booked: deque[float] = deque()
        self._taken: deque[float] = deque(maxlen=max(1, int(calls_per_second)))
        self._late = 0.0
        self._pauses = 0
        self._queue = Lock()

    async def turn(self) -> None:
        """Return when the caller may make one call."""
        async with self._queue:
            while True:
                mine, pauses = await self._next(), self._pauses
                wait = max(mine, self._full_until()) - monotonic()
                if wait > 0:
                    await sleep(wait)
                if pauses == self._pauses:  # else a pause came meanwhile: wait for a turn behind it
                    self._taken.append(monotonic())
                    self._note_late(self._taken[-1] - mine)
                    return

    async def pause(self, duration: timedelta) -> None:
        """Hold back everybody's turns for this long, or longer if a pause is already under way."""
        self._pauses += 1
        self._booked.clear()
        await self._hold(duration.total_seconds())

    def _full_until(self) -> float:
        """Return until when another turn would be one too many within a second: the last ones may have come late."""
        return self._taken[0] + 1 if len(self._taken) == self._taken.maxlen else 0.0

    def _note_late(self, seconds: float) -> None:
        """What this process was late by, others' turns are moved by as well: they know of no late one."""
        self._late = seconds if self._size == 1 and seconds > _LATE_SECONDS else 0.0

    async def _next(self) -> float:
        while self._booked and self._booked[0] < monotonic() - _AHEAD_SECONDS:
            self._booked.popleft()  # lapsed: turns are not saved up
        if not self._booked:
            begins = await self._book(self._size * self._interval, self._late)
            self._late = 0.0
            self._booked.extend(begins + place * self._interval for place in range(self._size))
        return self._booked.popleft()
