"""The stand-in as an application: the imitated API, its controls, and pages for a browser."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from credly.standin import api, controls, faults, oauth, obi, pages
from credly.standin.limits import Limits
from credly.standin.settings import Assumptions
from credly.standin.store import Store, text_of
from credly.standin.webhooks import Deliveries
from credly.standin.wire import ApiError, error_reply

_IMITATED = ("/v1/", "/api/v1/", "/oauth/")
_ODD_IN_ID, _LONGEST_ID = re.compile(rb"[^\w@-]"), 255
HEADER = "This is a stand-in of Credly; nothing here is real"


def create_app(database: str = ":memory:", *, settings: Mapping[str, Any] | None = None) -> "Front":
    """Return a stand-in with its state in a database file, or in memory and lost at the end."""
    store = Store(database)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        delivering = asyncio.create_task(deliveries.run())
        yield
        delivering.cancel()
        with suppress(asyncio.CancelledError):
            await delivering
        store.close()

    app = FastAPI(title="Stand-in of Credly", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.router.redirect_slashes = False
    app.state.store = store
    app.state.assumed = Assumptions(**(settings or {}))
    app.state.faults = faults.Faults()
    app.state.limits = Limits()
    app.state.deliveries = deliveries = Deliveries(app)
    for prefix in ("/v1", "/api/v1"):
        app.include_router(obi.router, prefix=prefix)
        app.include_router(api.router, prefix=prefix)
    app.include_router(oauth.router)
    for router in (controls.router, faults.router):
        app.include_router(router, prefix="/_standin")
    app.include_router(pages.router)
    app.exception_handler(ApiError)(_api_error)
    app.exception_handler(HTTPException)(_http_error)
    return Front(app)


async def _api_error(_request: Request, error: ApiError) -> JSONResponse:
    return error_reply(error)


async def _http_error(_request: Request, error: HTTPException) -> JSONResponse:
    return error_reply(ApiError(error.status_code, str(error.detail)))


class Front:
    """The layer around every request: tolerant paths, faults, the log of requests, the header of the stand-in."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # the lifespan of the application
            await self.app(scope, receive, send)
            return
        scope["path"] = path = _tolerated(scope["path"])
        scope.setdefault("state", {})
        status: list[int] = []

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])
                message["headers"] = [*message["headers"], (b"x-credly-standin", HEADER.encode())]
                if all(name != b"x-request-id" for name, _ in message["headers"]):  # else a fault has set one
                    message["headers"].append((b"x-request-id", self._request_id(scope)))
            await send(message)

        try:
            if path.startswith(_IMITATED):
                await self._imitated(scope, faults.Exchange(receive, send_marked, send), status)
            else:
                await self.app(scope, receive, send_marked)
        finally:
            if scope["method"] != "GET":  # any write may be an event, and a moved clock may make one due
                self.app.state.deliveries.look()

    def _request_id(self, scope: Scope) -> bytes:
        sent = dict(scope["headers"]).get(b"x-request-id", b"")
        # Rails answers with the caller's id, reduced to harmless characters.
        reused = _ODD_IN_ID.sub(b"", sent)[:_LONGEST_ID] if self.app.state.assumed.request_id_is_reused else b""
        return reused or str(uuid4()).encode()

    async def _imitated(self, scope: Scope, exchange: faults.Exchange, status: list[int]) -> None:
        store: Store = self.app.state.store
        resets, received_at = store.resets, store.now()
        try:
            await faults.serve(self.app, scope, exchange, self.app.state)
        finally:
            if store.resets == resets:  # else the request is of the state before the reset
                _log(store, scope, status, received_at=received_at)


def _log(store: Store, scope: Scope, status: list[int], *, received_at: datetime) -> None:
    store.put(
        "requests",
        {
            "received_at": text_of(received_at),
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode(errors="replace"),
            "status": status[0] if status else None,
            "fields": ",".join(scope["state"].get("fields", ())),
            "earner": scope["state"].get("earner", ""),
            "fault": scope["state"].get("fault"),
        },
    )


def _tolerated(path: str) -> str:
    # Credly accepts a trailing slash and a .json suffix (1).
    if path.startswith(("/v1/", "/api/v1/")):
        path = path.rstrip("/").removesuffix(".json")
    return path
