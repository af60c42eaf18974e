"""Pages for a browser: badges with their evidence, as an earner would see them, and what the stand-in assumes."""

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from credly.standin.settings import Assumptions
from credly.standin.store import Row, Store
from credly.standin.wire import ApiError

router = APIRouter()
_templates = Jinja2Templates(Path(__file__).parent / "templates")
_PER_PAGE = 50

MISSING = (
    "Employees and workforce with their events (7, 11); Open Badges 3 (12).",
    "Making and changing templates (6), organizations (7) and tokens (3) through the API: they are seeded.",
    "The earner's account on a badge: `user` is empty, and lists ignore `user_id` (4.3, 4.5).",
    "Credly's rate limit: a 429 comes on demand only (9).",
)
DOCUMENTED = (
    "Basic authentication with the token as user name, and an empty password (3).",
    "Envelope, list metadata, 50 rows on a page (2).",
    "Required fields, locales and date forms of a badge (4.1); the duplicate rule and duplicate_behavior (4.2).",
    "States and what leads from one to another (4.4); revoke with a reason (4.10); delete (4.11).",
    "Events, and their delivery until a receiver answers 200 (11); OAuth client credentials (3).",
    "Open Badges 2: assertion with an unsalted hash, class, issuer (12).",
)


def _page(request: Request, name: str, **context: Any) -> HTMLResponse:
    return _templates.TemplateResponse(request, name, context)


@router.get("/", include_in_schema=False)
async def overview(request: Request) -> HTMLResponse:
    store: Store = request.app.state.store
    rows = store.all(
        "SELECT o.id, o.name,"
        " (SELECT count(*) FROM badges b WHERE b.organization_id = o.id AND b.deleted = 0) AS badges,"
        " (SELECT count(*) FROM templates t WHERE t.organization_id = o.id) AS templates"
        " FROM organizations o ORDER BY name"
    )
    return _page(request, "overview.html", organizations=rows)


@router.get("/organizations/{organization_id}", include_in_schema=False)
async def organization(request: Request, organization_id: str, page: int = 1) -> HTMLResponse:
    store: Store = request.app.state.store
    row = store.organization(organization_id)
    if row is None:
        raise ApiError(404, "No such organization.")
    counted = store.one("SELECT count(*) AS n FROM badges WHERE organization_id = ? AND deleted = 0", organization_id)
    total = int(counted["n"]) if counted else 0
    pages = max(1, -(-total // _PER_PAGE))
    page = min(max(page, 1), pages)
    rows = store.all(
        "SELECT b.*, t.name AS template FROM badges b JOIN templates t ON t.id = b.template_id"
        " WHERE b.organization_id = ? AND b.deleted = 0 ORDER BY b.sequence DESC LIMIT ? OFFSET ?",
        organization_id,
        _PER_PAGE,
        (page - 1) * _PER_PAGE,
    )
    shown = [row | {"masked": mask_address(row["recipient_email"]), "earner": initials(row)} for row in rows]
    return _page(request, "organization.html", organization=row, badges=shown, total=total, page=page, pages=pages)


@router.get("/badges/{badge_id}", include_in_schema=False)
@router.get("/badges/{badge_id}/accept", include_in_schema=False)
async def badge(request: Request, badge_id: str) -> HTMLResponse:
    store: Store = request.app.state.store
    row = store.badge(badge_id)
    if row is None:
        raise ApiError(404, "No such badge.")
    evidence = [
        # No link of another scheme: `javascript:` would run in the browser of whoever clicks on it.
        entry | {"link": entry.get("value") if _is_link(entry.get("value")) else None}
        for entry in json.loads(row["evidence"])
    ]
    return _page(
        request,
        "badge.html",
        badge=row,
        masked=mask_address(row["recipient_email"]),
        template=store.template(row["template_id"]) or {"name": ""},
        organization=store.organization(row["organization_id"]) or {"name": ""},
        issued_on=_written_out(row["issued_at"]),
        expires_on=_written_out(row["expires_at"]) if row["expires_at"] else None,
        evidence=evidence,
    )


@router.get("/assumptions", include_in_schema=False)
async def assumptions(request: Request) -> HTMLResponse:
    assumed: Assumptions = request.app.state.assumed
    rows = [
        {"name": name, "value": getattr(assumed, name), "default": field.default, "description": field.description}
        for name, field in Assumptions.model_fields.items()
    ]
    return _page(request, "assumptions.html", assumed=rows, documented=DOCUMENTED, missing=MISSING)


@router.get("/images/{template_id}.svg", include_in_schema=False)
async def image(template_id: str) -> Response:
    hue = int(hashlib.sha256(template_id.encode()).hexdigest()[:4], 16) % 360
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" role="img" aria-label="Badge">'
        f'<path d="M50 3 91 26v48L50 97 9 74V26z" fill="hsl({hue} 45% 38%)"/>'
        f'<path d="M50 12 83 31v38L50 88 17 69V31z" fill="none" stroke="hsl({hue} 60% 88%)" stroke-width="2"/>'
        f'<path d="m50 28 6 15 16 1-12 11 4 16-14-9-14 9 4-16-12-11 16-1z" fill="hsl({hue} 60% 92%)"/></svg>'
    )
    return Response(svg, media_type="image/svg+xml")


def mask_address(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain[:1]}…"


def initials(row: Row) -> str:
    return "".join(f"{name[:1]}." for name in (row["first_name"], row["last_name"]) if name)


def _is_link(value: object) -> bool:
    return isinstance(value, str) and value.lower().startswith(("http://", "https://"))


def _written_out(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%-d %B %Y, %H:%M:%S UTC")
