"""Client-side rate limit of one Credly organization. Credly counts by token, so all processes share it."""

from asyncio import Lock, sleep
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import monotonic

_AHEAD_SECONDS = 0.25
_LATE_SECONDS = 0.01
# Space calls 2 % wider than the limit, so that jitter on the way never exceeds Credly's per-second quota.
SPACING_MARGIN = 1.02


class RateLimiter:
    """Grants evenly spaced slots for calls, first come, first served.

    Slots are reserved in the database, which all processes share. `reserve(seconds, shift)` reserves so many seconds of
    the organization's time, moved back by `shift`, and returns their start by `clock`. `pause_all(seconds)`
    blocks every process. A process reserves one slot, or a quarter of a second's slots at a high rate, so that an
    operator who issues one badge is never queued behind a long reservation.
    """

    def __init__(
        self,
        *,
        calls_per_second: float,
        reserve: Callable[[float, float], Awaitable[float]],
        pause_all: Callable[[float], Awaitable[None]],
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = sleep,
    ) -> None:
        self._interval = SPACING_MARGIN / calls_per_second
        self._size = max(1, int(calls_per_second * _AHEAD_SECONDS))
        self._reserve, self._pause_all = reserve, pause_all
        self._clock, self._sleep = clock, sleep
        self._reserved: deque[float] = deque()
        self._used: deque[float] = deque(maxlen=max(1, int(calls_per_second)))
        self._late = 0.0
        self._pauses = 0
        self._queue = Lock()

    async def acquire(self) -> None:
        """Wait until the caller may make one call."""
        async with self._queue:
            while True:
                slot, pauses = await self._next_slot(), self._pauses
                wait = max(slot, self._quota_frees_at()) - self._clock()
                if wait > 0:
                    await self._sleep(wait)
                # Otherwise a pause began meanwhile: reserve a slot behind it.
                if pauses == self._pauses:
                    self._used.append(self._clock())
                    self._record_lateness(self._used[-1] - slot)
                    return

    async def pause(self, duration: timedelta) -> None:
        """Pause the calls of every process for this long, or until a longer pause under way ends."""
        self._pauses += 1
        self._reserved.clear()
        await self._pause_all(duration.total_seconds())

    def _quota_frees_at(self) -> float:
        # Late calls bunch up: a punctual one right after them could be one too many within a second.
        return self._used[0] + 1 if len(self._used) == self._used.maxlen else 0.0

    def _record_lateness(self, seconds: float) -> None:
        # Remember how late this call was, so that the next reservation shifts every process by as much.
        self._late = seconds if self._size == 1 and seconds > _LATE_SECONDS else 0.0

    async def _next_slot(self) -> float:
        # Lapsed slots expire instead of being saved up for a burst.
        while self._reserved and self._reserved[0] < self._clock() - _AHEAD_SECONDS:
            self._reserved.popleft()
        if not self._reserved:
            begins = await self._reserve(self._size * self._interval, self._late)
            self._late = 0.0
            self._reserved.extend(begins + index * self._interval for index in range(self._size))
        return self._reserved.popleft()
