"""OAuth 2 client credentials, offered only where that is assumed (3)."""

import secrets
from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from credly.standin.parsing import basic_in, body_of, text_in
from credly.standin.settings import Assumptions
from credly.standin.store import Row, Store, text_of
from credly.standin.wire import ApiError

router = APIRouter()
LIFE = timedelta(seconds=7200)
_SCOPE_OF = {
    "badges": "issued_badges",
    "high_volume_issued_badge_search": "issued_badges",
    "badge_templates": "badge_templates",
    "events": "events",
    "authorization_tokens": "authorization_tokens",
}


@router.post("/oauth/token")
async def token(request: Request) -> JSONResponse:
    """Issue a token for two hours; there are no refresh tokens (3)."""
    store: Store = request.app.state.store
    assumed: Assumptions = request.app.state.assumed
    if not assumed.oauth_is_offered:
        raise ApiError(404, "Resource not found.")
    fields = await body_of(request)
    basic = basic_in(request)
    if basic is None:
        uid, secret = text_in(fields.get("client_id")), text_in(fields.get("client_secret"))
    else:
        uid, _, secret = basic.partition(":")
    application = store.one("SELECT * FROM applications WHERE uid = ? AND secret = ?", uid, secret)
    if application is None:
        return JSONResponse({"error": "invalid_client"}, 401)
    if fields.get("grant_type") != "client_credentials":
        return JSONResponse({"error": "unsupported_grant_type"}, 400)
    wanted = text_in(fields.get("scope")).split() or application["scopes"].split()
    if not set(wanted) <= set(application["scopes"].split()):
        return JSONResponse({"error": "invalid_scope"}, 400)
    made = {"token": secrets.token_urlsafe(), "scopes": " ".join(wanted)}
    ends = {"organization_id": application["organization_id"], "expires_at": text_of(store.now() + LIFE)}
    store.put("access_tokens", made | ends)
    seconds = int(LIFE.total_seconds())
    return JSONResponse(
        {"access_token": made["token"], "token_type": "Bearer", "expires_in": seconds, "scope": made["scopes"]}
    )


def bearer_of(store: Store, token: str) -> Row | None:
    """Return a bearer token in the shape of an organization's token, or None."""
    row = store.one("SELECT * FROM access_tokens WHERE token = ?", token)
    return row and row | {"read_enabled": 1, "write_enabled": 1, "delete_enabled": 1}


def is_out_of_scope(token: Row, path: str, organization_id: str) -> bool:
    """Whether a path needs a scope that the bearer token has not; an organization's own token may do everything."""
    resource = path.partition(f"/organizations/{organization_id}/")[2].partition("/")[0]
    return "scopes" in token and resource in _SCOPE_OF and _SCOPE_OF[resource] not in token["scopes"].split()
