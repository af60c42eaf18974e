"""The calls of Credly's API that Laurel makes: one call, one answer or one error of `credly.errors`."""

from collections.abc import AsyncIterator, Collection, Mapping
from functools import partial
from typing import Any, TypeVar

from credly.errors import Unclear
from credly.queries import (
    Query,
    any_of,
    filter_expression,
    is_last_page,
    matches_look_up,
    may_match_look_up,
    next_query,
    path_segment,
)
from credly.replies import Reply, one, several
from credly.session import Session
from credly.wire import AuthorizationToken, Badge, BadgeRequest, BadgeTemplate, Event, Organization, Received

_LONGEST_BULK_REPLY = 10_000_000  # bytes: a thousand full badges of 6 kB, and more
_MOST_LOOK_UP_PAGES = 40  # two thousand badges of one earner and template

HAS_NO_END = frozenset({"too_many_pages", "paging_stuck"})
"""Error codes of lists that never end although each page was answered: the result is not known."""

_ISSUED = frozenset({200, 201})
_DELETED = frozenset({200, 204})
ReceivedT = TypeVar("ReceivedT", bound=Received)


class CredlyClient(Session):
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

    most_pages = 400
    most_bulk_pages = 20_000

    async def issue_badge(self, request: BadgeRequest) -> Badge:
        """The badge is issued (201), or Credly passed over a record identical to it (200).

        Credly API notes, sections 4.1 and 4.2.

        Raises:
            AlreadyIssued: Credly says that the earner has it.
            Refused: in Credly's own form.
            NotSent: no badge was made.
            Throttled, Unclear, NotConnected, NotFound: a badge may have been made.
        """
        path = f"{self._organization}/badges"
        call = self._call("issue_badge", personal=request.personal_texts())
        return await self._send("POST", path, call=call, read=_badge, body=request.body, accepted=_ISSUED)

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
        return await self._send("POST", path, call=call, read=_badge, body=body, accepted=_ISSUED)

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
        return await self._send("PUT", path, call=call, read=partial(_same, badge_id), body=body)

    async def delete_badge(self, badge_id: str) -> None:
        """The badge is deleted permanently, as Credly provides for the erasure of personal data.

        Credly API notes, section 4.11.

        Raises:
            NotFound: there is no such badge any more, or it is another organization's.
            NotConnected: among others because the token may not delete.
            Refused, Throttled, NotSent, Unclear: as for `issue_badge`.
        """
        path = f"{self._organization}/badges/{path_segment(badge_id, name='badge_id')}"
        call = self._call("delete_badge")
        await self._send("DELETE", path, call=call, read=lambda _reply: None, accepted=_DELETED)

    async def badge(self, badge_id: str) -> Badge:
        """One badge as it is now, also right after it was issued, when the list may not show it yet.

        Credly API notes, section 4.6.

        Raises:
            NotFound: there is no such badge, or it is another organization's.
            Refused, Throttled, NotSent, Unclear, NotConnected: the result is not known.
        """
        path = f"{self._organization}/badges/{path_segment(badge_id, name='badge_id')}"
        return await self._send("GET", path, call=self._call("badge"), read=partial(_same, badge_id))

    async def find_badges(
        self,
        *,
        badge_template_id: str,
        issuer_earner_id: str | None = None,
        recipient_email: str | None = None,
        recipient_email_all: str | None = None,
        states: tuple[str, ...] = (),
    ) -> list[Badge]:
        """The earner's badges of a template, the oldest first, each checked against the filters of the call.

        A row of another template, state, earner id or address (compared in lower case) is dropped: Credly may
        ignore a filter, and then returns strangers. A row found by `recipient_email_all` may carry any address
        of the account and cannot be checked for the earner: show it to an operator, never adopt it.

        Credly API notes, sections 4.5, 2 and 10.

        Raises:
            UnsafeFilterValue: a value would be read as something else by the filter's syntax.
            ValueError: no earner is given.
            Unclear: also when the list has no end, or a row that may be the earner's does not say what it is; either
                could be taken for "no badge".
            Refused, Throttled, NotSent, NotConnected, NotFound: the result is not known.
        """
        if not (issuer_earner_id or recipient_email or recipient_email_all):
            raise ValueError("find_badges needs an earner: without one it would find badges of other earners")
        terms = {
            "issuer_earner_id": issuer_earner_id,
            "recipient_email": recipient_email,
            "recipient_email_all": recipient_email_all,
            "badge_template_id": badge_template_id,
        }
        filters = {key: value for key, value in terms.items() if value}
        # In the order of creation: a badge that is issued while the pages are read lands on the last page, and moves
        # none to a page that was read already.
        params = {"filter": filter_expression(filters, states=states), "sort": "created_at"}
        personal = tuple(value for key, value in filters.items() if key != "badge_template_id")
        path = f"{self._organization}/badges"
        pages = self._pages(
            Badge, path, operation="find_badges", params=params, personal=personal, most=_MOST_LOOK_UP_PAGES
        )
        badges = []
        async for page in pages:
            # A row without template, state or earner may be the earner's: dropped, it would read as "no badge", and a
            # second one would be issued.
            if any(may_match_look_up(badge, filters=filters, states=states) for badge in page):
                raise Unclear(code="incomplete_rows", operation="find_badges")
            badges += [badge for badge in page if matches_look_up(badge, filters=filters, states=states)]
        return badges

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
        async for page in self._pages(Badge, path, operation="badges", params=params, most=self.most_bulk_pages):
            for badge in page:
                if not states or badge.state in states:  # Credly may ignore the filter
                    yield badge

    async def high_volume_badges(self, *, states: tuple[str, ...] = ()) -> AsyncIterator[Badge]:
        """Every badge of the organization in Credly's minimal form: no claim link, no replacement ids.

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
        for _ in range(self.most_bulk_pages):
            call = self._call("high_volume_badges", longest_reply=_LONGEST_BULK_REPLY, continues=len(seen) > 1)
            reply, badges, query = await self._send("GET", path, call=call, read=partial(_bulk_page, own), params=query)
            for badge in badges:
                if not states or badge.state in states:
                    yield badge
            # Only the query of `next_page_url` is used, against our own host: the token goes nowhere else. That URL may
            # have `badge_format=default`, so `_bulk_page` writes the parameters of the first call over it.
            if query is None:
                return
            if query in seen:
                raise reply.unclear("paging_stuck")
            seen.add(query)
        raise reply.unclear("too_many_pages")

    async def badge_page(self, page: int) -> tuple[list[Badge], bool]:
        """One page of `badges`, and whether it is the last: for reading the list in parts.

        Raises:
            Refused, Throttled, NotSent, Unclear, NotConnected, NotFound: the page could not be read.
        """
        path = f"{self._organization}/badges"
        return await self._one_page(Badge, path, operation="badge_page", page=page, params={"sort": "created_at"})

    async def badges_of(self, earner_ids: Collection[str], template_ids: Collection[str]) -> list[Badge]:
        """The first page of the badges of these earners and templates. Not complete, and not checked: use the ids.

        Credly API notes, section 4.5.

        Raises:
            UnsafeFilterValue: a value would be read as something else by the filter's syntax.
            Refused, Throttled, NotSent, Unclear, NotConnected, NotFound: the list could not be read.
        """
        params = {"filter": any_of(issuer_earner_id=earner_ids, badge_template_id=template_ids), "sort": "created_at"}
        path, personal = f"{self._organization}/badges", tuple(earner_ids)
        found, _ = await self._one_page(Badge, path, operation="badges_of", page=1, params=params, personal=personal)
        return found

    async def events(self, page: int) -> tuple[list[Event], bool]:
        """One page of the organization's events, the newest first, and whether it is the last.

        Credly API notes, section 11.

        Raises:
            NotConnected, NotFound: also where the token may read everything but events.
            Refused, Throttled, NotSent, Unclear: the page could not be read.
        """
        return await self._one_page(Event, f"{self._organization}/events", operation="events", page=page)

    async def template(self, template_id: str) -> BadgeTemplate:
        """One badge template (Credly API notes, section 6).

        Raises:
            NotFound: there is no such template in this organization.
            Refused, Throttled, NotSent, Unclear, NotConnected: the result is not known.
        """
        path = f"{self._organization}/badge_templates/{path_segment(template_id, name='template_id')}"
        return await self._send("GET", path, call=self._call("template"), read=partial(one, BadgeTemplate))

    async def templates(self, *, state: str | None = "active", query: str | None = None) -> list[BadgeTemplate]:
        """The organization's badge templates by name, those of one state unless `state` is None.

        Credly API notes, section 6.

        Raises:
            UnsafeFilterValue: the query would be read as something else by the filter's syntax.
            Refused, Throttled, NotSent, Unclear, NotConnected, NotFound: the result is not known.
        """
        states = (state,) if state else ()
        terms = filter_expression({"query": query} if query else {}, states=states)
        params = {"sort": "name"} | ({"filter": terms} if terms else {})
        path = f"{self._organization}/badge_templates"
        pages = self._pages(BadgeTemplate, path, operation="templates", params=params)
        received = [template async for page in pages for template in page]
        return [template for template in received if not states or template.state in states]

    async def organization(self) -> Organization:
        """The organization itself: the cheapest check of the token (Credly API notes, section 7).

        Raises:
            NotConnected, NotFound: the token or the organization id is wrong.
            Refused, Throttled, NotSent, Unclear: the result is not known.
        """
        return await self._send(
            "GET", self._organization, call=self._call("organization"), read=partial(one, Organization)
        )

    async def organizations(self) -> list[Organization]:
        """The organizations that the token may act for (Credly API notes, section 7).

        Raises:
            Refused, Throttled, NotSent, Unclear, NotConnected, NotFound: the result is not known.
        """
        pages = self._pages(Organization, "/organizations", operation="organizations")
        return [organization async for page in pages for organization in page]

    async def authorization_tokens(self) -> list[AuthorizationToken]:
        """The organization's tokens that this one may see, for when they end (Credly API notes, section 3).

        Raises:
            Refused, Throttled, NotSent, Unclear, NotConnected, NotFound: the result is not known.
        """
        path = f"{self._organization}/authorization_tokens"
        pages = self._pages(AuthorizationToken, path, operation="authorization_tokens")
        return [token async for page in pages for token in page]

    async def create_token(self, *, description: str, delete_enabled: bool) -> AuthorizationToken:
        """A new token that may read and write, beside those that there are (Credly API notes, section 3).

        Raises:
            Unclear: also when the answer has no token. One may have been made, which ends by itself.
            Refused, Throttled, NotSent, NotConnected, NotFound: as for `issue_badge`.
        """
        flags = {"read_enabled": True, "write_enabled": True, "delete_enabled": delete_enabled}
        path, call = f"{self._organization}/authorization_tokens", self._call("create_token")
        body = {"description": description, **flags}
        return await self._send("POST", path, call=call, read=_token, body=body, accepted=_ISSUED)

    async def _one_page(
        self,
        model: type[ReceivedT],
        path: str,
        *,
        operation: str,
        page: int,
        params: Mapping[str, str] | None = None,
        personal: tuple[str, ...] = (),
    ) -> tuple[list[ReceivedT], bool]:
        call = self._call(operation, personal=personal, continues=page > 1)
        query = {**(params or {}), "page": str(page)}
        reply, received = await self._send("GET", path, call=call, read=partial(_page, model), params=query)
        is_last = is_last_page(reply.payload.get("metadata"))
        return received, not received if is_last is None else is_last

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
        # Pages are counted here and no URL of a reply is followed, since the token would go to its host. A row may come
        # twice, when another one is added between two pages.
        seen: set[str] = set()
        for page in range(1, (most or self.most_pages) + 1):
            call = self._call(operation, personal=personal, continues=page > 1)
            query = {**(params or {}), "page": str(page)}
            reply, received = await self._send("GET", path, call=call, read=partial(_page, model), params=query)
            rows = {row.id: row for row in received}
            is_last = is_last_page(reply.payload.get("metadata"))
            new = [row for key, row in rows.items() if key not in seen]
            yield new
            if is_last or (is_last is None and not new):
                return
            if not new:  # the same page again: `page` is ignored, so the rest of the list cannot be read
                raise reply.unclear("paging_stuck")
            seen |= rows.keys()
        raise reply.unclear("too_many_pages")


_badge = partial(one, Badge)


def _same(badge_id: str, reply: Reply) -> Badge:
    badge = one(Badge, reply)
    if badge.id != badge_id:  # a cache between us and Credly may answer with another badge
        raise reply.unclear("another_badge")
    return badge


def _token(reply: Reply) -> AuthorizationToken:
    made = one(AuthorizationToken, reply)
    if made.token is None:
        raise reply.unclear("incomplete_reply")
    return made


def _page(model: type[ReceivedT], reply: Reply) -> tuple[Reply, list[ReceivedT]]:
    return reply, several(model, reply)


def _bulk_page(own: Mapping[str, str], reply: Reply) -> tuple[Reply, list[Badge], Query | None]:
    return reply, several(Badge, reply), next_query(reply, own=own)
