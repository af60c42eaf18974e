"""Open Badges 2: assertion, class and issuer from the same data, without authentication (12)."""

import hashlib
import json
from typing import Any

from fastapi import APIRouter, Request

from credly.standin.store import Row, Store
from credly.standin.wire import ApiError, organization_json

router = APIRouter(prefix="/obi/v2")
CONTEXT = "https://w3id.org/openbadges/v2"


def _or_404(row: Row | None) -> Row:
    if row is None:
        raise ApiError(404, "Resource not found.")
    return row


def _base(request: Request) -> str:
    return f"{str(request.base_url).rstrip('/')}/api/v1/obi/v2"


def _class_address(request: Request, template: Row) -> str:
    return f"{_base(request)}/issuers/{template['organization_id']}/badge_classes/{template['id']}"


@router.get("/badge_assertions/{badge_id}")
async def assertion(request: Request, badge_id: str) -> dict[str, Any]:
    """Return a badge as an Open Badges assertion; 410 for a revoked one, 404 while pending or private (assumed)."""
    store: Store = request.app.state.store
    row = _or_404(store.badge(badge_id))
    if row["state"] == "revoked":
        raise ApiError(410, "This badge has been revoked.")
    if row["state"] != "accepted" or not row["public"]:
        raise ApiError(404, "Resource not found.")
    template = _or_404(store.template(row["template_id"]))
    identity = hashlib.sha256(row["recipient_email"].lower().encode()).hexdigest()
    evidence = [
        {
            "id": entry.get("value") or entry.get("id"),
            "name": entry.get("name") or entry.get("title"),
            "description": entry.get("description"),
            "genre": entry.get("type"),
            "type": "Evidence",
        }
        for entry in json.loads(row["evidence"])
    ]
    return {
        "@context": CONTEXT,
        "type": "Assertion",
        "id": f"{_base(request)}/badge_assertions/{badge_id}",
        "badge": _class_address(request, template),
        "issuedOn": row["issued_at"],
        **({"expires": row["expires_at"]} if row["expires_at"] else {}),
        "evidence": evidence,
        "recipient": {"type": "email", "hashed": True, "identity": f"sha256${identity}"},
        "verification": {"type": "hosted"},
    }


@router.get("/badge_classes/{template_id}")
@router.get("/issuers/{organization_id}/badge_classes/{template_id}")
async def badge_class(request: Request, template_id: str, organization_id: str | None = None) -> dict[str, Any]:
    store: Store = request.app.state.store
    row = _or_404(store.template(template_id))
    if organization_id not in (None, row["organization_id"]):
        raise ApiError(404, "Resource not found.")
    return {
        "@context": CONTEXT,
        "type": "BadgeClass",
        "id": _class_address(request, row),
        "name": row["name"],
        "description": json.loads(row["body"]).get("description", ""),
        "image": f"{str(request.base_url).rstrip('/')}/images/{template_id}.svg",
        "criteria": {"narrative": "Invented."},
        "issuer": f"{_base(request)}/issuers/{row['organization_id']}",
    }


@router.get("/issuers/{organization_id}")
async def issuer(request: Request, organization_id: str) -> dict[str, Any]:
    store: Store = request.app.state.store
    row = _or_404(store.organization(organization_id))
    shown = organization_json(row, str(request.base_url).rstrip("/"))
    return {
        "@context": CONTEXT,
        "type": "Issuer",
        "id": f"{_base(request)}/issuers/{organization_id}",
        "name": shown["name"],
        "url": shown["website_url"],
        "email": shown["contact_email"],
    }
