"""A server that plays raw answers, one a connection, for what a proper server never sends."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

DROP = b""
HANG = b"HANG"


@dataclass(frozen=True)
class Request:
    """What the client sent."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}


@dataclass
class ScriptedServer:
    """Where it listens, and what it has received."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


def answer(status: int, body: object = b"", **headers: str) -> bytes:
    """A whole reply; anything but bytes is sent as JSON. `Retry_After` becomes Retry-After."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"Connection": "close", "Content-Length": str(len(raw))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Status\r\n{head}\r\n".encode() + raw


@asynccontextmanager
async def scripted_server(*answers: bytes | Callable[[Request], bytes]) -> AsyncIterator[ScriptedServer]:
    """Play the answers in turn, the last one for ever; a callable makes its answer from the request."""
    scripted = ScriptedServer()
    over = asyncio.Event()
    connections: set[asyncio.Task[None]] = set()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            request = await _read(reader)
            scripted.requests.append(request)
            step = answers[min(len(scripted.requests), len(answers)) - 1]
            raw = step(request) if callable(step) else step
            if raw == HANG:
                await over.wait()
            else:
                writer.write(raw)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client hung up, which is what some tests are about
        finally:
            writer.close()

    server = await asyncio.start_server(play, "127.0.0.1", 0)
    scripted.port = server.sockets[0].getsockname()[1]
    try:
        yield scripted
    finally:
        over.set()
        server.close()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))
