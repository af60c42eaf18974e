"""Controls of the stand-in, for tests and operators; outside the imitated paths."""

import sqlite3
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from credly.standin.faults import Faults
from credly.standin.parsing import body_of
from credly.standin.settings import Assumptions
from credly.standin.store import Store, text_of
from credly.standin.webhooks import is_on_this_machine
from credly.standin.wire import ApiError, badge_json

router = APIRouter()
_EARNER_MOVES = {"accept": ("accepted", ("pending",)), "reject": ("rejected", ("pending", "accepted"))}


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


@router.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@router.post("/reset")
async def reset(request: Request) -> dict[str, str]:
    _store(request).reset()
    request.app.state.assumed = Assumptions()
    request.app.state.faults.release(drop=True)  # else the held requests wait forever on an object that nothing reaches
    request.app.state.faults = Faults()
    return {"status": "reset"}


@router.post("/seed")
async def seed(request: Request) -> dict[str, str]:
    """Put in organizations, tokens, templates, accounts and applications; rows with known keys are replaced."""
    data = await body_of(request)
    unknown = set(data) - {"organizations", "tokens", "templates", "accounts", "applications"}
    if unknown:
        raise ApiError(400, f"Cannot seed {', '.join(sorted(unknown))}.")
    try:
        with _store(request).all_or_nothing():
            _store(request).seed(data)
    except KeyError as missing:
        raise ApiError(400, f"A row is missing {missing}.") from None
    except (TypeError, AttributeError, sqlite3.Error):
        raise ApiError(400, "Each of them is a list of objects, and their values are texts.") from None
    return {"status": "seeded"}


@router.get("/settings")
async def read_settings(request: Request) -> dict[str, Any]:
    assumed: Assumptions = request.app.state.assumed
    return assumed.model_dump()


@router.patch("/settings")
async def change_settings(request: Request) -> dict[str, Any]:
    assumed: Assumptions = request.app.state.assumed
    try:
        request.app.state.assumed = Assumptions(**(assumed.model_dump() | await body_of(request)))
    except ValidationError as error:
        raise ApiError(400, "; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())) from None
    return await read_settings(request)


@router.get("/badges")
async def all_badges(request: Request) -> JSONResponse:
    """Return every badge of every organization, in full and on one page; filtered by the query's fields."""
    root, assumed = str(request.base_url).rstrip("/"), request.app.state.assumed
    store = _store(request)
    columns = {"organization_id": "organization_id", "badge_template_id": "template_id", "recipient_email": "email_key"}
    filters = {key: value for key, value in request.query_params.items() if key in columns}
    values = [value.lower() if key == "recipient_email" else value for key, value in filters.items()]
    where = " AND ".join(["deleted = 0", *(f"{columns[key]} = ?" for key in filters)])
    rows = store.all(f"SELECT * FROM badges WHERE {where} ORDER BY sequence", *values)  # noqa: S608 - names are ours
    shown = [badge_json(store, row, root, assumed) | {"organization_id": row["organization_id"]} for row in rows]
    return JSONResponse({"badges": shown})


@router.get("/requests")
async def requests(request: Request) -> dict[str, Any]:
    return {"requests": _store(request).all("SELECT * FROM requests ORDER BY id")}


@router.get("/outbox")
async def outbox(request: Request) -> dict[str, Any]:
    return {"mails": _store(request).all("SELECT * FROM outbox ORDER BY id")}


@router.put("/organizations/{organization_id}/webhook")
async def set_webhook(request: Request, organization_id: str) -> dict[str, Any]:
    address = (await body_of(request)).get("url")
    # Events are invented, so no receiver elsewhere may get one.
    if address is not None and not is_on_this_machine(address):
        raise ApiError(400, "A receiver must be on this machine: http://127.0.0.1, localhost or [::1], with any port.")
    sql = "UPDATE organizations SET body = json_set(body, '$.webhook_url', ?) WHERE id = ?"
    if not _store(request).execute(sql, address, organization_id):
        raise ApiError(404, "No such organization.")
    return {"url": address}


@router.get("/events")
async def events(request: Request) -> dict[str, Any]:
    return {"events": _store(request).all("SELECT * FROM events ORDER BY sequence")}


@router.post("/events/{event_id}/deliver")
async def deliver_again(request: Request, event_id: str) -> dict[str, str]:
    store = _store(request)
    if not store.execute("UPDATE events SET deliver_at = ? WHERE id = ?", text_of(store.now()), event_id):
        raise ApiError(404, "No such event.")
    return {"status": "due"}


@router.post("/clock")
async def move_clock(request: Request) -> dict[str, str]:
    """Set the clock forward (or back) by `seconds` from the real time."""
    fields = await body_of(request)
    store = _store(request)
    try:
        offset = timedelta(seconds=float(fields.get("seconds", 0)))
        now = text_of(store.now() - store.clock_offset + offset)
    except (TypeError, ValueError, OverflowError):
        raise ApiError(400, "The seconds must be a number, and lead to a year of our calendar.") from None
    store.clock_offset = offset
    return {"now": now}


@router.post("/templates/{template_id}/state")
async def template_state(request: Request, template_id: str) -> dict[str, str]:
    state = str((await body_of(request)).get("state"))
    if state not in ("draft", "active", "archived"):
        raise ApiError(400, "The state must be draft, active or archived.")
    if not _store(request).execute("UPDATE templates SET state = ? WHERE id = ?", state, template_id):
        raise ApiError(404, "No such template.")
    return {"state": state}


@router.post("/templates/{template_id}/duplicates")
async def allow_duplicates(request: Request, template_id: str) -> dict[str, bool]:
    allowed = bool((await body_of(request)).get("allowed"))
    sql = "UPDATE templates SET allow_duplicate_badges = ? WHERE id = ?"
    if not _store(request).execute(sql, int(allowed), template_id):
        raise ApiError(404, "No such template.")
    return {"allowed": allowed}


@router.post("/badges/{badge_id}/{move}")
async def act_as_earner(request: Request, badge_id: str, move: str) -> Response:
    """Accept or reject a badge, or make it private, as its earner would."""
    store = _store(request)
    row = store.badge(badge_id)
    if row is None or move not in (*_EARNER_MOVES, "private"):
        raise ApiError(404, "No such badge or move.")
    stamp = text_of(store.now())
    if move == "private":
        store.execute("UPDATE badges SET public = 0, updated_at = ? WHERE id = ?", stamp, badge_id)
    else:
        state, allowed = _EARNER_MOVES[move]
        if row["state"] not in allowed:
            raise ApiError(422, f"A badge that is {row['state']} cannot be {state}.")
        sql = "UPDATE badges SET state = ?, state_updated_at = ?, updated_at = ? WHERE id = ?"
        store.execute(sql, state, stamp, stamp, badge_id)
    return JSONResponse({"status": "done"})
