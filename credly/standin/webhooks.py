"""Delivers events to receivers: without details, and repeatedly until one answers exactly 200 (11)."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
from fastapi import FastAPI

from credly.standin.settings import Assumptions
from credly.standin.store import Row, Store, text_of

TRIED_FOR = timedelta(days=25)
_LOOKS_EVERY_SECONDS = 3600.0


def is_on_this_machine(address: object) -> bool:
    """Whether a receiver may get events: invented ones must reach no other machine."""
    parts = urlsplit(str(address))
    return parts.scheme in ("http", "https") and parts.hostname in ("127.0.0.1", "localhost", "::1")


def thin(event: Row) -> dict[str, Any]:
    """Return the body of a delivery: the kind of event, without the badge or template (11)."""
    return {name: event[name] for name in ("id", "organization_id", "event_type", "occurred_at")}


class Deliveries:
    """Delivers events one after the other while the stand-in runs; moving its clock makes the next attempts due."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._store: Store = app.state.store
        self._wake = asyncio.Event()

    def look(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        async with httpx.AsyncClient(trust_env=False) as http:
            while True:
                self._wake.clear()  # before the look, so that an event which comes during it is not missed
                event = self._next()
                if event is None:
                    await self._until_next()
                elif not await self._deliver(http, event):
                    self._postpone(event)

    @property
    def _assumed(self) -> Assumptions:
        assumed: Assumptions = self._app.state.assumed
        return assumed

    def _next(self) -> Row | None:
        if self._assumed.webhooks_are_held:
            return None
        order = "DESC" if self._assumed.webhooks_newest_first else "ASC"
        sql = f"SELECT * FROM events WHERE deliver_at <= ? ORDER BY sequence {order} LIMIT 1"  # noqa: S608 - our words
        return self._store.one(sql, text_of(self._store.now()))

    async def _until_next(self) -> None:
        row = self._store.one("SELECT min(deliver_at) AS at FROM events WHERE deliver_at IS NOT NULL")
        seconds = _LOOKS_EVERY_SECONDS
        if row and row["at"] and not self._assumed.webhooks_are_held:
            away = datetime.fromisoformat(row["at"]) - self._store.now()
            seconds = min(max(away.total_seconds(), 0.001), seconds)
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return

    async def _deliver(self, http: httpx.AsyncClient, event: Row) -> bool:
        """Post an event to its organization's address; return False if it has to be delivered again."""
        address = self._address_of(event)
        if address is None:
            self._store.execute("UPDATE events SET deliver_at = NULL WHERE id = ?", event["id"])
            return True
        try:
            for _ in range(2 if self._assumed.webhooks_repeat else 1):
                reply = await http.post(address, json=thin(event), timeout=self._assumed.webhook_timeout_seconds)
        except (httpx.HTTPError, httpx.InvalidURL):
            return False
        if reply.status_code != httpx.codes.OK:
            return False
        sql = "UPDATE events SET deliver_at = NULL, delivered_at = ?, attempts = attempts + 1 WHERE id = ?"
        self._store.execute(sql, text_of(self._store.now()), event["id"])
        return True

    def _address_of(self, event: Row) -> str | None:
        organization = self._store.organization(event["organization_id"])
        address = organization and json.loads(organization["body"]).get("webhook_url")
        return str(address) if is_on_this_machine(address) else None

    def _postpone(self, event: Row) -> None:
        # Each wait is twice the one before, until the event is given up; the exponent is capped against an overflow.
        wait = timedelta(seconds=self._assumed.webhook_retry_seconds) * 2 ** min(event["attempts"], 20)
        again = self._store.now() + wait
        ended = again > datetime.fromisoformat(event["occurred_at"]) + TRIED_FOR
        sql = "UPDATE events SET deliver_at = ?, attempts = attempts + 1 WHERE id = ?"
        self._store.execute(sql, None if ended else text_of(again), event["id"])
