"""A local receiver of messages, as a chat or an incident tool would be."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.waiting import until


class Receiver:
    """Keeps what is posted to it: subject and body of each message, in order."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []
        self.url = ""

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
def running_receiver() -> Iterator[Receiver]:
    """Serve a receiver on a free port until the block ends."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            receiver.messages.append(json.loads(self.rfile.read(length)))
            self.send_response(204)
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
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
