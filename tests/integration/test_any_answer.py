"""Any answer to any call becomes a value that the ledger can hold or an error of the client, in bounded memory."""

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import reduce

import pytest
from hypothesis import given, settings

from credly.client import CredlyClient
from credly.errors import CredlyError, Unclear
from credly.session import Timeouts
from credly.wire import AuthorizationToken, Badge, Received
from tests.support.any_answer import AnyAnswer, any_answers, as_kind
from tests.support.calls import REQUEST, TOKEN, a_client, a_row, assert_tells_nothing, envelope, error_of
from tests.support.misbehaving_server import MisbehavingServer, Trouble, serving
from tests.support.scripted_server import answer, scripted_server

ORGANIZATION = "org-1"
FIRST, LAST = datetime(1, 12, 31, tzinfo=UTC), datetime(9999, 1, 2, tzinfo=UTC)
ENDPOINTS = ("issue", "replace", "revoke", "single", "list", "bulk", "template", "organization", "tokens")
MOST_SECONDS = 60  # for all calls, of which each takes some milliseconds
MEGABYTE = 1_000_000
Step = Callable[[bytes], bytes]
GZIP: Step = gzip.compress
DEFLATE: Step = zlib.compress


async def _all(rows: Callable[[], AsyncIterator[Badge]]) -> list[Badge]:
    return [each async for each in rows()]


def _calls(client: CredlyClient, badge_id: str) -> list[Awaitable[object]]:
    return [
        client.issue_badge(REQUEST),
        client.replace_badge(badge_id, request=REQUEST),
        client.badge(badge_id),
        client.find_badges(badge_template_id=REQUEST.badge_template_id, issuer_earner_id=REQUEST.issuer_earner_id),
        client.template(REQUEST.badge_template_id),
        client.organization(),
        client.authorization_tokens(),
        _all(client.badges),
        _all(client.high_volume_badges),
        client.revoke_badge(badge_id, reason="Withdrawn"),
    ]


@settings(max_examples=40, derandomize=True, database=None)
@given(any_answers)
def test_any_answer_is_a_value_that_can_be_kept_or_an_error(given_answer: AnyAnswer) -> None:
    asyncio.run(_call_everything(given_answer))


async def _call_everything(given_answer: AnyAnswer) -> None:
    server = MisbehavingServer(
        now=lambda: datetime.now(UTC),
        organizations={TOKEN: ORGANIZATION},
        templates={REQUEST.badge_template_id: ORGANIZATION},
    )
    row = server.new_row(REQUEST.body, ORGANIZATION, email=REQUEST.recipient_email)
    server.badges[row["id"]] = row
    server.troubles = [Trouble(endpoint, as_kind(given_answer), ORGANIZATION) for endpoint in ENDPOINTS]
    async with (
        serving(server),
        asyncio.timeout(MOST_SECONDS),
        a_client(server.base_url, timeouts=Timeouts(read=1, total=5)) as client,
    ):
        for call in _calls(client, row["id"]):
            (ended,) = await asyncio.gather(call, return_exceptions=True)
            if isinstance(ended, CredlyError):
                _tells_what_fits(ended)
            else:
                _can_be_kept(ended)


def _tells_what_fits(error: CredlyError) -> None:
    assert_tells_nothing(error)
    assert error.credly_message is None or _fits(error.credly_message)
    assert error.credly_request_id is None or len(error.credly_request_id) <= 64
    wait = error.retry_after or timedelta(0)
    assert timedelta(0) <= wait <= timedelta(days=1)


def _can_be_kept(value: object) -> None:
    for each in value if isinstance(value, list) else [value]:
        assert isinstance(each, Received)
        values = each.model_dump(exclude={"accept_badge_url", "badge_url", "token"}).values()
        assert all(_fits(text) for text in values if isinstance(text, str))
        assert all(FIRST <= moment <= LAST for moment in values if isinstance(moment, datetime))
        if isinstance(each, Badge):
            assert len(each.id) <= 64
            assert each.url is None or (_fits(each.url) and each.url.lower().startswith(("http://", "https://")))
        assert isinstance(each, AuthorizationToken) or TOKEN not in repr(each)


def _fits(text: str) -> bool:
    text.encode()  # raises for half a surrogate pair
    return len(text) <= 500 and "\0" not in text


@pytest.mark.parametrize(
    ("encoding", "steps"),
    [
        ("gzip", [GZIP]),
        ("GZIP", [GZIP]),
        ("deflate", [DEFLATE]),
        ("gzip, gzip", [GZIP, GZIP]),
        ("deflate, gzip", [DEFLATE, GZIP]),
        ("gzip, deflate", [GZIP, DEFLATE]),
        ("gzip" + ", gzip" * 800, [GZIP, GZIP, GZIP]),
    ],
    ids=lambda value: value[:16] if isinstance(value, str) else "",
)
async def test_what_unpacks_to_many_megabytes_is_not_unpacked(encoding: str, steps: list[Step]) -> None:
    body = reduce(lambda raw, step: step(raw), steps, b" " * 60 * MEGABYTE)
    async with (
        scripted_server(answer(201, body, Content_Encoding=encoding)) as server,
        a_client(server.base_url) as client,
    ):
        tracemalloc.start()
        try:
            error = await error_of(client.issue_badge(REQUEST))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert isinstance(error, Unclear)
    assert peak < 30 * MEGABYTE


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("Deflate", lambda raw: zlib.compress(raw)[2:-4]),
        ("deflate, gzip", lambda raw: gzip.compress(zlib.compress(raw))),
        ("identity", bytes),
        ("utf-8", bytes),
        ("", bytes),
    ],
)
async def test_an_answer_is_read_in_the_encodings_that_were_asked_for(encoding: str, encode: Step) -> None:
    body = b'{"data": {"id": "org-1", "name": "Northwind"}}'
    reply = answer(200, encode(body), Content_Encoding=encoding)
    async with scripted_server(reply) as server, a_client(server.base_url) as client:
        assert (await client.organization()).name == "Northwind"


async def test_a_page_of_more_rows_than_any_page_has_is_unclear() -> None:
    rows = answer(200, envelope([a_row(f"badge-{number}") for number in range(2_001)]))
    async with scripted_server(rows) as server, a_client(server.base_url) as client:
        error = await error_of(client.find_badges(badge_template_id="template-1", issuer_earner_id="person-0042"))

    assert (type(error), error.code) == (Unclear, "reply_too_large")


@pytest.mark.parametrize("address", ["/x?" + "a" * 70_000, "/x?page=\ud800"])
async def test_an_address_of_the_next_page_that_cannot_be_sent_is_unclear(address: str) -> None:
    page = answer(200, envelope([], next_page_url=address))
    async with scripted_server(page) as server, a_client(server.base_url) as client:
        error = await error_of(_all(client.high_volume_badges))

    assert (type(error), error.code) == (Unclear, "incomplete_reply")


async def test_cookies_of_a_reply_are_not_kept() -> None:
    reply = answer(200, envelope({"id": "org-1"}), Set_Cookie="session=1; Path=/")
    async with scripted_server(reply) as server:
        by_name = server.base_url.replace("127.0.0.1", "localhost")  # cookies of an address are not kept anyway
        async with a_client(by_name) as client:
            await client.organization()
            await client.organization()

    assert [request.headers.get("cookie") for request in server.requests] == [None, None]
