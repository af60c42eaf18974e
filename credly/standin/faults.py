"""Faults on demand: what goes wrong, for which requests, and how often.

A fault happens at one of two points: before a request is processed, or afterwards, before its reply is sent. The
controls are under /_standin, outside the imitated paths.
"""

import asyncio
import json
import random
import re
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from credly.standin.parsing import body_of, earner_in
from credly.standin.settings import Assumptions
from credly.standin.store import Store, text_of
from credly.standin.wire import ApiError, error_reply

router = APIRouter()

Action = Literal[
    "answer",
    "answer_after",
    "cut_after",
    "drip_after",
    "drop",
    "drop_after",
    "hold",
    "hold_after",
    "slow",
    "expire_tokens",
    "archive_templates",
]
_PIECES = 20


class Fault(BaseModel):
    """One thing that goes wrong. Whatever ends in `after` happens when the request is processed already."""

    model_config = ConfigDict(extra="forbid")

    action: Action
    method: str = Field(default="", description="GET, POST, PUT or DELETE; any where it is left out.")
    path: str = Field(default="", description="A regular expression that is searched in the path.")
    body: str = Field(default="", description="A text that the request's body has in it, such as an address.")
    skip: int = Field(default=0, ge=0, description="So many matching requests pass first.")
    count: Annotated[int, Field(ge=1)] | None = Field(default=1, description="How often it happens; null: always.")
    status: int = Field(default=503, ge=200, le=599, description="Of answer and answer_after.")
    headers: dict[str, str] = Field(default_factory=dict, description="Of answer and answer_after.")
    content: str = Field(default="", description="The body of answer and answer_after, as it is.")
    message: str = Field(default="", description="The same in Credly's form: its data.message, in place of content.")
    errors: dict[str, str] = Field(default_factory=dict, description="Beside message: attributes and their texts.")
    seconds: float = Field(default=1, ge=0, description="How long slow and drip_after take in all.")

    def matches(self, method: str, path: str, body: bytes) -> bool:
        wanted = not self.method or self.method.upper() == method
        return wanted and re.search(self.path, path) is not None and self.body.encode() in body


TOO_MANY = Fault(action="answer", status=429, headers={"Retry-After": "1"})

# One of these happens to a share of all requests where `fault_share` is set: faults of any ordinary day.
MISCHIEF = (
    TOO_MANY,
    Fault(action="answer", status=503, content="<html><body>Service Unavailable</body></html>"),
    Fault(action="answer_after", status=502, content="<html><body>Bad Gateway</body></html>"),
    Fault(action="drop"),
    Fault(action="drop_after"),
    Fault(action="cut_after"),
)


class Faults:
    """The faults that are still to happen, and the requests that are held."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []
        self.happened: dict[str, int] = {}
        self.held = 0
        self._released = asyncio.Event()
        self._drop_held = False
        self._seed: int | None = None
        self._random = random.Random()  # noqa: S311 - mischief, no secret

    def take(self, method: str, path: str, body: bytes, *, share: float, seed: int) -> Fault | None:
        fault = self._first(method, path, body)
        if seed != self._seed:  # the same seed gives the same requests their faults, from the moment it is set
            self._seed, self._random = seed, random.Random(seed)  # noqa: S311
        if fault is None and share and self._random.random() < share:
            fault = self._random.choice(MISCHIEF)
        if fault is not None:
            self.happened[fault.action] = self.happened.get(fault.action, 0) + 1
        return fault

    def _first(self, method: str, path: str, body: bytes) -> Fault | None:
        for fault in self.waiting:
            if not fault.matches(method, path, body):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if fault.count is not None:
                fault.count -= 1
                if not fault.count:
                    self.waiting.remove(fault)
            return fault
        return None

    async def hold(self) -> bool:
        """Wait until somebody releases what is held; return whether it is to be dropped then."""
        self.held += 1
        released = self._released  # `release` replaces it, for the requests that are held after that
        try:
            await released.wait()
            return self._drop_held
        finally:
            self.held -= 1

    def release(self, *, drop: bool) -> None:
        self._drop_held = drop
        self._released.set()
        self._released = asyncio.Event()


class Exchange:
    """One request and where its reply goes. A connection is closed past the reply, at the server's own `send`."""

    def __init__(self, receive: Receive, send: Send, server_send: Send) -> None:
        self.receive, self.send, self._server_send = receive, send, server_send

    async def whole_body(self) -> bytes:
        body, more = b"", True
        while more:
            message = await self.receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        return body

    async def drop(self) -> None:
        """Abort the connection, as a failing network does, and wait until the server has noticed."""
        # ASGI has no way to abort a connection: uvicorn's `send` is a method of the object that has the transport.
        self._server_send.__self__.transport.abort()  # type: ignore[attr-defined]
        disconnected = False
        while not disconnected:
            disconnected = (await self.receive())["type"] == "http.disconnect"


async def serve(app: ASGIApp, scope: Scope, exchange: Exchange, state: Any) -> None:
    """Serve one request of the imitated API, with what is to go wrong for it; `state` is the application's."""
    assumed: Assumptions = state.assumed
    faults: Faults = state.faults
    body = await exchange.whole_body()
    limit = assumed.calls_per_second
    if limit and not state.limits.take(scope["path"], calls_per_second=limit, now=time.monotonic()):
        await _answer(TOO_MANY, exchange.send)
        return
    share, seed = assumed.fault_share, assumed.fault_seed
    fault = faults.take(scope["method"], scope["path"], body, share=share, seed=seed)
    scope["state"] |= {"earner": earner_in(body), "fault": fault and fault.action}  # for the log of requests
    if assumed.latency_ms:
        await asyncio.sleep(assumed.latency_ms / 1000)
    if fault is None:
        await app(scope, _replayed(body), exchange.send)
    elif not await _before(fault, faults, state.store, exchange):
        reply = await _processed(app, scope, body)
        await _after(fault, faults, reply, exchange)


async def _before(fault: Fault, faults: Faults, store: Store, exchange: Exchange) -> bool:
    if fault.action == "answer":
        await _answer(fault, exchange.send)
        return True
    if fault.action == "drop" or (fault.action == "hold" and await faults.hold()):
        await exchange.drop()
        return True
    if fault.action == "slow":
        await asyncio.sleep(fault.seconds)
    elif fault.action == "expire_tokens":
        store.execute("UPDATE tokens SET expires_at = ?", text_of(store.now()))
    elif fault.action == "archive_templates":
        store.execute("UPDATE templates SET state = 'archived'")
    return False


async def _after(fault: Fault, faults: Faults, reply: list[Message], exchange: Exchange) -> None:
    if fault.action == "answer_after":
        await _answer(fault, exchange.send)
    elif fault.action == "drop_after" or (fault.action == "hold_after" and await faults.hold()):
        await exchange.drop()
    elif fault.action == "cut_after":
        start, content = reply[0], reply[1]["body"]
        await exchange.send(start)
        await exchange.send({"type": "http.response.body", "body": content[: len(content) // 2], "more_body": True})
        await exchange.drop()
    elif fault.action == "drip_after":
        await _drip(reply, fault.seconds, exchange.send)
    else:
        for message in reply:
            await exchange.send(message)


async def _answer(fault: Fault, send: Send) -> None:
    content = fault.content.encode()
    if fault.message:
        content = bytes(error_reply(ApiError(fault.status, fault.message, errors=fault.errors)).body)
    kind = "text/html" if content.startswith(b"<") else "application/json"
    headers = {"content-type": kind, "content-length": str(len(content))}
    headers |= {name.lower(): value for name, value in fault.headers.items()}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": fault.status, "headers": raw})
    await send({"type": "http.response.body", "body": content})


async def _drip(reply: list[Message], seconds: float, send: Send) -> None:
    content = reply[1]["body"]
    # Each piece resets a client's read timeout; only a limit on the whole call ends it.
    size = max(1, len(content) // _PIECES)
    await send(reply[0])
    for start in range(0, len(content), size):
        await asyncio.sleep(seconds / _PIECES)
        await send({"type": "http.response.body", "body": content[start : start + size], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _replayed(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _processed(app: ASGIApp, scope: Scope, body: bytes) -> list[Message]:
    messages: list[Message] = []

    async def keep(message: Message) -> None:  # sent later, or never: a fault may put another reply in its place
        messages.append(message)

    await app(scope, _replayed(body), keep)
    start, *rest = messages
    whole = b"".join(message.get("body", b"") for message in rest)
    return [start, {"type": "http.response.body", "body": whole}]


def _json_of(faults: Faults) -> dict[str, Any]:
    waiting = [fault.model_dump() for fault in faults.waiting]
    return {"faults": waiting, "held": faults.held, "happened": faults.happened}


@router.get("/faults")
async def read_faults(request: Request) -> dict[str, Any]:
    return _json_of(request.app.state.faults)


@router.post("/faults")
async def add_fault(request: Request) -> dict[str, Any]:
    """Add a fault; of several that match, the one that was added first happens."""
    try:
        fault = Fault.model_validate(await body_of(request))
        re.compile(fault.path)
    except (ValidationError, re.error) as error:
        raise ApiError(400, f"This is no fault: {_message_of(error)}") from None
    request.app.state.faults.waiting.append(fault)
    return _json_of(request.app.state.faults)


@router.delete("/faults")
async def no_more_faults(request: Request) -> dict[str, Any]:
    request.app.state.faults.waiting.clear()
    request.app.state.faults.release(drop=False)
    return _json_of(request.app.state.faults)


@router.post("/release")
async def release(request: Request) -> dict[str, Any]:
    fields: Mapping[str, Any] = await body_of(request)
    request.app.state.faults.release(drop=bool(fields.get("drop")))
    return _json_of(request.app.state.faults)


def _message_of(error: ValidationError | re.error) -> str:
    if isinstance(error, ValidationError):
        return json.dumps({str(e["loc"][0]): e["msg"] for e in error.errors()})
    return f"path is no regular expression, {error}"
