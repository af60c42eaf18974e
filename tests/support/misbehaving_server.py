"""A small Credly of its own, over real sockets, that can answer each call wrongly in many ways.

It shares nothing with the stand-in: what both got wrong would be seen nowhere. It keeps badges and a log of requests,
allows duplicates, and has the few calls that Laurel makes. What goes wrong is in tests/support/misbehaviour.py.
"""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

Row = dict[str, Any]
PAGE = 50
_ENDPOINTS = {
    "": "organization",
    "authorization_tokens": "tokens",
    "badge_templates": "template",
    "badges": "single",
    "high_volume_issued_badge_search": "bulk",
}


class Broken(Exception):
    """The connection is of no more use."""


class Kind(Protocol):
    """One way to answer wrongly."""

    @property
    def name(self) -> str: ...

    @property
    def processed(self) -> bool: ...

    async def play(self, exchange: "Exchange", writer: asyncio.StreamWriter) -> int: ...


@dataclass
class Trouble:
    """One kind at one endpoint: for one earner or all, a number of times or (None) for ever."""

    endpoint: str
    kind: Kind
    organization: str
    earner: str = ""
    times: int | None = None
    skip: int = 0

    def happens(self, exchange: "Exchange") -> bool:
        place = (exchange.endpoint, exchange.organization)
        if place != (self.endpoint, self.organization) or self.times == 0 or self.earner not in ("", exchange.earner):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass
class Exchange:
    """One request and what a proper answer to it is."""

    server: "MisbehavingServer"
    method: str
    target: str
    headers: dict[str, str]
    body: Row
    endpoint: str = ""
    organization: str = ""
    earner: str = ""
    badge_id: str = ""
    began: int = 0
    ended: int = 0
    kind: str = ""
    status: int = 0
    answer: Row = field(default_factory=dict)

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def filter(self) -> dict[str, str]:
        terms = (term.partition("::") for term in self.query.get("filter", "").split("|"))
        return {key: value for key, _, value in terms}


@dataclass
class MisbehavingServer:
    """What there is at this Credly, and what it was asked."""

    now: Callable[[], datetime]
    organizations: dict[str, str]  # by token
    templates: dict[str, str]  # template -> organization
    port: int = 0
    badges: dict[str, Row] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)
    requests: list[Exchange] = field(default_factory=list)
    list_lag: timedelta = timedelta(0)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    _steps: Any = field(default_factory=count)
    _ids: Any = field(default_factory=lambda: count(1))

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def made_for(self, earner: str) -> list[Row]:
        return [row for row in self.badges.values() if row["issuer_earner_id"] == earner]

    def live_of(self, earner: str) -> list[Row]:
        return [row for row in self.made_for(earner) if is_live(row)]

    def asked(self, *endpoints: str) -> list[Exchange]:
        return [each for each in self.requests if each.endpoint in endpoints]

    async def exchange(self, exchange: Exchange, writer: asyncio.StreamWriter) -> None:
        """Answer one request, properly or not."""
        _place(exchange)
        exchange.began = next(self._steps)
        self.requests.append(exchange)
        trouble = next((each for each in self.troubles if each.happens(exchange)), None)
        try:
            if trouble is None:
                exchange.status, exchange.answer = self.proper(exchange)
                await send(writer, exchange.status, exchange.answer)
                return
            exchange.kind = trouble.kind.name
            if trouble.kind.processed:
                exchange.status, exchange.answer = self.proper(exchange)
            exchange.status = await trouble.kind.play(exchange, writer)
        finally:
            self.end(exchange)

    def end(self, *exchanges: Exchange) -> None:
        """Note when these came to their end: a client that has given up is noticed late."""
        for each in exchanges:
            each.ended = each.ended or next(self._steps)

    def proper(self, exchange: Exchange) -> tuple[int, Row]:
        """Do what was asked, and return status and body."""
        if self.organizations.get(_token(exchange)) != exchange.organization:
            return refusal(401, "Invalid token")
        return getattr(self, f"_{exchange.endpoint}")(exchange)  # type: ignore[no-any-return]

    def new_row(self, body: Row, organization: str, *, email: str) -> Row:
        number, moment = next(self._ids), self.now().isoformat()
        return {
            "id": f"0bad9e00-0000-4000-8000-{number:012}",
            "state": "pending",
            "recipient_email": email,
            "issuer_earner_id": body["issuer_earner_id"],
            "badge_template": {"id": body["badge_template_id"]},
            "issued_at": body["issued_at"],
            "created_at": moment,
            "accept_badge_url": f"https://credly.example.org/badges/{number}",
            "replaces_badge_id": None,
            "replacement_badge_id": None,
            "organization": organization,
        }

    def _organization(self, exchange: Exchange) -> tuple[int, Row]:
        return 200, envelope({"id": exchange.organization, "name": "Northwind"})

    def _tokens(self, exchange: Exchange) -> tuple[int, Row]:
        row = {"id": "token-1", "token": _token(exchange), "write_enabled": True}
        return 200, envelope([row], **_pages(1, 1, 1))

    def _template(self, exchange: Exchange) -> tuple[int, Row]:
        if self.templates.get(exchange.badge_id) != exchange.organization:
            return refusal(404, "Not found")
        return 200, envelope({"id": exchange.badge_id, "name": "Forklift", "state": "active"})

    def _issue(self, exchange: Exchange) -> tuple[int, Row]:
        body = exchange.body
        if self.templates.get(body["badge_template_id"]) != exchange.organization:
            return refusal(422, "Badge template is not valid")
        row = self.new_row(body, exchange.organization, email=body["recipient_email"])
        self.badges[row["id"]] = row
        return 201, envelope(row)

    def _single(self, exchange: Exchange) -> tuple[int, Row]:
        row = self.badges.get(exchange.badge_id)
        return (200, envelope(row)) if row else refusal(404, "Not found")

    def _replace(self, exchange: Exchange) -> tuple[int, Row]:
        old = self.badges.get(exchange.badge_id)
        if old is None:
            return refusal(404, "Not found")
        if not is_live(old):
            said = "This badge cannot be replaced because it has already been replaced"
            return 422, {"data": {"message": said}, "metadata": {"current_badge_id": old["replacement_badge_id"]}}
        row = self.new_row(exchange.body, exchange.organization, email=old["recipient_email"])
        row["replaces_badge_id"], old["replacement_badge_id"] = old["id"], row["id"]
        self.badges[row["id"]] = row
        return 201, envelope(row)

    def _revoke(self, exchange: Exchange) -> tuple[int, Row]:
        row = self.badges.get(exchange.badge_id)
        if row is None:
            return refusal(404, "Not found")
        if not is_live(row):
            return refusal(422, "This badge cannot be revoked")
        row["state"] = "revoked"
        return 200, envelope(row)

    def _list(self, exchange: Exchange) -> tuple[int, Row]:
        rows = self.listed(exchange)
        page, pages = int(exchange.query.get("page", 1)), max(1, -(-len(rows) // PAGE))
        shown = rows[(page - 1) * PAGE : page * PAGE]
        return 200, envelope(shown, **_pages(page, pages, len(rows)))

    def listed(self, exchange: Exchange, *, filtered: bool = True) -> list[Row]:
        """Return what the list shows by now: the badges of the organization that the filter asks for."""
        shown = [row for row in self.badges.values() if row["organization"] == exchange.organization]
        shown = [row for row in shown if datetime.fromisoformat(row["created_at"]) <= self.now() - self.list_lag]
        return [row for row in shown if not filtered or _matches(row, exchange.filter)]

    def _bulk(self, exchange: Exchange) -> tuple[int, Row]:
        rows = [{"id": row["id"], "state": row["state"]} for row in self.listed(exchange, filtered=False)]
        return 200, envelope(rows, next_page_url=None)


def is_live(row: Row) -> bool:
    return row["state"] in ("pending", "accepted") and row["replacement_badge_id"] is None


def envelope(data: object, **metadata: object) -> Row:
    return {"data": data, "metadata": metadata}


def refusal(status: int, message: str) -> tuple[int, Row]:
    return status, envelope({"message": message})


async def send(writer: asyncio.StreamWriter, status: int, body: object, **headers: str) -> None:
    """Send a whole reply and leave the connection open."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    writer.write(head(status, length=len(raw), **headers) + raw)
    await writer.drain()


def head(status: int, reason: bytes = b"Status", /, *, length: int | None, **headers: str) -> bytes:
    lines = {"Content-Type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
    if length is not None:
        lines["Content-Length"] = str(length)
    named = "".join(f"{name}: {text}\r\n" for name, text in lines.items())
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason, named.encode("latin-1"))


@asynccontextmanager
async def serving(server: MisbehavingServer) -> AsyncIterator[MisbehavingServer]:
    """Listen on a free port of this machine, until the end."""
    open_ones: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_ones.add(task)
        try:
            while (exchange := await _read(reader, server)) is not None:
                await server.exchange(exchange, writer)
        except (Broken, ConnectionError, asyncio.IncompleteReadError):
            pass  # what these tests are about
        finally:
            writer.close()
            open_ones.discard(task)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        server.over.set()
        listening.close()
        await asyncio.gather(*open_ones, return_exceptions=True)
        await listening.wait_closed()


async def _read(reader: asyncio.StreamReader, server: MisbehavingServer) -> Exchange | None:
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = text.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    raw = await reader.readexactly(int(headers.get("content-length", 0)))
    return Exchange(server, method, target, headers, json.loads(raw) if raw else {})


def _place(exchange: Exchange) -> None:
    """Find out which call it is, and for which earner."""
    parts = [unquote(part) for part in urlsplit(exchange.target).path.split("/")[2:]]
    exchange.organization = parts[1]
    what, exchange.badge_id, action = (*parts[2:], "", "", "")[:3]
    if what == "badges" and not exchange.badge_id:
        exchange.endpoint = "issue" if exchange.method == "POST" else "list"
    else:
        exchange.endpoint = action or _ENDPOINTS[what]
    exchange.earner = _earner(exchange)


def _earner(exchange: Exchange) -> str:
    row = exchange.server.badges.get(exchange.badge_id, {})
    asked = exchange.filter
    by_address = asked.get("recipient_email", "").partition("@")[0].removeprefix("address-of-")
    found = exchange.body.get("issuer_earner_id") or row.get("issuer_earner_id") or asked.get("issuer_earner_id")
    return str(found or by_address)


def _token(exchange: Exchange) -> str:
    return b64decode(exchange.headers["authorization"].removeprefix("Basic ")).decode().removesuffix(":")


def _pages(page: int, pages: int, rows: int) -> Row:
    more = f"https://credly.example.org/v1/x?page={page + 1}" if page < pages else None
    return {"count": PAGE, "current_page": page, "total_count": rows, "total_pages": pages, "next_page_url": more}


def _matches(row: Row, asked: dict[str, str]) -> bool:
    own = row | {"badge_template_id": row["badge_template"]["id"]}
    return all(str(own.get(key)) in value.split(",") for key, value in asked.items() if key)
