"""Calls of Credly's API as plain HTTP, at a careful pace, with a memory of every badge that they may have made."""

import secrets
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from scripts.sandbox.answers import record_of
from scripts.sandbox.target import Target

_THROTTLED_TRIES = 3
_LONGEST_WAIT = 60.0
_NOT_MADE = (400, 422)  # any other answer than these and a 201 may follow a badge that was made
Badge = dict[str, Any]


class Sandbox:
    """A sandbox under question. Each address is of example.org and begins with `mark`, which is of this run alone."""

    def __init__(self, target: Target, *, grace: float) -> None:
        self.target, self.grace = target, grace
        self.mark = f"laurel+{secrets.token_hex(4)}-"
        self.began = datetime.now(UTC)
        self.path = f"/organizations/{target.organization}"
        self.made: list[str] = []
        self.unsure: set[str] = set()
        self.errors: list[dict[str, Any]] = []
        self.is_standin = False
        self._turn, self._next = threading.Lock(), 0.0
        self._addresses = 0
        headers = {"Accept": "application/json", "User-Agent": "Laurel/sandbox"}
        self._http = httpx.Client(base_url=target.url, auth=(target.token, ""), timeout=60, headers=headers)

    def close(self) -> None:
        self._http.close()

    def send(self, method: str, path: str, *, token: str | None = None, once: bool = False, **more: Any) -> Any:
        """Make a call and return its reply; after a 429 it is made again, unless only `once`, and then unpaced."""
        if token is not None:
            more["auth"] = (token, "")
        for _ in range(1 if once else _THROTTLED_TRIES):
            if not once:
                self._wait_for_turn()
            reply = self._http.request(method, path, **more)
            self._note(reply)
            if once or reply.status_code != 429:
                break
            self.rest(reply)
        return reply

    def rest(self, reply: httpx.Response) -> None:
        """Wait as long as a 429 asks for, within bounds."""
        asked = reply.headers.get("retry-after", "")
        time.sleep(min(float(asked), _LONGEST_WAIT) if asked.isdecimal() else 5)

    def get(self, path: str = "", **more: Any) -> httpx.Response:
        reply: httpx.Response = self.send("GET", f"{self.path}{path}", **more)
        return reply

    def address(self, code: str) -> str:
        self._addresses += 1
        return f"{self.mark}{code}-{self._addresses}@example.org"

    def request(self, code: str, *, template: str, **changes: Any) -> dict[str, Any]:
        """Return a request for a badge to somebody invented, without a mail."""
        return {
            "recipient_email": self.address(code),
            "issued_to_first_name": "Laurel",
            "issued_to_last_name": "Sandbox",
            "badge_template_id": template,
            "issued_at": "2026-01-05 09:00:00 +0000",
            "suppress_badge_notification_email": True,
        } | changes

    def post(self, body: Mapping[str, Any], **more: Any) -> httpx.Response:
        self.unsure.add(body["recipient_email"])
        reply: httpx.Response = self.send("POST", f"{self.path}/badges", json=body, **more)
        if self._remember(reply) or reply.status_code in _NOT_MADE:
            self.unsure.discard(body["recipient_email"])
        return reply

    def replace(self, badge_id: str, /, **changes: Any) -> httpx.Response:
        """Ask for a successor of a badge and remember it; one whose reply is lost is found by its predecessor."""
        body = {"issued_at": "2026-01-06 09:00:00 +0000", "suppress_badge_notification_email": True} | changes
        reply: httpx.Response = self.send("POST", f"{self.path}/badges/{badge_id}/replace", json=body)
        self._remember(reply)
        return reply

    def revoke(self, badge_id: str) -> httpx.Response:
        body = {"reason": "made by a probe", "suppress_revoke_notification_email": True}
        reply: httpx.Response = self.send("PUT", f"{self.path}/badges/{badge_id}/revoke", json=body)
        return reply

    def _remember(self, reply: httpx.Response) -> bool:
        if reply.status_code not in (200, 201):
            return False
        self.made.append(reply.json()["data"]["id"])
        return True

    def _wait_for_turn(self) -> None:
        with self._turn:
            pause = self._next - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            self._next = time.monotonic() + 1 / self.target.calls_per_second

    def _note(self, reply: httpx.Response) -> None:
        self.is_standin |= "x-credly-standin" in reply.headers
        if reply.status_code >= 400:
            self.errors.append(record_of(reply))
