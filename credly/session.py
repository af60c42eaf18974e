"""Makes a request to Credly and reads its answer: once, without a pause or a retry.

The only file, with credly/transport.py, that makes requests. Retries are decided by the rules of the ledger.
"""

import asyncio
import json
import uuid
import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, lru_cache, partial
from typing import Any, Self, TypeVar

import httpx
from pydantic import SecretStr

from credly.arguments import checked_base_url, checked_token
from credly.errors import CredlyError, NotSent, Unclear
from credly.queries import Query, path_segment
from credly.replies import Call, Reply, error_for, readable_id

_VERSION = "0.1.0"
# Shorter than any server's, so that we close idle connections: one that the server closes as a call goes out leaves
# open whether the call arrived.
_KEEPALIVE_SECONDS = 4
_OK = frozenset({200})
# Cached: reading the certificates takes longer than a call.
_trusted_authorities = cache(partial(httpx.create_ssl_context, trust_env=False))
_url_of = lru_cache(maxsize=64)(httpx.URL)
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Timeouts:
    """Seconds to wait: for a connection, between bytes, for a free connection and its making, for a whole call."""

    connect: float = 5
    read: float = 30
    pool: float = 30
    total: float = 120


_DEFAULT_TIMEOUTS = Timeouts()
_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
_MOST_ENCODINGS = 2
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class _Credentials:
    """The token and the headers that hold it, shared by copies of a client."""

    token: SecretStr
    headers: httpx.Headers


class Session:
    """Requests for one organization at Credly; `CredlyClient` has the calls and describes the arguments."""

    def __init__(
        self,
        *,
        base_url: str,
        organization_id: str,
        token: SecretStr,
        max_connections: int = 10,
        timeouts: Timeouts = _DEFAULT_TIMEOUTS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base_url = checked_base_url(base_url)
        self._organization_id = organization_id
        self._organization = f"/organizations/{path_segment(organization_id, name='organization_id')}"
        self._credentials = _Credentials()
        self.use_token(token)
        self._total_seconds = timeouts.total
        timeout = httpx.Timeout(connect=timeouts.connect, read=timeouts.read, write=None, pool=timeouts.pool)
        self._extensions = {"timeout": timeout.as_dict()}
        # Here, because it loads aiohttp, and most processes call nobody: a run with nothing due, most forms.
        from credly.transport import Transport

        # A transport without httpx's client around it: these calls need no redirects, cookies or environment, and the
        # client's work for them takes as long as the call.
        self._transport = transport or Transport(
            verify=_trusted_authorities(),
            trust_env=False,
            limits=httpx.Limits(max_connections=max_connections, keepalive_expiry=_KEEPALIVE_SECONDS),
        )

    def __repr__(self) -> str:
        return f"CredlyClient(base_url={self._base_url!r}, organization_id={self._organization_id!r})"

    @property
    def token(self) -> SecretStr:
        return self._credentials.token

    def use_token(self, token: SecretStr) -> None:
        """Make further calls with another token, those of copies of this client too.

        Raises:
            ValueError: it cannot be a token.
        """
        key = b64encode(f"{checked_token(token)}:".encode()).decode()
        self._credentials.token = token
        self._credentials.headers = httpx.Headers(
            {
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
                "Authorization": f"Basic {key}",
                "User-Agent": f"Laurel/{_VERSION}",
            }
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.aclose()

    def _call(self, operation: str, *, personal: tuple[str, ...] = (), **how: Any) -> Call:
        hidden = (self.token.get_secret_value(), *personal)
        return Call(operation=operation, request_id=str(uuid.uuid4()), personal=hidden, **how)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        call: Call,
        read: Callable[[Reply], Answer],
        params: Mapping[str, str] | Query | None = None,
        body: Mapping[str, Any] | None = None,
        accepted: frozenset[int] = _OK,
    ) -> Answer:
        # Every request passes here: a subclass overrides it to add rate limit and attempts.
        headers = httpx.Headers(self._credentials.headers, encoding="ascii")
        headers["X-Request-Id"] = call.request_id
        if body is not None:
            headers["Content-Type"] = "application/json"
        # As a stream: else httpx adds Host and Content-Length, which the transport adds as well.
        content = httpx.ByteStream(b"" if body is None else json.dumps(body).encode("ascii"))
        url = _url_of(self._base_url + path)
        request = httpx.Request(
            method, url, params=params, stream=content, headers=headers, extensions=self._extensions
        )
        request.read()  # else the transport sends the body in chunks, without Content-Length
        try:
            async with asyncio.timeout(self._total_seconds):
                reply = await self._exchange(request, call=call)
        except (httpx.HTTPError, TimeoutError) as failure:
            error = _transport_error(failure, call=call, credly_request_id=request.extensions.get("credly_request_id"))
        else:
            if reply.status in accepted and reply.body is not None:
                return read(reply)
            error = error_for(reply, now=datetime.now(UTC))
        # Outside the except block: httpx's exception holds the request, with the token and the earner in it,
        # and must not stay on ours as its context.
        raise error

    async def _exchange(self, request: httpx.Request, *, call: Call) -> Reply:
        response = await self._transport.handle_async_request(request)
        response.request = request
        credly_request_id = readable_id(response.headers.get("X-Request-Id"))
        request.extensions["credly_request_id"] = credly_request_id  # else lost where the body breaks off
        wait = response.headers.get("Retry-After")
        reply = Reply(call, response.status_code, body=None, retry_after=wait, credly_request_id=credly_request_id)
        try:
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > call.longest_reply:
                    return reply
        finally:
            await response.aclose()
        encodings = response.headers.get("Content-Encoding", "")
        return replace(reply, body=_decoded(bytes(body), encodings=encodings, longest=call.longest_reply))


def _decoded(body: bytes, *, encodings: str, longest: int) -> bytes | None:
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


def _transport_error(failure: Exception, *, call: Call, credly_request_id: str | None) -> CredlyError:
    """The error of a call without a complete answer; its headers may have come, with Credly's id of the request."""
    name = type(failure).__name__
    code = "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")
    if isinstance(failure, _NOT_SENT):
        return NotSent(**call.facts(code=code))
    facts = call.facts(code="total_timeout" if isinstance(failure, TimeoutError) else code)
    return Unclear(**facts | {"credly_request_id": credly_request_id})
