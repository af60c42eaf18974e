"""A local receiver of what is posted, as a chat, an incident tool or a webhook would be."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.waiting import until


class Receiver:
    """Keeps what is posted to it, in order, and answers these statuses first, then the usual one."""

    def __init__(self, *, usual: int = 204) -> None:
        self.messages: list[dict[str, str]] = []
        self.answers: list[int] = []
        self.url = ""
        self._usual = usual
        self._open = threading.Event()
        self._open.set()

    def hold(self) -> None:
        """Answer nobody until `release`."""
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def take(self, message: dict[str, str]) -> int:
        """Keep what came, and return the status to answer."""
        self.messages.append(message)
        self._open.wait()
        return self.answers.pop(0) if self.answers else self._usual

    def subjects(self) -> list[str]:
        return [message["subject"] for message in self.messages]

    def until_received(self, subject: str, *, within: float = 60) -> str:
        """Return the body of the first message of this subject; call it in a thread where an event loop runs."""
        found = until(
            lambda: [message for message in self.messages if message["subject"] == subject],
            what=f"a message “{subject}”, of {self.subjects()}",
            within=within,
        )
        return found[0]["body"]


@contextmanager
def running_receiver(*, usual: int = 204) -> Iterator[Receiver]:
    """Serve a receiver on a free port until the block ends."""
    receiver = Receiver(usual=usual)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            status = receiver.take(json.loads(self.rfile.read(length)))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/messages"
    try:
        yield receiver
    finally:
        receiver.release()
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
