"""How calls travel: by httpx, over aiohttp's connections, which cost a third of httpx's own at fifty calls at a time.

What may be sent again hangs on how a failure is named. httpx-aiohttp names a server that hangs up in the middle of a
call as if it had never been reached, so each failure is named anew here, by what aiohttp said of it.
"""

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

_NAMES: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ClientConnectorError, httpx.ConnectError),  # no address, nobody listens, no valid certificate
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),  # or no connection got free in time
    (aiohttp.SocketTimeoutError, httpx.ReadTimeout),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
)


class Transport(AiohttpTransport):
    """Sends a request once, over a free connection, and raises what httpx's own transport would."""

    def get_client(self) -> aiohttp.ClientSession:
        """Return the session that holds the connections."""
        session = super().get_client()
        # Else it repeats a GET or PUT over a new connection by itself: a call that no attempt tells of.
        session._retry_connection = False
        session._response_class = _Response
        return session

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request.

        Raises:
            ConnectError, ConnectTimeout: it did not leave.
            TransportError: it may have left.
        """
        with _named_anew():
            response = await super().handle_async_request(request)
        response.stream = _Body(cast("httpx.AsyncByteStream", response.stream))
        return response


class _Response(aiohttp.ClientResponse):
    """A response without the words beside its status, which may be no text and then could not be handed on."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        started = await super().start(connection)
        started.reason = None
        return started


class _Body(httpx.AsyncByteStream):
    """A response's body, whose failures are named anew."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _named_anew():
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def _named_anew() -> Iterator[None]:
    try:
        yield
    except (httpx.TransportError, aiohttp.ClientError) as failure:
        said = failure if isinstance(failure, aiohttp.ClientError) else failure.__cause__ or failure
        name = next((name for kind, name in _NAMES if isinstance(said, kind)), httpx.ReadError)
        raise name(type(said).__name__) from None


def transport_error(failure: Exception, *, call: Call, credly_request_id: str | None) -> CredlyError:
    """The error of a call that got no whole answer; its head may have come, with Credly's id of the request."""
    name = type(failure).__name__
    code = "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")
    if isinstance(failure, _NOT_SENT):
        return NotSent(**call.facts(code=code))
    facts = call.facts(code="total_timeout" if isinstance(failure, TimeoutError) else code)
    return Unclear(**facts | {"credly_request_id": credly_request_id})
