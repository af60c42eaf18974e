"""The imitated API: organizations, templates and badges, under /v1 and /api/v1."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import uuid4

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from credly.standin import issuing, listing
from credly.standin.oauth import bearer_of, is_out_of_scope
from credly.standin.parsing import basic_in, body_of
from credly.standin.settings import Assumptions
from credly.standin.store import TOKEN_LIFE, Row, Store, text_of
from credly.standin.webhooks import thin
from credly.standin.wire import (
    PER_PAGE,
    ApiError,
    absolute,
    badge_json,
    organization_json,
    page_reply,
    single,
    template_json,
    token_json,
)

router = APIRouter()


class Scope:
    """One authorized request: its token, and the state of the stand-in."""

    def __init__(self, request: Request, token: Row) -> None:
        self.request = request
        self.token = token
        self.store: Store = request.app.state.store
        self.assumed: Assumptions = request.app.state.assumed
        self.root = str(request.base_url).rstrip("/")

    def badge(self, row: Row) -> dict[str, Any]:
        return badge_json(self.store, row, self.root, self.assumed)


def token_of(request: Request) -> Row:
    """Return the token that the request carries.

    Raises:
        ApiError: 401, there is none, or it is wrong or has expired.
    """
    store: Store = request.app.state.store
    name, colon, _password = (basic_in(request) or "").partition(":")
    allowed = bool(colon) or request.app.state.assumed.accept_token_without_colon
    if not colon:
        name = name.removesuffix("|")  # one client sends it in place of the colon
    token = store.one("SELECT * FROM tokens WHERE token = ?", name) if name and allowed else None
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and request.app.state.assumed.oauth_is_offered:
        token = bearer_of(store, bearer)
    if token is None or (token["expires_at"] and token["expires_at"] <= text_of(store.now())):
        raise ApiError(401, "Invalid authorization token.")
    return token


def _authorized(flag: str) -> Callable[[Request, str], Scope]:
    def check(request: Request, organization_id: str) -> Scope:
        scope = Scope(request, token_of(request))
        if scope.store.organization(organization_id) is None:
            raise ApiError(404, "Resource not found.")
        refused = is_out_of_scope(scope.token, request.url.path, organization_id) or not scope.token[flag]
        if refused or scope.token["organization_id"] != organization_id:
            raise ApiError(403, "You are not authorized to perform this action.")
        return scope

    return check


def _badge_of(scope: Scope, organization_id: str, badge_id: str) -> Row:
    row = scope.store.badge(badge_id)
    if row is None or row["organization_id"] != organization_id:
        raise ApiError(404, "Resource not found.")
    return row


async def _readable(request: Request, organization_id: str) -> Scope:
    return _authorized("read_enabled")(request, organization_id)


async def _writable(request: Request, organization_id: str) -> Scope:
    return _authorized("write_enabled")(request, organization_id)


async def _deletable(request: Request, organization_id: str) -> Scope:
    return _authorized("delete_enabled")(request, organization_id)


Reading = Annotated[Scope, Depends(_readable)]
Writing = Annotated[Scope, Depends(_writable)]
Deleting = Annotated[Scope, Depends(_deletable)]
Handler = Callable[..., Awaitable[Response]]


@router.get("/organizations")
async def organizations(request: Request) -> Response:
    scope = Scope(request, token_of(request))
    if not scope.token["read_enabled"]:
        raise ApiError(403, "You are not authorized to perform this action.")
    row = scope.store.organization(scope.token["organization_id"])
    rows = [organization_json(row, scope.root)] if row else []
    return page_reply(request, rows, page=1, total=len(rows), prefix=scope.assumed.next_page_prefix)


@router.get("/organizations/{organization_id}")
async def organization(scope: Reading, organization_id: str) -> Response:
    row = scope.store.organization(organization_id)
    if row is None:
        raise AssertionError(f"organization {organization_id} was found a moment ago, by the check of the token")
    return single(organization_json(row, scope.root))


@router.get("/organizations/{organization_id}/badge_templates")
async def templates(scope: Reading, organization_id: str) -> Response:
    page = listing.page_of(scope.request)
    rows = listing.templates(scope.store, organization_id, scope.request, scope.assumed)
    shown = [template_json(scope.store, row, scope.root) for row in rows[(page - 1) * PER_PAGE : page * PER_PAGE]]
    return page_reply(scope.request, shown, page=page, total=len(rows), prefix=scope.assumed.next_page_prefix)


@router.get("/organizations/{organization_id}/badge_templates/{template_id}")
async def template(scope: Reading, organization_id: str, template_id: str) -> Response:
    row = scope.store.template(template_id)
    if row is None or row["organization_id"] != organization_id:
        raise ApiError(404, "Resource not found.")
    return single(template_json(scope.store, row, scope.root))


@router.post("/organizations/{organization_id}/badges")
async def issue(scope: Writing, organization_id: str) -> Response:
    fields = await body_of(scope.request)
    status, row = issuing.issue(scope.store, organization_id, fields, scope.assumed)
    return single(scope.badge(row), status=status)


@router.post("/organizations/{organization_id}/badges/batch")
async def issue_batch(scope: Writing, organization_id: str) -> Response:
    if not scope.assumed.batch_is_offered:
        raise ApiError(404, "Resource not found.")
    entries = (await body_of(scope.request)).get("badges")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ApiError(422, "Validation failed: Badges must be a list of objects")
    # One bad entry refuses the whole batch, and the error has its position (4.8).
    with scope.store.all_or_nothing():
        rows = [_issue_entry(scope, organization_id, index, entry) for index, entry in enumerate(entries)]
    return JSONResponse({"data": [scope.badge(row) for row in rows], "metadata": {}}, 201)


def _issue_entry(scope: Scope, organization_id: str, index: int, entry: dict[str, Any]) -> Row:
    try:
        return issuing.issue(scope.store, organization_id, entry, scope.assumed)[1]
    except ApiError as error:
        error.error_index = index
        raise


@router.get("/organizations/{organization_id}/badges")
async def badges(scope: Reading, organization_id: str) -> Response:
    page = listing.page_of(scope.request)
    rows, total = listing.badges(scope.store, organization_id, scope.request, scope.assumed, page=page)
    shown = [scope.badge(row) for row in rows]
    return page_reply(scope.request, shown, page=page, total=total, prefix=scope.assumed.next_page_prefix)


@router.get("/organizations/{organization_id}/high_volume_issued_badge_search")
async def bulk(scope: Reading, organization_id: str) -> Response:
    rows, query = listing.bulk(scope.store, organization_id, scope.request, scope.assumed)
    # The metadata is the address alone, without counts (4.7).
    minimal = scope.request.query_params.get("badge_format") == "minimal"
    shown = [badge_json(scope.store, row, scope.root, scope.assumed, minimal=minimal) for row in rows]
    address = absolute(scope.request, scope.assumed.next_page_prefix)
    following = f"{address}?{urlencode(query)}" if query else None
    return JSONResponse({"data": shown, "metadata": {"next_page_url": following}})


@router.get("/organizations/{organization_id}/badges/{badge_id}")
async def badge(scope: Reading, organization_id: str, badge_id: str) -> Response:
    # By its key, so without the lag of the lists (4.6).
    return single(scope.badge(_badge_of(scope, organization_id, badge_id)))


@router.post("/organizations/{organization_id}/badges/{badge_id}/replace")
async def replace(scope: Writing, organization_id: str, badge_id: str) -> Response:
    old = _badge_of(scope, organization_id, badge_id)
    fields = await body_of(scope.request)
    return single(scope.badge(issuing.replace(scope.store, old, fields, scope.assumed)), status=201)


@router.put("/organizations/{organization_id}/badges/{badge_id}/revoke")
async def revoke(scope: Writing, organization_id: str, badge_id: str) -> Response:
    row = _badge_of(scope, organization_id, badge_id)
    return single(scope.badge(issuing.revoke(scope.store, row, await body_of(scope.request))))


@router.delete("/organizations/{organization_id}/badges/{badge_id}")
async def delete(scope: Deleting, organization_id: str, badge_id: str) -> Response:
    row = _badge_of(scope, organization_id, badge_id)
    scope.store.execute("UPDATE badges SET deleted = 1 WHERE id = ?", row["id"])
    return Response(status_code=204)


@router.get("/organizations/{organization_id}/events")
async def events(scope: Reading, organization_id: str) -> Response:
    page = listing.page_of(scope.request)
    count = scope.store.one("SELECT count(*) AS n FROM events WHERE organization_id = ?", organization_id) or {"n": 0}
    sql = "SELECT * FROM events WHERE organization_id = ? ORDER BY sequence DESC LIMIT ? OFFSET ?"
    shown = [_event(scope, row) for row in scope.store.all(sql, organization_id, PER_PAGE, (page - 1) * PER_PAGE)]
    return page_reply(scope.request, shown, page=page, total=count["n"], prefix=scope.assumed.next_page_prefix)


@router.get("/organizations/{organization_id}/events/{event_id}")
async def event(scope: Reading, organization_id: str, event_id: str) -> Response:
    sql = "SELECT * FROM events WHERE id = ? AND organization_id = ?"
    row = scope.store.one(sql, event_id, organization_id)
    if row is None:
        raise ApiError(404, "Resource not found.")
    return single(_event(scope, row))


def _event(scope: Scope, event: Row) -> dict[str, Any]:
    # With its badge or template as it is now, even if it was deleted: an event keeps no copy of its moment (11).
    subject: dict[str, Any]
    if event["event_type"].startswith("badge."):
        row = scope.store.one("SELECT * FROM badges WHERE id = ?", event["subject_id"])
        subject = {"badge": scope.badge(row) if row else None}
    else:
        row = scope.store.template(event["subject_id"])
        subject = {"badge_template": template_json(scope.store, row, scope.root) if row else None}
    return thin(event) | subject


@router.get("/organizations/{organization_id}/authorization_tokens")
async def tokens(scope: Reading, organization_id: str) -> Response:
    """List tokens; a read-only token sees only read-only ones (3)."""
    rows = scope.store.all("SELECT * FROM tokens WHERE organization_id = ? ORDER BY rowid", organization_id)
    if not scope.token["write_enabled"]:
        rows = [row for row in rows if not row["write_enabled"] and not row["delete_enabled"]]
    shown = [token_json(row, scope.root) for row in rows]
    return page_reply(scope.request, shown, page=1, total=len(shown), prefix=scope.assumed.next_page_prefix)


@router.post("/organizations/{organization_id}/authorization_tokens")
async def create_token(scope: Writing, organization_id: str) -> Response:
    """Make a token beside those that there are (3)."""
    fields = await body_of(scope.request)
    flags = {name: bool(fields.get(name, True)) for name in ("read_enabled", "write_enabled", "delete_enabled")}
    token = {"token": f"invented-{uuid4()}", "organization_id": organization_id, **flags}
    scope.store.seed({"tokens": [token | {"description": fields.get("description")}]})
    row = scope.store.one("SELECT * FROM tokens WHERE token = ?", token["token"]) or {}
    return single(token_json(row, scope.root), status=201)


@router.post("/organizations/{organization_id}/authorization_tokens/rotate")
async def rotate(scope: Writing, organization_id: str) -> Response:
    """Replace the token in use by a new one; the old one is dead at once. Offered only where that is assumed (3)."""
    if not scope.assumed.rotate_is_offered or "scopes" in scope.token:
        raise ApiError(404, "Resource not found.")
    store, old = scope.store, scope.token["token"]
    fresh = f"invented-{uuid4()}"
    ends = text_of(store.now() + TOKEN_LIFE)
    sql = "UPDATE tokens SET token = ?, created_at = ?, expires_at = ? WHERE token = ? AND organization_id = ?"
    store.execute(sql, fresh, text_of(store.now()), ends, old, organization_id)
    row = store.one("SELECT * FROM tokens WHERE token = ?", fresh) or {}
    return single(token_json(row, scope.root))
