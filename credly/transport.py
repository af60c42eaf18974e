"""The transport of calls: httpx over aiohttp's connections, which cost a third of httpx's own at fifty calls at a time.

The class of a failure decides whether a call may be sent again. httpx-aiohttp raises the same class for a server that
closes the connection in the middle of a call as for one that was never reached, so failures are mapped again here, by
the class of aiohttp's exception.
"""

import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import cast

import aiohttp
import httpx
from aiohttp.connector import Connection
from httpx_aiohttp import AiohttpTransport

from credly.errors import CredlyError, NotSent, Unclear
from credly.replies import Call

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)

_CLASSES: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ClientConnectorError, httpx.ConnectError),  # unknown host, refused, no valid certificate
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),  # or no free connection in time
    (aiohttp.SocketTimeoutError, httpx.ReadTimeout),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
)

_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
_MOST_ENCODINGS = 2


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


def decoded(body: bytes, *, encodings: str, longest: int) -> bytes | None:
    """Return a reply's body without the encodings that its header names, or None if it is longer than `longest`.

    The limit holds in each step, as a thousand bytes can stand for a gigabyte. An encoding that was not asked for
    stays, and the body cannot be read.

    Raises:
        DecodingError: the body is not in the encoding.
    """
    named = [window for name in encodings.split(",") if (window := _WINDOWS.get(name.strip().lower()))]
    for window in reversed(named[-_MOST_ENCODINGS:]):
        try:
            body = _decompressed(body, window, longest=longest + 1)
        except zlib.error:
            raise httpx.DecodingError("the body is not in the encoding that its header names") from None
        if len(body) > longest:
            return None
    return body


def _decompressed(body: bytes, window: int, *, longest: int) -> bytes:
    try:
        return zlib.decompressobj(window).decompress(body, longest)
    except zlib.error:
        if window != zlib.MAX_WBITS:
            raise
        # Some servers send "deflate" without zlib's header.
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, longest)


def transport_error(failure: Exception, *, call: Call, credly_request_id: str | None) -> CredlyError:
    """The error of a call without a complete answer; its headers may have come, with Credly's id of the request."""
    name = type(failure).__name__
    code = "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")
    if isinstance(failure, _NOT_SENT):
        return NotSent(**call.facts(code=code))
    facts = call.facts(code="total_timeout" if isinstance(failure, TimeoutError) else code)
    return Unclear(**facts | {"credly_request_id": credly_request_id})
