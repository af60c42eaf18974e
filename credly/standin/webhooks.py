"""Tells receivers of events: thin, again and again until one answers exactly 200 (11)."""

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
    """Say whether an address may be told of events: what is invented here is sent to nobody else."""
    parts = urlsplit(str(address))
    return parts.scheme in ("http", "https") and parts.hostname in ("127.0.0.1", "localhost", "::1")


def thin(event: Row) -> dict[str, Any]:
    """Return what a receiver gets: what happened, but not to what."""
    return {name: event[name] for name in ("id", "organization_id", "event_type", "occurred_at")}


class Deliveries:
    """Delivers events one after the other while the stand-in runs; moving its clock makes the next tries due."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._store: Store = app.state.store
        self._news = asyncio.Event()

    def look(self) -> None:
        """Look for what is to be delivered now; something may have happened."""
        self._news.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with httpx.AsyncClient(trust_env=False) as http:
            while True:
                self._news.clear()
                event = self._next()
                if event is None:
                    await self._until_next()
                elif not await self._taken(http, event):
                    self._put_off(event)

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
        found = self._store.one("SELECT min(deliver_at) AS at FROM events WHERE deliver_at IS NOT NULL")
        seconds = _LOOKS_EVERY_SECONDS
        if found and found["at"] and not self._assumed.webhooks_are_held:
            away = datetime.fromisoformat(found["at"]) - self._store.now()
            seconds = min(max(away.total_seconds(), 0.001), seconds)
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return

    async def _taken(self, http: httpx.AsyncClient, event: Row) -> bool:
        """Post an event to its organization's address; return whether that is done with."""
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

    def _put_off(self, event: Row) -> None:
        wait = timedelta(seconds=self._assumed.webhook_retry_seconds) * 2 ** min(event["attempts"], 20)
        again = self._store.now() + wait
        ended = again > datetime.fromisoformat(event["occurred_at"]) + TRIED_FOR
        sql = "UPDATE events SET deliver_at = ?, attempts = attempts + 1 WHERE id = ?"
        self._store.execute(sql, None if ended else text_of(again), event["id"])
