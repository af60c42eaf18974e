"""The form of replies: badges, templates, organizations, envelopes and errors, written from the API notes.

Nothing is shared with the client: a wrong field name in shared types would pass every test.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from credly.standin.settings import Assumptions
from credly.standin.store import Row, Store

PER_PAGE = 50
Json = dict[str, Any]


class ApiError(Exception):
    """An error reply: status, message, the attributes of a validation, the position of the bad entry of a batch."""

    error_index: int | None = None

    def __init__(self, status: int, message: str, *, errors: Json | None = None, metadata: Json | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.errors, self.metadata = status, message, errors, metadata


def error_reply(error: ApiError) -> JSONResponse:
    """Return an error in the envelope; its metadata is null, as in live replies."""
    payload: Json = {"message": error.message}
    if error.errors:
        payload["errors"] = [
            {"attribute": name, "attribute_label": name.replace("_", " ").capitalize(), "messages": [text]}
            for name, text in error.errors.items()
        ]
    if error.error_index is not None:
        payload["error_index"] = error.error_index
    return JSONResponse({"data": payload, "metadata": error.metadata}, error.status)


def single(data: Json, *, status: int = 200) -> JSONResponse:
    return JSONResponse({"data": data, "metadata": {}}, status)


def page_reply(request: Request, rows: Sequence[Json], *, page: int, total: int, prefix: str) -> Response:
    """Return one page of a list with its full metadata; addresses of pages are absolute."""
    pages = max(1, -(-total // PER_PAGE))
    metadata = {
        "count": len(rows),
        "current_page": page,
        "total_count": total,
        "total_pages": pages,
        "per": PER_PAGE,
        "previous_page_url": _page_url(request, page - 1, prefix) if page > 1 else None,
        "next_page_url": _page_url(request, page + 1, prefix) if page < pages else None,
    }
    return JSONResponse({"data": list(rows), "metadata": metadata})


def _page_url(request: Request, page: int, prefix: str) -> str:
    query = [(key, value) for key, value in request.query_params.multi_items() if key != "page"]
    return f"{absolute(request, prefix)}?{urlencode([*query, ('page', str(page))])}"


def absolute(request: Request, prefix: str) -> str:
    # Live replies have /api/v1 in their addresses whatever path was called (2).
    path = request.url.path.removeprefix("/api").removeprefix("/v1")
    return f"{str(request.base_url).rstrip('/')}{prefix}{path}"


def badge_json(store: Store, row: Row, root: str, assumed: Assumptions, *, minimal: bool = False) -> Json:
    """Return a badge as Credly writes it (4.3), or in the minimal form of the bulk read (4.7)."""
    address = ("https://www.credly.com" if assumed.real_badge_urls else root) + f"/badges/{row['id']}"
    names = [row["first_name"], row["middle_name"], row["last_name"]]
    head: Json = {
        "id": row["id"],
        "issued_to": " ".join(name for name in names if name),
        "issued_to_first_name": row["first_name"],
        "issued_to_last_name": row["last_name"],
        "issuer_earner_id": row["issuer_earner_id"],
        "public": bool(row["public"]),
        "recipient_email": row["recipient_email"],
        "state": row["state"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "issued_at": row["issued_at"],
        "expires_at": row["expires_at"],
        "state_updated_at": row["state_updated_at"],
    }
    template = store.template(row["template_id"]) or {}
    if row["state"] == "accepted":  # before, there is no public page (4.3)
        head["badge_url"] = address
    if minimal:
        return head | {"badge_template": {"id": row["template_id"], "name": template.get("name")}, "user": {"id": None}}
    if row["state"] == "pending":
        head["accept_badge_url"] = f"{address}/accept"
    return head | _details(store, row, template, root, assumed)


def _details(store: Store, row: Row, template: Row, root: str, assumed: Assumptions) -> Json:
    organization = store.organization(row["organization_id"]) or {"id": row["organization_id"], "name": ""}
    full_template = template_json(store, template, root) if template else {}
    details: Json = {
        "issued_to_middle_name": row["middle_name"],
        "locale": row["locale"],
        "suppress_badge_notification_email": bool(row["suppressed"]),
        "issued_at_date": row["issued_at"][:10],
        "expires_at_date": row["expires_at"][:10] if row["expires_at"] else None,
        "replacement_badge_id": row["replacement_badge_id"],
        "replaces_badge_id": row["replaces_badge_id"],
        "revocation_reason": row["revocation_reason"],
        "country": row["country"],
        "country_code": row["country"] if row["country"] and len(row["country"]) == 2 else None,
        "state_or_province": row["state_or_province"],
        "user": {},
        "created_by": {"type": "User", "id": None, "name": "Stand-in", "url": root, "vanity_url": root},
        "issuer": _issuer(organization, root),
        "badge_template": full_template,
        "image": full_template.get("image"),
        "image_url": full_template.get("image_url"),
        "alignments": [],
        "evidence": json.loads(row["evidence"]),
        "printing_enabled": False,
        "print_method": None,
    }
    return details | ({"invented_field": {"of": "the stand-in"}} if assumed.extra_fields else {})


def _issuer(organization: Row, root: str) -> Json:
    entity = {
        "type": "Organization",
        "id": organization["id"],
        "name": organization["name"],
        "url": f"{root}/organizations/{organization['id']}",
        "vanity_url": f"{root}/organizations/{organization['id']}",
        "verified": False,
    }
    entities = [{"label": "Issued by", "primary": True, "entity": entity}]
    return {"summary": f"issued by {organization['name']}", "entities": entities}


def template_json(store: Store, row: Row, root: str) -> Json:
    """Return a badge template as Credly writes it (6)."""
    body = json.loads(row["body"])
    organization = store.organization(row["organization_id"]) or {"name": ""}
    image = f"{root}/images/{row['id']}.svg"
    own: Json = {
        "id": row["id"],
        "name": row["name"],
        "description": body.get("description", "An invented badge template of the stand-in."),
        "state": row["state"],
        "public": True,
        "visibility": "public",
        "allow_duplicate_badges": bool(row["allow_duplicate_badges"]),
        "recipient_type": "User",
        "type_category": body.get("type_category", "Learning"),
        "level": body.get("level", "Foundational"),
        "cost": "Free",
        "vanity_slug": body.get("vanity_slug", row["id"]),
        "badges_count": _badges_count(store, row["id"]),
        "default_expires_at": row["default_expires_at"],
        "global_activity_url": f"{root}/organizations/{row['organization_id']}",
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "image": {"id": row["id"], "url": image},
        "image_url": image,
        "url": f"{root}/organizations/{row['organization_id']}",
        "owner": {
            "type": "Organization",
            "id": row["organization_id"],
            "name": organization["name"],
            "url": f"{root}/v1/organizations/{row['organization_id']}",
            "vanity_url": f"{root}/organizations/{row['organization_id']}",
        },
        "skills": skills_of(row),
        "reporting_tags": reporting_tags_of(row),
        "alignments": [],
        "recommendations": [],
        "required_badge_templates": [],
        "badge_template_activities": [],
        "variants_allowed": False,
    }
    return own


def skills_of(row: Mapping[str, Any]) -> list[str]:
    return list(json.loads(row["body"]).get("skills", ("Invention", "Standing in", "Patience")))


def reporting_tags_of(row: Mapping[str, Any]) -> list[str]:
    return list(json.loads(row["body"]).get("reporting_tags", ()))


def _badges_count(store: Store, template_id: str) -> int:
    row = store.one("SELECT badges AS n FROM badges_counts WHERE template_id = ?", template_id)
    return int(row["n"]) if row else 0


def organization_json(row: Row, root: str) -> Json:
    body = json.loads(row["body"])
    return {
        "id": row["id"],
        "name": row["name"],
        "bio": "An invented organization of a stand-in of Credly.",
        "website_url": f"{root}/organizations/{row['id']}",
        "webhook_url": body.get("webhook_url"),
        "contact_email": "nobody@example.org",
        "vanity_slug": row["id"],
        "vanity_url": f"{root}/organizations/{row['id']}",
        "verified": False,
        "photo": {"id": None, "url": None},
        "photo_url": None,
    }


def token_json(row: Row, root: str) -> Json:
    flags = {name: bool(row[name]) for name in ("read_enabled", "write_enabled", "delete_enabled")}
    return {
        "id": row["id"],
        "token": row["token"],
        "owner_id": row["organization_id"],
        "description": row["description"],
        **flags,
        "created_at": row["created_at"],
        "expires_at": row["expires_at"],
        "owner": {"type": "Organization", "id": row["organization_id"], "name": None, "url": root},
    }
