"""The transport of calls: httpx over aiohttp's connections, which cost a third of httpx's own at fifty calls at a time.

The class of a failure decides whether a call may be sent again. httpx-aiohttp raises the same class for a server that
closes the connection in the middle of a call as for one that was never reached, so failures are mapped again here, by
the class of aiohttp's exception.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import cast

import aiohttp
import httpx
from aiohttp.connector import Connection
from httpx_aiohttp import AiohttpTransport

_CLASSES: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ClientConnectorError, httpx.ConnectError),  # unknown host, refused, no valid certificate
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),  # or no free connection in time
    (aiohttp.SocketTimeoutError, httpx.ReadTimeout),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
)


class Transport(AiohttpTransport):
    """Sends a request once, over a free connection, and raises what httpx's own transport would."""

    def get_client(self) -> aiohttp.ClientSession:
        session = super().get_client()
        # Else aiohttp repeats a GET or PUT over a new connection: a call without a row in the attempts.
        session._retry_connection = False
        session._response_class = _Response
        # Else cookies of replies are kept and sent with later calls, until their headers are too long.
        session._cookie_jar = aiohttp.DummyCookieJar()
        return session

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request.

        Raises:
            ConnectError, ConnectTimeout: it did not leave.
            TransportError: it may have left.
        """
        with _mapped_failures():
            response = await super().handle_async_request(request)
        response.stream = _Body(cast("httpx.AsyncByteStream", response.stream))
        return response


class _Response(aiohttp.ClientResponse):
    """A response without its reason phrase: bytes in it that are no text make httpx-aiohttp raise."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        started = await super().start(connection)
        started.reason = None
        return started


class _Body(httpx.AsyncByteStream):
    """A response's body, whose failures are mapped as those of the request are."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _mapped_failures():
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def _mapped_failures() -> Iterator[None]:
    try:
        yield
    except (httpx.TransportError, aiohttp.ClientError) as failure:
        # httpx-aiohttp keeps aiohttp's exception as the cause. What is not in the table may have arrived: ReadError.
        original = failure if isinstance(failure, aiohttp.ClientError) else failure.__cause__ or failure
        mapped = next((mapped for kind, mapped in _CLASSES if isinstance(original, kind)), httpx.ReadError)
        raise mapped(type(original).__name__) from None
