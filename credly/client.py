"""How one talks to Credly: one call, one answer or one error of `credly.errors`.

With credly/transport.py the only file that imports httpx. It never sleeps and repeats nothing: what is tried again is
decided where the ledger is.
"""

import asyncio
import json
import uuid
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, lru_cache, partial
from typing import Any, Self, TypeVar

import httpx
from pydantic import SecretStr

from credly.queries import Query, filter_expression, is_asked_for, is_last_page, next_query, path_segment
from credly.replies import Call, Reply, error_for, one, readable_id, several
from credly.transport import Transport, checked_base_url, transport_error
from credly.wire import AuthorizationToken, Badge, BadgeRequest, BadgeTemplate, Organization, Received

_VERSION = "0.1.0"
_LONGEST_BULK_REPLY = 20_000_000  # bytes: a thousand full badges of 6 kB, three times over
_KEEPALIVE_SECONDS = 4  # shorter than any server's, so that we are the one to hang up
_MOST_PAGES = 400
_MOST_BULK_PAGES = 20_000

_OK = frozenset({200})
_ISSUED = frozenset({200, 201})
_trusted_authorities = cache(partial(httpx.create_ssl_context, trust_env=False))  # reading them outlasts a call
_url_of = lru_cache(maxsize=64)(httpx.URL)
ReceivedT = TypeVar("ReceivedT", bound=Received)


@dataclass(frozen=True)
class Timeouts:
    """Seconds to wait: for a connection, between bytes, for a free connection and its making, for a whole call."""

    connect: float = 5
    read: float = 30
    pool: float = 30
    total: float = 120


_DEFAULT_TIMEOUTS = Timeouts()


class CredlyClient:
    """One organization at Credly. Use it as an async context manager, one for each run.

    Args:
        base_url: with the version and without the organization, such as `https://api.credly.com/v1`; plain
            http only to this machine.
        organization_id: Credly's id of the organization that issues.
        token: the organization's authorization token.
        max_connections: calls that can be under way at once; more wait for `timeouts.pool`.
        timeouts: how long to wait for what.
        transport: replaces the network in tests.

    Raises:
        ValueError: an argument cannot be meant; the message says what to do and does not repeat it.
    """

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
        self._token = token
        self._total_seconds = timeouts.total
        key = b64encode(f"{_checked_token(token)}:".encode()).decode()
        self._headers = httpx.Headers(
            {
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
                "Authorization": f"Basic {key}",
                "User-Agent": f"Laurel/{_VERSION}",
            }
        )
        timeout = httpx.Timeout(connect=timeouts.connect, read=timeouts.read, write=None, pool=timeouts.pool)
        self._extensions = {"timeout": timeout.as_dict()}
        # A transport without httpx's client around it: redirects, cookies and environment are not for these calls, and
        # what the client does for them costs as much as the call.
        self._transport = transport or Transport(
            verify=_trusted_authorities(),
            trust_env=False,
            limits=httpx.Limits(max_connections=max_connections, keepalive_expiry=_KEEPALIVE_SECONDS),
        )

    def __repr__(self) -> str:
        return f"CredlyClient(base_url={self._base_url!r}, organization_id={self._organization_id!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.aclose()

    async def issue_badge(self, request: BadgeRequest) -> Badge:
        """The badge is issued (201), or Credly passed over a record identical to it (200).

        Credly API notes, sections 4.1 and 4.2.

        Raises:
            AlreadyIssued: Credly says that the earner has it.
            Refused: any other 4xx, or a redirect.
            Throttled, NotSent: no badge was made.
            Unclear: a badge may have been made.
            NotConnected, NotFound: the token or the organization is wrong.
        """
        path = f"{self._organization}/badges"
        call = self._call("issue_badge", personal=request.personal_texts())
        return one(Badge, await self._send("POST", path, call=call, body=request.body, hoped=_ISSUED))

    async def replace_badge(self, badge_id: str, *, request: BadgeRequest) -> Badge:
        """The badge has a successor with a new id, made from the request without its e-mail address.

        Credly API notes, section 4.9.

        Raises:
            AlreadyReplaced: it has a successor already.
            Refused, Throttled, NotSent, Unclear, NotConnected, NotFound: as for `issue_badge`.
        """
        path = f"{self._organization}/badges/{path_segment(badge_id, name='badge_id')}/replace"
        call = self._call("replace_badge", personal=request.personal_texts())
        body = request.as_replacement_json()
        return one(Badge, await self._send("POST", path, call=call, body=body, hoped=_ISSUED))

    async def revoke_badge(self, badge_id: str, *, reason: str, suppress_notification: bool = False) -> Badge:
        """The badge is revoked; there is no way back. Credly requires a reason and may mail it to the earner.

        Credly API notes, section 4.10.

        Raises:
            Refused: among others because it is revoked or replaced already: read it first.
            Throttled, NotSent, Unclear, NotConnected, NotFound: as for `issue_badge`.
        """
        path = f"{self._organization}/badges/{path_segment(badge_id, name='badge_id')}/revoke"
        body: dict[str, Any] = {"reason": reason}
        if suppress_notification:
            body["suppress_revoke_notification_email"] = True
        call = self._call("revoke_badge", personal=(reason,))
        return one(Badge, await self._send("PUT", path, call=call, body=body))

    async def badge(self, badge_id: str) -> Badge:
        """One badge as it is now, also right after it was issued, when the list may not show it yet.

        Credly API notes, section 4.6.

        Raises:
            NotFound: there is no such badge, or it is another organization's.
            Refused, Throttled, NotSent, Unclear, NotConnected: nothing was learnt.
        """
        path = f"{self._organization}/badges/{path_segment(badge_id, name='badge_id')}"
        return one(Badge, await self._send("GET", path, call=self._call("badge")))

    async def find_badges(
        self,
        *,
        badge_template_id: str,
        issuer_earner_id: str | None = None,
        recipient_email: str | None = None,
        recipient_email_all: str | None = None,
        states: tuple[str, ...] = (),
    ) -> list[Badge]:
        """The earner's badges of a template, the oldest first, each checked against what was asked for.

        A row of another template, state, earner id or address (compared in lower case) is dropped: Credly may
        ignore a filter, and then returns strangers. A row found by `recipient_email_all` may carry any address
        of the account and cannot be checked for the earner: show it to a person, never adopt it.

        Credly API notes, sections 4.5, 2 and 10.

        Raises:
            UnsafeFilterValue: a value would be read as something else by the filter's syntax.
            ValueError: no earner was asked for.
            Unclear: also when the list has no end; a part of it could be taken for "no badge".
            Refused, Throttled, NotSent, NotConnected, NotFound: nothing was learnt.
        """
        if not (issuer_earner_id or recipient_email or recipient_email_all):
            raise ValueError("find_badges needs an earner: without one it would find other people's badges")
        terms = {
            "issuer_earner_id": issuer_earner_id,
            "recipient_email": recipient_email,
            "recipient_email_all": recipient_email_all,
            "badge_template_id": badge_template_id,
        }
        asked = {key: value for key, value in terms.items() if value}
        params = {"filter": filter_expression(asked, states=states), "sort": "created_at"}
        call_texts = tuple(value for key, value in asked.items() if key != "badge_template_id")
        path = f"{self._organization}/badges"
        pages = self._pages(Badge, path, operation="find_badges", params=params, personal=call_texts)
        found = [badge async for page in pages for badge in page]
        return [badge for badge in found if is_asked_for(badge, asked=asked, states=states)]

    async def badges(self, *, states: tuple[str, ...] = ()) -> AsyncIterator[Badge]:
        """Every badge of the organization, the oldest first, 50 to a call: for where the bulk read is not allowed.

        A badge that leaves the list meanwhile (deleted, or no longer in `states`) can hide another one.

        Credly API notes, section 4.5.

        Raises:
            Unclear: also when the list has no end.
            Refused, Throttled, NotSent, NotConnected, NotFound: the list ends early.
        """
        params = {"sort": "created_at"} | ({"filter": filter_expression({}, states=states)} if states else {})
        path = f"{self._organization}/badges"
        async for page in self._pages(Badge, path, operation="badges", params=params, most=_MOST_BULK_PAGES):
            for badge in page:
                if not states or badge.state in states:
                    yield badge

    async def high_volume_badges(self, *, states: tuple[str, ...] = ()) -> AsyncIterator[Badge]:
        """Every badge of the organization in Credly's minimal form: no claim link, no replacement ids.

        Of `next_page_url` only the query is used, against our own host: the token goes nowhere else. Credly may ask
        there for full badges, so what the first call asked for stands in each one.

        Credly API notes, section 4.7.

        Raises:
            Unclear: also when the list has no readable end.
            NotConnected: also where the bulk read alone is not allowed (403); `badges` may still be.
            Refused, Throttled, NotSent, NotFound: the list ends early.
        """
        own = {"badge_format": "minimal"} | ({"filter": filter_expression({}, states=states)} if states else {})
        path = f"{self._organization}/high_volume_issued_badge_search"
        query: Query | None = tuple(own.items())
        seen = {query}
        for _ in range(_MOST_BULK_PAGES):
            call = self._call("high_volume_badges", longest_reply=_LONGEST_BULK_REPLY)
            reply = await self._send("GET", path, call=call, params=query)
            for badge in several(Badge, reply):
                if not states or badge.state in states:
                    yield badge
            query = next_query(reply, own=own)
            if query is None:
                return
            if query in seen:
                raise reply.unclear("paging_stuck")
            seen.add(query)
        raise reply.unclear("too_many_pages")

    async def template(self, template_id: str) -> BadgeTemplate:
        """One badge template (Credly API notes, section 6).

        Raises:
            NotFound: there is no such template in this organization.
            Refused, Throttled, NotSent, Unclear, NotConnected: nothing was learnt.
        """
        path = f"{self._organization}/badge_templates/{path_segment(template_id, name='template_id')}"
        return one(BadgeTemplate, await self._send("GET", path, call=self._call("template")))

    async def templates(self, *, state: str | None = "active", query: str | None = None) -> list[BadgeTemplate]:
        """The organization's badge templates by name, those of one state unless `state` is None.

        Credly API notes, section 6.

        Raises:
            UnsafeFilterValue: the query would be read as something else by the filter's syntax.
            Refused, Throttled, NotSent, Unclear, NotConnected, NotFound: nothing was learnt.
        """
        states = (state,) if state else ()
        terms = filter_expression({"query": query} if query else {}, states=states)
        params = {"sort": "name"} | ({"filter": terms} if terms else {})
        path = f"{self._organization}/badge_templates"
        pages = self._pages(BadgeTemplate, path, operation="templates", params=params)
        found = [template async for page in pages for template in page]
        return [template for template in found if not states or template.state in states]

    async def organization(self) -> Organization:
        """The organization itself: the cheapest check of the token (Credly API notes, section 7).

        Raises:
            NotConnected, NotFound: the token or the organization id is wrong.
            Refused, Throttled, NotSent, Unclear: nothing was learnt.
        """
        return one(Organization, await self._send("GET", self._organization, call=self._call("organization")))

    async def organizations(self) -> list[Organization]:
        """The organizations that the token may act for (Credly API notes, section 7).

        Raises:
            Refused, Throttled, NotSent, Unclear, NotConnected, NotFound: nothing was learnt.
        """
        pages = self._pages(Organization, "/organizations", operation="organizations")
        return [organization async for page in pages for organization in page]

    async def authorization_tokens(self) -> list[AuthorizationToken]:
        """The organization's tokens that this one may see, for when they end (Credly API notes, section 3).

        Raises:
            Refused, Throttled, NotSent, Unclear, NotConnected, NotFound: nothing was learnt.
        """
        path = f"{self._organization}/authorization_tokens"
        pages = self._pages(AuthorizationToken, path, operation="authorization_tokens")
        return [token async for page in pages for token in page]

    async def _pages(
        self,
        model: type[ReceivedT],
        path: str,
        *,
        operation: str,
        params: Mapping[str, str] | None = None,
        personal: tuple[str, ...] = (),
        most: int | None = None,
    ) -> AsyncIterator[list[ReceivedT]]:
        """The pages of a numbered list, each row once; we count the pages ourselves and follow no URL."""
        seen: set[str] = set()
        for page in range(1, (most or _MOST_PAGES) + 1):
            call = self._call(operation, personal=personal)
            reply = await self._send("GET", path, call=call, params={**(params or {}), "page": str(page)})
            rows = {row.id: row for row in several(model, reply)}
            is_last = is_last_page(reply.payload().get("metadata"))
            new = [row for key, row in rows.items() if key not in seen]
            yield new
            if is_last or not rows or (is_last is None and not new):
                return
            if not new:
                raise reply.unclear("paging_stuck")
            seen |= rows.keys()
        raise reply.unclear("too_many_pages")

    def _call(self, operation: str, *, personal: tuple[str, ...] = (), longest_reply: int = Call.longest_reply) -> Call:
        hidden = (self._token.get_secret_value(), *personal)
        request_id = str(uuid.uuid4())
        return Call(operation=operation, request_id=request_id, personal=hidden, longest_reply=longest_reply)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        call: Call,
        params: Mapping[str, str] | Query | None = None,
        body: Mapping[str, Any] | None = None,
        hoped: frozenset[int] = _OK,
    ) -> Reply:
        headers = httpx.Headers(self._headers, encoding="ascii")
        headers["X-Request-Id"] = call.request_id
        if body is not None:
            headers["Content-Type"] = "application/json"
        # As a stream: else httpx adds Host and Content-Length, which the transport does itself, at some cost.
        content = httpx.ByteStream(b"" if body is None else json.dumps(body).encode("ascii"))
        url = _url_of(self._base_url + path)
        request = httpx.Request(
            method, url, params=params, stream=content, headers=headers, extensions=self._extensions
        )
        request.read()
        try:
            async with asyncio.timeout(self._total_seconds):
                reply = await self._exchange(request, call=call)
        except (httpx.HTTPError, TimeoutError) as failure:
            error = transport_error(failure, call=call, credly_request_id=request.extensions.get("answered_as"))
        else:
            if reply.status in hoped and reply.body is not None:
                return reply
            error = error_for(reply, now=datetime.now(UTC))
        # Outside the except block: httpx's exception holds the request, with the token and the earner in it,
        # and must not hang on ours as its context.
        raise error

    async def _exchange(self, request: httpx.Request, *, call: Call) -> Reply:
        response = await self._transport.handle_async_request(request)
        response.request = request
        answered_as = readable_id(response.headers.get("X-Request-Id"))
        request.extensions["answered_as"] = answered_as  # else lost where the body breaks off
        wait = response.headers.get("Retry-After")
        reply = Reply(call, response.status_code, body=None, retry_after=wait, credly_request_id=answered_as)
        try:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > call.longest_reply:
                    return reply
        finally:
            await response.aclose()
        return replace(reply, body=bytes(body))


def _checked_token(token: SecretStr) -> str:
    value = token.get_secret_value()
    if not value or not value.isascii() or not value.isprintable() or " " in value or ":" in value:
        raise ValueError("the Credly token is empty or holds a blank, a line end or a colon: copy it once more")
    return value
