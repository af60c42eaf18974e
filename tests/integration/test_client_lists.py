"""Lists are read to their end, checked row by row, and never lead the token elsewhere."""

import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from pydantic import SecretStr

from credly.client import CredlyClient
from credly.errors import NotConnected, Unclear, UnsafeFilterValue
from credly.wire import Badge
from tests.support.calls import BADGE_ROW, EMAIL, a_client, a_row, envelope, error_of, page_of
from tests.support.scripted_server import DROP, Request, answer, scripted_server
from tests.support.standin import Standin
from tests.support.world import BADGE, ORGANIZATION, TOKEN


async def test_a_look_up_asks_for_the_earner_the_template_and_the_states() -> None:
    async with scripted_server(page_of(BADGE_ROW, page=1, pages=1)) as server, a_client(server.base_url) as client:
        found = await client.find_badges(
            badge_template_id="template-1", recipient_email=EMAIL, states=("pending", "accepted")
        )

    (sent,) = server.requests
    assert [badge.id for badge in found] == ["badge-1"]
    assert sent.path == "/v1/organizations/org-1/badges"
    assert sent.query == {
        "filter": f"recipient_email::{EMAIL}|badge_template_id::template-1|state::pending,accepted",
        "sort": "created_at",
        "page": "1",
    }


async def test_strangers_that_an_ignored_filter_returns_are_dropped() -> None:
    rows = [
        a_row("other-earner", issuer_earner_id="person-0043"),
        a_row("other-template", badge_template={"id": "template-2"}),
        a_row("revoked", state="revoked"),
        a_row("nobody", issuer_earner_id=None),
        a_row("hers", recipient_email="ADA@example.org"),
    ]
    async with scripted_server(page_of(*rows, page=1, pages=1)) as server, a_client(server.base_url) as client:
        found = await client.find_badges(
            badge_template_id="template-1", issuer_earner_id="person-0042", states=("pending",)
        )

    assert [badge.id for badge in found] == ["hers"]


async def test_a_badge_under_another_address_of_the_account_is_found() -> None:
    row = a_row("badge-7", recipient_email="eda@example.org")
    async with scripted_server(page_of(row, page=1, pages=1)) as server, a_client(server.base_url) as client:
        found = await client.find_badges(badge_template_id="template-1", recipient_email_all=EMAIL)

    assert [badge.id for badge in found] == ["badge-7"]
    assert server.requests[0].query["filter"] == f"recipient_email_all::{EMAIL}|badge_template_id::template-1"


async def test_pages_are_counted_by_us_and_the_token_goes_to_no_other_host() -> None:
    pages = [page_of(a_row(f"badge-{page}"), page=page, pages=3) for page in (1, 2, 3)]
    async with scripted_server(*pages) as server, a_client(server.base_url) as client:
        found = await client.find_badges(badge_template_id="template-1", issuer_earner_id="person-0042")

    assert [badge.id for badge in found] == ["badge-1", "badge-2", "badge-3"]
    assert [request.query["page"] for request in server.requests] == ["1", "2", "3"]


@pytest.mark.parametrize(("second_page", "calls"), [([], 2), ([{"id": "1"}], 2), ([{"id": "1"}, {"id": "2"}], 3)])
@pytest.mark.parametrize("metadata", [None, {}, "absent"])
async def test_a_list_that_does_not_say_where_it_ends_is_read_until_nothing_new_comes(
    second_page: list[object], calls: int, metadata: object
) -> None:
    first, second = ({"data": rows, "metadata": metadata} for rows in ([{"id": "1"}], second_page))
    async with (
        scripted_server(answer(200, first), answer(200, second)) as server,
        a_client(server.base_url) as client,
    ):
        found = await client.organizations()

    assert [organization.id for organization in found] == ["1", "2"][: calls - 1]
    assert len(server.requests) == calls


async def test_a_list_that_promises_more_and_repeats_itself_is_unclear() -> None:
    async with scripted_server(page_of(BADGE_ROW, page=1, pages=2)) as server, a_client(server.base_url) as client:
        error = await error_of(client.find_badges(badge_template_id="template-1", issuer_earner_id="person-0042"))

    assert (type(error), error.code) == (Unclear, "paging_stuck")


async def test_a_list_that_promises_more_and_has_nothing_is_unclear() -> None:
    async with scripted_server(page_of(page=1, pages=2)) as server, a_client(server.base_url) as client:
        error = await error_of(client.find_badges(badge_template_id="template-1", issuer_earner_id="person-0042"))

    assert (type(error), error.code) == (Unclear, "paging_stuck")


@pytest.mark.parametrize("left_out", [("badge_template",), ("state",), ("issuer_earner_id", "recipient_email")])
async def test_a_row_that_may_be_the_earners_and_does_not_say_so_is_not_taken_for_no_badge(
    left_out: tuple[str, ...],
) -> None:
    row = {name: value for name, value in BADGE_ROW.items() if name not in left_out}
    async with scripted_server(page_of(row, page=1, pages=1)) as server, a_client(server.base_url) as client:
        error = await error_of(
            client.find_badges(badge_template_id="template-1", issuer_earner_id="person-0042", states=("pending",))
        )

    assert (type(error), error.code) == (Unclear, "incomplete_rows")


async def test_a_list_without_end_is_unclear() -> None:
    def endless(request: Request) -> bytes:
        page = request.query.get("page", "1")
        return answer(200, envelope([{"id": page}], next_page_url=f"/x?page={int(page) + 1}"))

    async with scripted_server(endless) as server, a_client(server.base_url) as client:
        client.most_pages = client.most_bulk_pages = 3
        errors = [await error_of(client.organizations())]
        errors += [await error_of(_ids(listed)) for listed in (client.badges(), client.high_volume_badges())]

    assert ([error.code for error in errors], len(server.requests)) == (["too_many_pages"] * 3, 9)


async def test_a_look_up_without_an_earner_is_a_mistake_of_ours() -> None:
    async with scripted_server(DROP) as server, a_client(server.base_url) as client:
        with pytest.raises(ValueError, match="needs an earner"):
            await client.find_badges(badge_template_id="template-1", issuer_earner_id="", recipient_email=None)

    assert server.requests == []


@pytest.mark.parametrize("unsafe", ["a|state::revoked", "ada@example.org,eda@example.org", "a::b", "a\nb"])
async def test_a_value_that_would_change_the_filter_is_not_sent(unsafe: str) -> None:
    async with scripted_server(DROP) as server, a_client(server.base_url) as client:
        with pytest.raises(UnsafeFilterValue) as refused:
            await client.find_badges(badge_template_id="template-1", recipient_email=unsafe)
        with pytest.raises(UnsafeFilterValue):
            await client.templates(query=unsafe)

    assert unsafe not in str(refused.value)
    assert server.requests == []


@pytest.mark.parametrize(
    ("asked", "sent", "found"),
    [
        ({}, {"filter": "state::active", "page": "1", "sort": "name"}, ["A"]),
        ({"query": "Diver"}, {"filter": "query::Diver|state::active", "page": "1", "sort": "name"}, ["A"]),
        ({"state": None}, {"page": "1", "sort": "name"}, ["A", "B"]),
    ],
)
async def test_templates_are_listed_by_state_and_checked_again(
    asked: dict[str, Any], sent: dict[str, str], found: list[str]
) -> None:
    rows = {"id": "A", "state": "active"}, {"id": "B", "state": "archived"}
    async with scripted_server(page_of(*rows, page=1, pages=1)) as server, a_client(server.base_url) as client:
        templates = await client.templates(**asked)

    assert [template.id for template in templates] == found
    assert server.requests[0].path == "/v1/organizations/org-1/badge_templates"
    assert server.requests[0].query == sent


async def test_tokens_are_listed_with_their_ends() -> None:
    row = {"id": "9", "token": "s3cret", "expires_at": "2026-12-01T00:00:00.000Z"}
    async with scripted_server(page_of(row, page=1, pages=1)) as server, a_client(server.base_url) as client:
        (token,) = await client.authorization_tokens()

    assert token.expires_at == datetime(2026, 12, 1, tzinfo=UTC)
    assert server.requests[0].path == "/v1/organizations/org-1/authorization_tokens"


async def test_the_bulk_read_takes_the_cursor_and_never_the_host() -> None:
    next_page = "https://elsewhere.example/api/v1/search?cursor=a%2Bb"
    replies = (
        answer(200, envelope([a_row("badge-1"), a_row("badge-2", state="revoked")], next_page_url=next_page)),
        answer(200, envelope([a_row("badge-3")], next_page_url=None)),
    )
    async with scripted_server(*replies) as server, a_client(server.base_url) as client:
        ids = await _ids(client.high_volume_badges(states=("pending",)))

    own = {"badge_format": "minimal", "filter": "state::pending"}
    assert ids == ["badge-1", "badge-3"]
    assert {request.path for request in server.requests} == {"/v1/organizations/org-1/high_volume_issued_badge_search"}
    assert [request.query for request in server.requests] == [own, own | {"cursor": "a+b"}]


async def test_a_bulk_read_that_goes_in_a_circle_is_unclear() -> None:
    reply = answer(200, envelope([BADGE_ROW], next_page_url="/x?cursor=1"))
    async with scripted_server(reply) as server, a_client(server.base_url) as client:
        error = await error_of(_ids(client.high_volume_badges()))

    assert (error.code, len(server.requests)) == ("paging_stuck", 2)


async def test_a_bulk_read_that_leads_back_to_its_beginning_is_unclear() -> None:
    reply = answer(200, envelope([BADGE_ROW], next_page_url="/x?badge_format=default"))
    async with scripted_server(reply) as server, a_client(server.base_url) as client:
        error = await error_of(_ids(client.high_volume_badges()))

    assert (error.code, len(server.requests)) == ("paging_stuck", 1)


async def test_the_bulk_read_keeps_a_cursor_of_several_values_and_its_own_format(standin: Standin) -> None:
    made = _issue(standin, count=5)
    standin.settings(bulk_rows=2)

    async with _client_of(standin) as client:
        found = [badge async for badge in client.high_volume_badges(states=("pending", "accepted"))]

    assert [badge.id for badge in found] == made
    assert {badge.url for badge in found} == {None}  # which a full badge would have
    queries = [parse_qsl(request["query"]) for request in standin.requests() if request["method"] == "GET"]
    own = [("badge_format", "minimal"), ("filter", "state::pending,accepted")]
    assert [query[:2] for query in queries] == [own] * 3
    assert [[key for key, _ in query[2:]] for query in queries] == [[], ["search_after[]"] * 2, ["search_after[]"] * 2]


async def test_the_bulk_read_takes_a_thousand_full_badges_on_a_page_and_not_just_any_number() -> None:
    rows = [a_row(f"badge-{number}", description="x" * 6_000) for number in range(1_000)]
    too_many = answer(200, gzip.compress(b" " * 20_000_001), Content_Encoding="gzip")
    replies = answer(200, envelope(rows, next_page_url=None)), too_many
    async with scripted_server(*replies) as server, a_client(server.base_url) as client:
        found = await _ids(client.high_volume_badges())
        error = await error_of(_ids(client.high_volume_badges()))

    assert (len(found), type(error), error.code) == (1_000, Unclear, "reply_too_large")


async def test_all_badges_can_be_listed_where_the_bulk_read_is_not_allowed(standin: Standin) -> None:
    made = _issue(standin, count=51)
    standin.as_earner(made[0], "accept")
    standin.fault("answer", path="high_volume", status=403, count=None)

    async with _client_of(standin) as client:
        error = await error_of(_ids(client.high_volume_badges()))
        found = await _ids(client.badges())
        pending = await _ids(client.badges(states=("pending",)))
        standin.settings(filters_are_ignored=True)
        accepted = await _ids(client.badges(states=("accepted",)))

    assert (type(error), error.code) == (NotConnected, "forbidden")
    assert (found, pending, accepted) == (made, made[1:], made[:1])


async def test_a_page_of_badges_is_read_when_the_one_before_is_used_up() -> None:
    replies = [page_of(a_row(f"badge-{page}"), page=page, pages=3) for page in (1, 2, 3)]
    async with scripted_server(*replies) as server, a_client(server.base_url) as client:
        calls = [(badge.id, len(server.requests)) async for badge in client.badges()]

    assert calls == [("badge-1", 1), ("badge-2", 2), ("badge-3", 3)]
    assert [request.query for request in server.requests] == [{"sort": "created_at", "page": str(n)} for n in (1, 2, 3)]


def _issue(standin: Standin, *, count: int) -> list[str]:
    url = f"{standin.base_url}/organizations/{ORGANIZATION}/badges"
    people = [BADGE | {"recipient_email": f"user-{number}@example.org"} for number in range(count)]
    with httpx.Client(auth=(TOKEN, "")) as http:
        return [http.post(url, json=person).json()["data"]["id"] for person in people]


def _client_of(standin: Standin) -> CredlyClient:
    return a_client(standin.base_url, organization_id=ORGANIZATION, token=SecretStr(TOKEN))


async def _ids(badges: AsyncIterator[Badge]) -> list[str]:
    return [badge.id async for badge in badges]
