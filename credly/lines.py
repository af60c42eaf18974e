"""A line to Credly for each call that is under way.

httpx's own pool goes through all its connections and all waiting calls at every call, which at fifty calls at a time
costs more than the calls (bench/README.md). A line has one connection, is taken by one call at a time, and the one that
was used last is taken first, so that connections are kept alive where little is to be done.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from ssl import SSLContext
from typing import cast

import httpx


class Lines(httpx.AsyncBaseTransport):
    """So many calls at once, each over a line of its own; more wait as long as the request's pool time-out says."""

    def __init__(self, *, at_once: int, verify: SSLContext, keepalive_seconds: float) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._idle: list[httpx.AsyncHTTPTransport] = []
        self._lines: list[httpx.AsyncHTTPTransport] = []
        self._verify = verify
        self._limits = httpx.Limits(max_keepalive_connections=1, keepalive_expiry=keepalive_seconds)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request over a free line, which is taken until the response is closed.

        Raises:
            PoolTimeout: no line got free in time.
        """
        try:
            async with asyncio.timeout(request.extensions["timeout"]["pool"]):
                await self._free.acquire()
        except TimeoutError:
            raise httpx.PoolTimeout("all lines are taken", request=request) from None
        line = self._idle.pop() if self._idle else self._new_line()
        try:
            response = await line.handle_async_request(request)
        except BaseException:
            self._give_back(line)
            raise
        response.stream = _Held(cast("httpx.AsyncByteStream", response.stream), partial(self._give_back, line))
        return response

    async def aclose(self) -> None:
        """Hang up everywhere."""
        for line in self._lines:
            await line.aclose()

    def _new_line(self) -> httpx.AsyncHTTPTransport:
        line = httpx.AsyncHTTPTransport(verify=self._verify, trust_env=False, limits=self._limits)
        self._lines.append(line)
        return line

    def _give_back(self, line: httpx.AsyncHTTPTransport) -> None:
        self._idle.append(line)
        self._free.release()


class _Held(httpx.AsyncByteStream):
    """A response's body; closing it gives the line back, once."""

    def __init__(self, stream: httpx.AsyncByteStream, give_back: Callable[[], None]) -> None:
        self._stream = stream
        self._give_back: Callable[[], None] | None = give_back

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        give_back, self._give_back = self._give_back, None
        try:
            await self._stream.aclose()
        finally:
            if give_back is not None:
                give_back()
