"""The stand-in in a thread of its own, on a free port, spoken to over real HTTP."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from credly.standin.app import create_app
from tests.support.waiting import until


class Standin:
    """A running stand-in: its addresses, and its controls as methods."""

    def __init__(self, root_url: str, http: httpx.Client) -> None:
        self.root_url = root_url
        self.base_url = f"{root_url}/v1"
        self._http = http

    def control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        reply = self._http.request(method, f"/_standin/{path}", json=body)
        reply.raise_for_status()
        return reply.json()

    def seed(self, **data: Any) -> None:
        self.control("POST", "seed", data)

    def badges(self, **wanted: str) -> list[dict[str, Any]]:
        reply = self._http.get("/_standin/badges", params=wanted)
        reply.raise_for_status()
        return list(reply.json()["badges"])

    def requests(self) -> list[dict[str, Any]]:
        return list(self.control("GET", "requests")["requests"])

    def mails(self) -> list[dict[str, Any]]:
        return list(self.control("GET", "outbox")["mails"])

    def settings(self, **changes: Any) -> None:
        self.control("PATCH", "settings", changes)

    def allow_duplicates(self, template_id: str) -> None:
        """Let the template be issued to the same person twice."""
        self.control("POST", f"templates/{template_id}/duplicates", {"allowed": True})

    def fault(self, action: str, **when: Any) -> None:
        """Let something go wrong, once unless told otherwise."""
        self.control("POST", "faults", {"action": action, **when})

    def faults(self) -> dict[str, Any]:
        return dict(self.control("GET", "faults"))

    def until_held(self, count: int = 1) -> None:
        """Return when so many requests are held; call it in a thread where an event loop runs."""
        until(lambda: self.faults()["held"] >= count, what=f"{count} requests are held")

    def template_state(self, template_id: str, state: str) -> None:
        self.control("POST", f"templates/{template_id}/state", {"state": state})

    def erase(self, badge_id: str, *, token: str) -> None:
        """Delete a badge as the organization does at Credly, for a person's right to be forgotten."""
        (badge,) = [each for each in self.badges() if each["id"] == badge_id]
        path = f"/v1/organizations/{badge['organization_id']}/badges/{badge_id}"
        self._http.delete(path, auth=(token, "")).raise_for_status()

    def as_earner(self, badge_id: str, move: str) -> None:
        self.control("POST", f"badges/{badge_id}/{move}")


@contextmanager
def running_standin(*, seed: Mapping[str, Any] | None = None, **settings: Any) -> Iterator[Standin]:
    """Serve a stand-in whose state is in memory until the block ends."""
    config = uvicorn.Config(
        create_app(settings=settings), host="127.0.0.1", port=0, log_level="error", ws="none", timeout_keep_alive=30
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive(), what="the stand-in starts")
    root_url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        with httpx.Client(base_url=root_url, timeout=30) as http:
            standin = Standin(root_url, http)
            if seed:
                standin.seed(**seed)
            yield standin
    finally:
        server.should_exit = True
        thread.join(timeout=10)
