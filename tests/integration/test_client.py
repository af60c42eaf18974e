"""The client and the bytes: what is sent, and what is made of every answer."""

import asyncio
import base64
import contextlib
import gzip
import json
import socket
import tomllib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from credly.errors import (
    AlreadyIssued,
    AlreadyReplaced,
    CredlyError,
    NotConnected,
    NotFound,
    NotSent,
    Refused,
    Throttled,
    Unclear,
)
from credly.session import Timeouts
from tests.support.calls import (
    BADGE_ROW,
    REQUEST,
    TOKEN,
    a_client,
    a_row,
    assert_tells_nothing,
    envelope,
    error_from,
    error_of,
)
from tests.support.scripted_server import DROP, HANG, RESET, answer, scripted_server, self_signed
from tests.support.standin import Standin
from tests.support.world import ORGANIZATION
from tests.support.world import TOKEN as STANDIN_TOKEN

RELEASE = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "version"
]


async def test_issuing_sends_the_request_with_the_token_as_user_name() -> None:
    async with scripted_server(answer(201, envelope(BADGE_ROW))) as server, a_client(server.base_url) as client:
        badge = await client.issue_badge(REQUEST)

    (sent,) = server.requests
    assert badge.id == "badge-1"
    assert (sent.method, sent.target) == ("POST", "/v1/organizations/org-1/badges")
    assert json.loads(sent.body) == REQUEST.body
    assert sent.headers["authorization"] == "Basic " + base64.b64encode(f"{TOKEN}:".encode()).decode()
    assert sent.headers["accept"] == "application/json"
    assert sent.headers["content-type"] == "application/json"
    assert UUID(sent.headers["x-request-id"])


async def test_the_user_agent_names_this_release() -> None:
    async with scripted_server(answer(200, envelope({"id": "org-1"}))) as server, a_client(server.base_url) as client:
        await client.organization()

    assert server.requests[0].headers["user-agent"] == f"Laurel/{RELEASE}"


async def test_a_name_that_is_no_valid_text_is_for_credly_to_refuse() -> None:
    odd = REQUEST.model_copy(update={"issued_to_last_name": "Muster\ud800"})

    refusal = answer(422, envelope({"message": "Last name is not valid"}))
    async with scripted_server(refusal) as server, a_client(server.base_url) as client:
        assert type(await error_of(client.issue_badge(odd))) is Refused


async def test_an_identical_record_that_credly_passed_over_is_a_success() -> None:
    async with scripted_server(answer(200, envelope(BADGE_ROW))) as server, a_client(server.base_url) as client:
        assert (await client.issue_badge(REQUEST)).id == "badge-1"


async def test_replacing_and_revoking_say_what_and_why() -> None:
    replies = answer(201, envelope(a_row("badge-2"))), answer(200, envelope(a_row("badge-2", state="revoked")))
    async with scripted_server(*replies, replies[1]) as server, a_client(server.base_url) as client:
        replaced = await client.replace_badge("badge 1", request=REQUEST)
        revoked = await client.revoke_badge("badge-2", reason="Wrong person")
        await client.revoke_badge("badge-2", reason="Wrong person", suppress_notification=True)

    replace, revoke, quiet = server.requests
    assert (replaced.id, revoked.state) == ("badge-2", "revoked")
    assert (replace.method, replace.path) == ("POST", "/v1/organizations/org-1/badges/badge%201/replace")
    assert json.loads(replace.body) == REQUEST.as_replacement_json()
    assert (revoke.method, revoke.path) == ("PUT", "/v1/organizations/org-1/badges/badge-2/revoke")
    assert json.loads(revoke.body) == {"reason": "Wrong person"}
    assert json.loads(quiet.body) == {"reason": "Wrong person", "suppress_revoke_notification_email": True}


async def test_deleting_a_badge_is_answered_with_nothing() -> None:
    async with (
        scripted_server(answer(204, b""), answer(404, envelope({"message": "gone"}))) as server,
        a_client(server.base_url) as client,
    ):
        await client.delete_badge("badge-2")
        again = await error_of(client.delete_badge("badge-2"))

    assert [(sent.method, sent.path) for sent in server.requests] == [
        ("DELETE", "/v1/organizations/org-1/badges/badge-2")
    ] * 2
    assert isinstance(again, NotFound)
    assert again.in_credly_form


async def test_words_beside_the_status_that_are_no_text_hinder_nothing() -> None:
    reply = answer(201, envelope(BADGE_ROW)).replace(b" Status\r\n", b" \xff\xfe\r\n", 1)
    async with scripted_server(reply) as server, a_client(server.base_url) as client:
        assert (await client.issue_badge(REQUEST)).id == "badge-1"


async def test_single_things_are_read_by_their_id() -> None:
    replies = [answer(200, envelope({"id": name})) for name in ("badge-1", "template-1", "org-1")]
    async with scripted_server(*replies) as server, a_client(server.base_url + "/") as client:
        ids = [(await client.badge("badge-1")).id, (await client.template("template-1")).id]
        ids.append((await client.organization()).id)

    assert ids == ["badge-1", "template-1", "org-1"]
    assert [request.target for request in server.requests] == [
        "/v1/organizations/org-1/badges/badge-1",
        "/v1/organizations/org-1/badge_templates/template-1",
        "/v1/organizations/org-1",
    ]


async def test_an_answer_about_another_badge_is_unclear() -> None:
    async with scripted_server(answer(200, envelope(a_row("badge-2")))) as server, a_client(server.base_url) as client:
        errors = [await error_of(client.badge("badge-1")), await error_of(client.revoke_badge("badge-1", reason="x"))]

    assert [(type(error), error.code) for error in errors] == [(Unclear, "another_badge")] * 2


async def test_an_id_that_leads_elsewhere_is_refused_before_anything_is_sent() -> None:
    async with scripted_server(answer(200)) as server, a_client(server.base_url) as client:
        for call in (client.badge, client.template):
            with pytest.raises(ValueError, match="must be an id"):
                await call("../other-org")

    assert server.requests == []


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        (DROP, Unclear, "remote_protocol_error"),
        (RESET, Unclear, "read_error"),
        (answer(201, envelope(BADGE_ROW))[:-20], Unclear, "remote_protocol_error"),
        (b"SSH-2.0-OpenSSH\r\n", Unclear, "remote_protocol_error"),
        (answer(201, b"no gzip", Content_Encoding="gzip"), Unclear, "decoding_error"),
        (answer(201), Unclear, "unparsable_reply"),
        (answer(201, b"<html></html>"), Unclear, "unparsable_reply"),
        (answer(201, {"badge": BADGE_ROW}), Unclear, "incomplete_reply"),
        (answer(201, envelope([BADGE_ROW])), Unclear, "incomplete_reply"),
        (answer(201, envelope({**BADGE_ROW, "id": None})), Unclear, "incomplete_reply"),
        (answer(201, b" " * 5_000_001), Unclear, "reply_too_large"),
        (answer(201, b" " * 5_000_001, Content_Length="50000000"), Unclear, "reply_too_large"),
        (answer(201, gzip.compress(b" " * 5_000_001), Content_Encoding="gzip"), Unclear, "reply_too_large"),
        (answer(202, envelope(BADGE_ROW)), Unclear, "http_202"),
        (answer(502, b"<html>ada+credly@example.org</html>"), Unclear, "http_502"),
        (answer(307, Location="http://elsewhere.example/v1"), NotFound, "redirected"),
        (answer(303, Location="/v1/badges/badge-1"), Unclear, "http_303"),
        (answer(400, envelope({"message": "Bad request"})), Refused, "http_400"),
        (answer(401), NotConnected, "token_refused"),
        (answer(403), NotConnected, "forbidden"),
        (answer(404, b"<html></html>"), NotFound, "not_found"),
        (answer(422, envelope({"message": "User already has this badge"})), AlreadyIssued, "already_issued"),
    ],
)
async def test_an_answer_decides_what_to_do_next(reply: bytes, kind: type[CredlyError], code: str) -> None:
    error = await error_from(reply)

    assert (type(error), error.code) == (kind, code)
    assert error.operation == "issue_badge"
    assert UUID(error.request_id)


@pytest.mark.timeout(15)  # our limits, not httpx's or the defaults
@pytest.mark.parametrize("timeouts", [Timeouts(read=0.05), Timeouts(total=0.05)], ids=["read", "total"])
async def test_a_reply_that_does_not_come_is_unclear(timeouts: Timeouts) -> None:
    error = await error_from(HANG, timeouts=timeouts)

    assert (type(error), error.code) == (
        Unclear,
        "read_timeout" if timeouts.read == 0.05 else "total_timeout",
    )


async def test_where_nobody_listens_nothing_was_sent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with a_client(f"http://127.0.0.1:{unused.getsockname()[1]}/v1") as client:
            error = await error_of(client.issue_badge(REQUEST))

    assert (type(error), error.code, error.status) == (NotSent, "connect_error", None)


async def test_a_host_without_a_valid_certificate_gets_nothing(tmp_path: Path) -> None:
    async with (
        scripted_server(answer(200), tls=self_signed(tmp_path)) as server,
        a_client(server.base_url.replace("http:", "https:")) as client,
    ):
        error = await error_of(client.issue_badge(REQUEST))

    assert (type(error), error.code, server.requests) == (NotSent, "connect_error", [])


async def test_a_proxy_of_the_environment_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted_server(answer(503)) as proxy, scripted_server(answer(404)) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.base_url.removesuffix("/v1"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with a_client(server.base_url) as client:
            await error_of(client.organization())

    assert (len(proxy.requests), len(server.requests)) == (0, 1)


@pytest.mark.timeout(15)
async def test_a_call_that_finds_no_free_connection_was_not_sent() -> None:
    timeouts = Timeouts(pool=0.2, read=1)
    async with (
        scripted_server(HANG) as server,
        a_client(server.base_url, max_connections=2, timeouts=timeouts) as client,
    ):
        errors = await asyncio.gather(*(error_of(client.issue_badge(REQUEST)) for _ in range(3)))

    assert sorted(str(error.code) for error in errors) == ["connect_timeout", "read_timeout", "read_timeout"]
    assert len(server.requests) == 2


@pytest.mark.timeout(15)
async def test_a_connection_is_free_again_whatever_became_of_its_call() -> None:
    timeouts = Timeouts(pool=5, read=0.2)
    answers = (DROP, HANG, answer(503), answer(200, b"<html>"), answer(404))
    async with (
        scripted_server(*answers) as server,
        a_client(server.base_url, max_connections=1, timeouts=timeouts) as client,
    ):
        cancelled = asyncio.create_task(client.organization())
        await asyncio.sleep(0)
        cancelled.cancel()
        errors = await asyncio.gather(*(error_of(client.issue_badge(REQUEST)) for _ in range(5)))

    assert [type(error) for error in errors] == [Unclear, Unclear, Unclear, Unclear, NotFound]
    assert len(server.requests) == 5


@pytest.mark.timeout(15)
async def test_what_may_make_a_badge_is_sent_once_over_a_kept_connection_that_breaks() -> None:
    heads: list[bytes] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                heads.append(head := await reader.readuntil(b"\r\n\r\n"))
                if head.startswith(b"POST"):
                    break
                writer.write(answer(200, envelope({"id": "org-1"}), Connection="keep-alive"))
        writer.close()

    server = await asyncio.start_server(play, "127.0.0.1", 0)
    async with server, a_client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1") as client:
        await client.organization()
        error = await error_of(client.issue_badge(REQUEST))

    assert isinstance(error, Unclear)
    assert [head.split(b" ")[0] for head in heads] == [b"GET", b"POST"]


@pytest.mark.parametrize(
    ("failure", "kind", "code"),
    [
        (httpx.ConnectError, NotSent, "connect_error"),
        (httpx.ConnectTimeout, NotSent, "connect_timeout"),
        (httpx.PoolTimeout, NotSent, "pool_timeout"),
        (httpx.UnsupportedProtocol, NotSent, "unsupported_protocol"),
        (httpx.WriteTimeout, Unclear, "write_timeout"),
        (httpx.WriteError, Unclear, "write_error"),
        (httpx.ReadError, Unclear, "read_error"),
        (httpx.ReadTimeout, Unclear, "read_timeout"),
        (httpx.LocalProtocolError, Unclear, "local_protocol_error"),
        (httpx.ProxyError, Unclear, "proxy_error"),
    ],
)
async def test_only_what_surely_did_not_leave_may_be_sent_again(
    failure: type[httpx.RequestError], kind: type[CredlyError], code: str
) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise failure(f"{request.headers['Authorization']} {request.content!r}", request=request)

    async with a_client(transport=httpx.MockTransport(fail)) as client:
        error = await error_of(client.issue_badge(REQUEST))

    assert (type(error), error.code) == (kind, code)
    assert_tells_nothing(error)


@pytest.mark.parametrize(
    ("headers", "shortest", "longest"),
    [
        ({}, None, None),
        ({"Retry_After": "90"}, 90, 90),
        ({"Retry_After": "in two hours"}, 6_000, 7_200),
    ],
)
async def test_throttled_says_how_long_credly_wants_us_to_wait(
    headers: dict[str, str], shortest: int | None, longest: int | None
) -> None:
    if headers.get("Retry_After") == "in two hours":
        headers = {"Retry_After": format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)}
    error = await error_from(answer(429, b"<html></html>", **headers))

    assert isinstance(error, Throttled)
    if shortest is None or longest is None:
        assert error.retry_after is None
    else:
        assert error.retry_after is not None
        assert shortest <= error.retry_after.total_seconds() <= longest


async def test_a_replaced_badge_leads_to_its_successor() -> None:
    body = {
        "data": {"message": "Validation failed: This badge cannot be replaced because it has already been replaced."},
        "metadata": {"current_badge_id": "badge-9"},
    }
    async with scripted_server(answer(422, body)) as server, a_client(server.base_url) as client:
        error = await error_of(client.replace_badge("badge-1", request=REQUEST))

    assert isinstance(error, AlreadyReplaced)
    assert error.current_badge_id == "badge-9"


async def test_nothing_is_tried_twice() -> None:
    for reply in (DROP, answer(503), answer(429, Retry_After="0"), answer(307, Location="/v1/x")):
        async with scripted_server(reply) as server, a_client(server.base_url) as client:
            await error_of(client.issue_badge(REQUEST))

        assert len(server.requests) == 1


async def test_an_error_carries_the_request_id_of_the_reply(standin: Standin) -> None:
    known = {"X-Request-Id": "credly-1"}
    standin.fault("answer", status=403, message="No.", headers=known)
    standin.fault("answer_after", status=502, headers=known)
    standin.fault("answer", status=200, content="<html></html>", headers=known)
    standin.fault("answer", status=200, content=" " * 5_000_001, headers=known)
    standin.fault("answer", status=503, headers={"X-Request-Id": "x" * 65})
    standin.fault("drop")

    async with a_client(standin.base_url, organization_id=ORGANIZATION, token=SecretStr(STANDIN_TOKEN)) as client:
        errors = [await error_of(client.organization()) for _ in range(6)]
        unknown = await error_of(client.badge("unknown"))

    assert [error.credly_request_id for error in errors] == [*["credly-1"] * 4, None, None]
    assert UUID(unknown.credly_request_id)
    assert unknown.credly_request_id != unknown.request_id


@pytest.mark.parametrize("action", ["cut_after", "drip_after"])
async def test_the_request_id_of_a_reply_that_breaks_off_is_kept(standin: Standin, action: str) -> None:
    standin.fault(action, seconds=4)  # for each of twenty pieces longer than we wait
    client = a_client(
        standin.base_url,
        organization_id=ORGANIZATION,
        token=SecretStr(STANDIN_TOKEN),
        timeouts=Timeouts(read=0.1),
    )

    async with client:
        error = await error_of(client.organization())

    assert type(error) is Unclear
    assert UUID(error.credly_request_id)
