"""The ways in which the server of tests/support/misbehaving_server.py answers wrongly, one name a way."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.misbehaving_server import PAGE, Broken, Exchange, Row, envelope, head, send

HTML = b"<html><body>Request blocked. address-of-ann@example.org</body></html>"
SAID = {"message": "This was not possible for address-of-ann@example.org"}
CONTENTS: dict[str, bytes] = {
    "empty": b"",
    "html": HTML,
    "json": b'{"message": "Forbidden"}',
    "envelope": json.dumps({"data": SAID, "metadata": None}).encode(),
}
REDIRECTS = (300, 301, 302, 303, 304, 305, 307, 308)
REFUSALS = (
    *(400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418),
    *(421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 499),
)
FAULTS = (500, 501, 502, 503, 504, 505, 507, 508, 511, 520, 522, 529, 599, 999)
STRANGER = {
    "id": "0bad9e00-0000-4000-8000-aaaaaaaaaaaa",
    "state": "accepted",
    "recipient_email": "stranger@example.org",
    "issuer_earner_id": "stranger",
    "created_at": "2020-01-01T00:00:00Z",
    "issued_at": "2020-01-01T00:00:00Z",
    "replaces_badge_id": None,
    "replacement_badge_id": None,
}
_Plays = Callable[[Exchange, asyncio.StreamWriter], Any]
_Changes = Callable[[Exchange, Row], object]


@dataclass(frozen=True)
class Misbehaviour:
    """One way to answer wrongly.

    `processed`: what was asked for is done nevertheless. `in_own_form`: as Credly refuses one badge, so that the badge
    may be left failed.
    """

    name: str
    play_it: _Plays
    processed: bool = True
    in_own_form: bool = False

    async def play(self, exchange: Exchange, writer: asyncio.StreamWriter) -> int:
        return int(await self.play_it(exchange, writer) or 0)


def answered(status: int, content: bytes, **headers: str) -> _Plays:
    async def play(_: Exchange, writer: asyncio.StreamWriter) -> int:
        await send(writer, status, content, **headers)
        return status

    return play


def statuses() -> Iterator[tuple[str, _Plays, bool]]:
    """Each usual status with each content."""
    for status in (*REDIRECTS, *REFUSALS, *FAULTS, 202, 203, 204, 205, 206, 226):
        for content, raw in CONTENTS.items():
            bodiless = status in (204, 205, 304)
            headers = {"Location": "http://127.0.0.1:1/v1/elsewhere"} if 300 <= status < 400 else {}
            is_refusal = status in REFUSALS and status not in (401, 408, 429)
            in_own_form = is_refusal and (content == "envelope" or (status == 422 and content == "json"))
            yield f"{status}-{content}", answered(status, b"" if bodiless else raw, **headers), in_own_form
    yield "302-no-location", answered(302, HTML), False
    yield "307-own-address", answered(307, HTML, Location="/v1/organizations"), False


WAITS = {
    "absent": None,
    "0": "0",
    "1": "1",
    "date": "Wed, 21 Oct 2099 07:28:00 GMT",
    "past-date": "Wed, 21 Oct 2015 07:28:00 GMT",
    "no-date": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
    "no-zone": "Mon, 01 Jan 2026 00:00:00 +24000000000000",
    "garbage": "soon, \xff\xfe",
    "negative": "-5",
    "enormous": "9" * 400,
}


def throttled() -> Iterator[tuple[str, _Plays]]:
    for name, value in WAITS.items():
        headers = {} if value is None else {"Retry_After": value}
        yield f"429-after-{name}", answered(429, CONTENTS["envelope"], **headers)
        yield f"503-after-{name}", answered(503, HTML, **headers)


# What goes wrong on the way


async def _close(_: Exchange, writer: asyncio.StreamWriter) -> None:
    raise Broken


async def _reset(_: Exchange, writer: asyncio.StreamWriter) -> None:
    at_once = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    raise Broken


async def _hang(exchange: Exchange, _: asyncio.StreamWriter) -> None:
    await exchange.server.over.wait()
    raise Broken


async def _hang_after_headers(exchange: Exchange, writer: asyncio.StreamWriter) -> None:
    writer.write(head(200, length=500))
    await _hang(exchange, writer)


async def _drip(exchange: Exchange, writer: asyncio.StreamWriter) -> None:
    writer.write(head(200, length=50_000))
    while not exchange.server.over.is_set():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)
    raise Broken


async def _continue_for_ever(exchange: Exchange, writer: asyncio.StreamWriter) -> None:
    while not exchange.server.over.is_set():
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
    raise Broken


def _bytes(raw: bytes) -> _Plays:
    async def play(_: Exchange, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        raise Broken

    return play


async def _half_body(exchange: Exchange, writer: asyncio.StreamWriter) -> None:
    body = json.dumps(exchange.answer).encode()
    writer.write(head(exchange.status or 200, length=len(body)) + body[: len(body) // 2])
    await writer.drain()
    raise Broken


async def _half_json(exchange: Exchange, writer: asyncio.StreamWriter) -> int:
    body = json.dumps(exchange.answer).encode()
    await send(writer, exchange.status, body[: len(body) // 2])
    return exchange.status


async def _twice(exchange: Exchange, writer: asyncio.StreamWriter) -> int:
    """The connection is left with an answer too many, which the next request would take for its own."""
    await send(writer, 500, HTML)
    await send(writer, exchange.status, exchange.answer)
    return 500


async def _named_oddly(exchange: Exchange, writer: asyncio.StreamWriter) -> int:
    raw = json.dumps(exchange.answer).encode()
    writer.write(head(exchange.status, b"\xff\xfe", length=len(raw)) + raw)
    await writer.drain()
    return 0


async def _wrong_type(exchange: Exchange, writer: asyncio.StreamWriter) -> int:
    await send(writer, exchange.status, exchange.answer, Content_Type="text/html; charset=\xff")
    return 0


ON_THE_WAY: dict[str, _Plays] = {
    "closed": _close,
    "closed-after-headers": _bytes(head(200, length=500)),
    "half-body": _half_body,
    "half-json": _half_json,
    "reset": _reset,
    "hangs": _hang,
    "hangs-after-headers": _hang_after_headers,
    "drips": _drip,
    "continues-for-ever": _continue_for_ever,
    "no-http": _bytes(b"220 mail.example.org ESMTP\r\n\r\n"),
    "tls": _bytes(b"\x15\x03\x01\x00\x02\x02\x46"),
    "bad-chunk": _bytes(head(200, length=None, Transfer_Encoding="chunked") + b"zz\r\n{}\r\n0\r\n\r\n"),
    "unfinished-chunks": _bytes(head(200, length=None, Transfer_Encoding="chunked") + b"2\r\n{}\r\n"),
    "bad-gzip": answered(200, b'{"data": {}}', Content_Encoding="gzip"),
    "long-header": _bytes(head(200, length=2, X_Long="a" * 100_000) + b"{}"),
    "upgrade": _bytes(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n{}"),
    "odd-length": _bytes(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}"),
    "answered-twice": _twice,
    "reason-no-text": _named_oddly,
    "wrong-type": _wrong_type,
}

# A status that promises success, with a body that does not keep it
BODIES: dict[str, bytes] = {
    "empty": b"",
    "blank": b"  ",
    "html": HTML,
    "null": b"null",
    "a-list": b"[]",
    "a-text": b'"issued"',
    "no-data": b'{"metadata": {}}',
    "data-null": b'{"data": null}',
    "data-text": b'{"data": "issued"}',
    "data-list-of-nulls": b'{"data": [null], "metadata": {}}',
    "data-empty": b'{"data": {}}',
    "id-empty": b'{"data": {"id": ""}}',
    "id-null": b'{"data": {"id": null}}',
    "id-is-a-list": b'{"data": {"id": ["a"]}}',
    "id-surrogate": b'{"data": {"id": "\\ud800"}}',
    "huge": b'{"data": "' + b"x" * 6_000_000 + b'"}',
    "deep": b'{"data":' * 50_000,
    "long-number": b'{"data": {"id": ' + b"9" * 5_000 + b"}}",
    "utf-16": '{"data": {}}'.encode("utf-16"),
    "error-within": b'{"data": {"message": "Something went wrong"}}',
}


# What is about something else, or holds odd values


def changed(change: _Changes, *, status: int = 0) -> _Plays:
    """Answer with a copy of the proper answer's row, or of each of its rows, after a change."""

    async def play(exchange: Exchange, writer: asyncio.StreamWriter) -> int:
        answer = json.loads(json.dumps(exchange.answer))
        data = answer.get("data")
        for row in data if isinstance(data, list) else [data]:
            if isinstance(row, dict):
                change(exchange, row)
        await send(writer, status or exchange.status, answer)
        return 0

    return play


def _of_another_badge(exchange: Exchange, row: Row) -> None:
    """Somebody else's badge, whole, as a cache for all would answer."""
    others = [each for each in exchange.server.badges.values() if each["issuer_earner_id"] != exchange.earner]
    row.update(others[0] if others else STRANGER | {"badge_template": row.get("badge_template")})


def _with_anothers_id(exchange: Exchange, row: Row) -> None:
    others = [each["id"] for each in exchange.server.badges.values() if each["issuer_earner_id"] != exchange.earner]
    row["id"] = (others or [row.get("id")])[0]


def _with_the_old_id(exchange: Exchange, row: Row) -> None:
    row["id"] = exchange.badge_id or row["id"]


def _putting(**values: object) -> _Changes:
    return lambda _, row: row.update(values)


def _without(*names: str) -> _Changes:
    return lambda _, row: [row.pop(name, None) for name in names]


def _in_a_cycle(exchange: Exchange, row: Row) -> None:
    """The successor of each badge of the earner is another one of the earner's, round and round."""
    own = [each["id"] for each in exchange.server.made_for(exchange.earner)]
    row["replacement_badge_id"] = own[(own.index(row["id"]) + 1) % len(own)] if row["id"] in own else row["id"]


ODD: dict[str, _Changes] = {
    "another-badge": _of_another_badge,
    "anothers-id": _with_anothers_id,
    "another-earner": _putting(issuer_earner_id="stranger"),
    "another-template": _putting(badge_template={"id": "7e7e7e7e-0000-4000-8000-00000000000f"}),
    "id-alone": lambda _, row: [row.pop(name) for name in list(row) if name != "id"],
    "old-id": _with_the_old_id,
    "id-long": lambda _, row: row.update(id=str(row.get("id")) + "x" * 40),
    "id-with-slash": lambda _, row: row.update(id="../" + str(row.get("id"))),
    "id-with-nul": lambda _, row: row.update(id=str(row.get("id")) + "\0"),
    "id-with-query": lambda _, row: row.update(id=str(row.get("id")) + "?x=1#y"),
    "id-with-line-end": lambda _, row: row.update(id=str(row.get("id")) + "\r\nX: y"),
    "id-of-blanks": _putting(id="  "),
    "url-with-nul": _putting(badge_url="https://credly.example.org/\0", accept_badge_url="\0"),
    "url-surrogate": _putting(badge_url="https://credly.example.org/\ud800"),
    "url-long": _putting(badge_url="https://credly.example.org/" + "x" * 5_000),
    "moment-too-early": _putting(issued_at="0001-01-01T00:00:00+14:00", created_at="0001-01-01T00:00:00+14:00"),
    "moment-too-late": _putting(issued_at="9999-12-31T23:59:59-14:00", created_at="9999-12-31T23:59:59-14:00"),
    "moment-no-moment": _putting(issued_at={"a": 1}, created_at=1e300, expires_at="soon"),
    "state-long": _putting(state="pending-" * 20),
    "state-nul": _putting(state="pend\0ing"),
    "state-number": _putting(state=7),
    "state-unknown": _putting(state="provisioning"),
    "state-revoked": _putting(state="revoked"),
    "no-state": _without("state"),
    "no-earner-id": _without("issuer_earner_id"),
    "earner-id-object": _putting(issuer_earner_id={"id": "ann"}),
    "no-created-at": _without("created_at"),
    "no-earner-id-no-created-at": _without("issuer_earner_id", "created_at"),
    "no-earner-id-no-moments": _without("issuer_earner_id", "created_at", "issued_at"),
    "no-earner-id-no-address": _without("issuer_earner_id", "recipient_email"),
    "no-template": _without("badge_template"),
    "template-null": _putting(badge_template=None),
    "replaced-by-itself": _in_a_cycle,
    "replaced-by-a-stranger": _putting(replacement_badge_id=STRANGER["id"]),
    "replaced-by-nobody": _putting(replacement_badge_id="0bad9e00-0000-4000-8000-cccccccccccc"),
    "replaced-by-a-path": _putting(replacement_badge_id="../../organizations"),
    "successor-number": _putting(replacement_badge_id=7),
    "successor-long": _putting(replacement_badge_id="x" * 70_000),
}


# Lists


async def _filter_ignored(exchange: Exchange, writer: asyncio.StreamWriter) -> int:
    rows = exchange.server.listed(exchange, filtered=False)
    await send(writer, 200, envelope(rows, current_page=1, total_pages=1, next_page_url=None))
    return 0


async def _strangers_too(exchange: Exchange, writer: asyncio.StreamWriter) -> int:
    strangers = [STRANGER | {"id": f"stranger-{n}", "badge_template": {"id": _template(exchange)}} for n in range(30)]
    rows = [*strangers, *exchange.server.listed(exchange)]
    await send(writer, 200, envelope(rows, current_page=1, total_pages=1, next_page_url=None))
    return 0


def _template(exchange: Exchange) -> str:
    return exchange.filter.get("badge_template_id", "")


async def _without_end(exchange: Exchange, writer: asyncio.StreamWriter) -> int:
    page = int(exchange.query.get("page", 1))
    rows = [STRANGER | {"id": f"{page}-{n}", "badge_template": {"id": _template(exchange)}} for n in range(PAGE)]
    await send(writer, 200, envelope(rows, current_page=page, total_pages=page + 1))
    return 0


async def _same_page_for_ever(exchange: Exchange, writer: asyncio.StreamWriter) -> int:
    strangers = [STRANGER | {"id": f"s-{n}", "badge_template": {"id": _template(exchange)}} for n in range(PAGE)]
    await send(writer, 200, envelope(strangers, current_page=1, total_pages=9))
    return 0


async def _empty_though_there_are_pages(exchange: Exchange, writer: asyncio.StreamWriter) -> int:
    await send(writer, 200, envelope([], current_page=int(exchange.query.get("page", 1)), total_pages=3))
    return 0


def _with_metadata(**metadata: object) -> _Plays:
    async def play(exchange: Exchange, writer: asyncio.StreamWriter) -> int:
        await send(writer, 200, {"data": exchange.answer["data"]} | metadata)
        return 0

    return play


async def _rows_twice(exchange: Exchange, writer: asyncio.StreamWriter) -> int:
    await send(writer, 200, {**exchange.answer, "data": exchange.answer["data"] * 2})
    return 0


async def _a_row_without_id(exchange: Exchange, writer: asyncio.StreamWriter) -> int:
    await send(writer, 200, {**exchange.answer, "data": [{"state": "pending"}, *exchange.answer["data"]]})
    return 0


LISTS: dict[str, _Plays] = {
    "filter-ignored": _filter_ignored,
    "strangers-too": _strangers_too,
    "without-end": _without_end,
    "same-page-for-ever": _same_page_for_ever,
    "empty-though-pages": _empty_though_there_are_pages,
    "no-metadata": _with_metadata(),
    "metadata-null": _with_metadata(metadata=None),
    "metadata-text": _with_metadata(metadata={"current_page": "1", "total_pages": "one"}),
    "next-page-long": _with_metadata(metadata={"next_page_url": "/x?" + "a" * 70_000}),
    "next-page-surrogate": _with_metadata(metadata={"next_page_url": "/x?page=\ud800"}),
    "rows-twice": _rows_twice,
    "row-without-id": _a_row_without_id,
}


# What nobody could tell from the truth: a list that says of a badge that it is another's or stands no more.
_OTHERS = ("another-badge", "anothers-id", "another-earner", "another-template")
_NOT_STANDING = ("state-long", "state-number", "state-unknown", "state-revoked", "successor-number", "successor-long")
_REPLACED = ("replaced-by-itself", "replaced-by-a-stranger", "replaced-by-nobody", "replaced-by-a-path")
LIES: dict[str, tuple[str, ...]] = {"list": (*_OTHERS, *_NOT_STANDING, *_REPLACED), "replace": ("anothers-id",)}
NEEDS_AN_ANSWER = ("half-json", "reason-no-text", "wrong-type")  # which there is none before processing


def all_kinds(endpoint: str) -> dict[str, Misbehaviour]:
    """Return every way for an endpoint, by name. What changes something at Credly also has each way unprocessed."""
    what = endpoint.partition("-")[0]
    kinds: dict[str, tuple[_Plays, bool]] = {name: (play, own) for name, play, own in statuses()}
    kinds |= {name: (play, False) for name, play in throttled()}
    kinds |= {name: (play, False) for name, play in ON_THE_WAY.items()}
    for status in (200, 201):
        kinds |= {f"{status}-body-{name}": (answered(status, body), False) for name, body in BODIES.items()}
    # With another issuance's badge as the answer, a row fails as a duplicate.
    odd = {name: (change, name == "anothers-id") for name, change in ODD.items() if name not in LIES.get(what, ())}
    changes = {f"odd-{name}": (changed(change), own) for name, (change, own) in odd.items()}
    changes |= {f"odd-200-{name}": (changed(change, status=200), own) for name, (change, own) in odd.items()}
    if what in ("list", "bulk"):
        changes |= {f"list-{name}": (play, False) for name, play in LISTS.items()}
    found = {name: Misbehaviour(name, play, in_own_form=own) for name, (play, own) in (kinds | changes).items()}
    if what in ("issue", "replace", "revoke"):
        before = {f"{name}-unprocessed": kind for name, kind in kinds.items() if name not in NEEDS_AN_ANSWER}
        found |= {
            name: Misbehaviour(name, play, processed=False, in_own_form=own) for name, (play, own) in before.items()
        }
    return found
