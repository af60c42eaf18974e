"""The pace of one organization's calls: the rate limit belongs to its token, so all its calls share one of these."""

import asyncio
from datetime import timedelta


class Pace:
    """Hands out turns, evenly spaced; a pause holds everybody who has not had a turn yet."""

    def __init__(self, *, calls_per_second: float) -> None:
        self._interval = 1 / calls_per_second
        self._next_turn = 0.0
        self._paused_until = 0.0

    async def turn(self) -> None:
        """Return when the caller may make one call."""
        loop = asyncio.get_running_loop()
        paused = True
        while paused:
            mine = max(loop.time(), self._next_turn)
            self._next_turn = mine + self._interval
            await asyncio.sleep(mine - loop.time())
            paused = loop.time() < self._paused_until  # a pause came meanwhile: queue again behind it

    def pause(self, duration: timedelta) -> None:
        """Hold back all turns for this long, or longer if a pause is already under way."""
        end = asyncio.get_running_loop().time() + duration.total_seconds()
        if end > self._paused_until:
            self._paused_until = self._next_turn = end
