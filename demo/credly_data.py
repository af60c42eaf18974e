"""The invented platform's side at Credly: organizations, tokens and templates for the stand-in, and the settings.

Tokens are invented and only good for a stand-in; they reach Prefect as Secret blocks, never the database.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from models.base import Model
from models.setup.tables import CredlyConnection, CredlyIntegration

Row = dict[str, Any]

ORGANIZATIONS = {
    "portal-northwind": "Northwind Academy",
    "portal-harbour": "Harbour Skills",
    "portal-meridian": "Méridien",
}
# Known to Credly, and no portal is connected to it: for trying out how one is connected.
TO_CONNECT = {"portal-lumen": "Lumen Campus"}
ENABLED_BEFORE = timedelta(days=31)
CALLS_PER_SECOND = 1000.0  # the stand-in is on this machine; Credly is asked far less often
ARCHIVED = "achievement-archive-skills"

NO_EVIDENCE: Row = {
    f"{kind}_evidence{part}": default
    for kind in ("user", "company", "project", "portal")
    for part, default in (("", False), ("_name", ""), ("_description", ""))
}
EVERYTHING = {
    "user_evidence": True,
    "company_evidence": True,
    "project_evidence": True,
    "portal_evidence": True,
}
# achievement, the template's name at Credly, evidence settings
INTEGRATIONS: tuple[tuple[str, str, Row], ...] = (
    ("achievement-forklift", "Forklift Operation, Level 2", EVERYTHING),
    (
        "achievement-first-aid",
        "First Aid at Work",
        {
            "portal_evidence": True,
            "portal_evidence_name": "Where it was learned",
            "portal_evidence_description": "Eight hours in the classroom, four on the floor.",
        },
    ),
    ("achievement-warehouse-lead", "Warehouse Team Lead", {"user_evidence": True, "company_evidence": True}),
    ("achievement-crane", "Crane Signalling", {}),
    (
        "achievement-customs",
        "Customs & Documents",
        {
            "company_evidence": True,
            "company_evidence_name": "Employer at the time of the examination",
            "project_evidence": True,
            "project_evidence_description": "Documents prepared for this project.",
        },
    ),
    (
        "achievement-data-stories",
        "Raconter les données",
        EVERYTHING
        | {
            "user_evidence_name": "Profil de la personne",
            "project_evidence_name": "Projet réalisé",
            "project_evidence_description": "Présenté devant un jury.",
        },
    ),
    ("achievement-mentoring", "Mentoring", {"suppress_notification": True}),
    (ARCHIVED, "Archivistique, 1re partie", {"portal_evidence": True}),
    ("achievement-lighting", "Stage Lighting", {"user_evidence": True}),
)

# Active at Credly, and the achievement has no integration: for trying out how one is enabled.
NOT_ENABLED = ("achievement-welcome", "Welcome on Board")


def invented_id(kind: str, key: str) -> str:
    # A UUID as Credly's, but the same in every demo.
    return str(uuid5(NAMESPACE_URL, f"https://laurel.example.org/{kind}/{key}"))


def token_block(portal_id: str) -> str:
    return f"credly-{portal_id.removeprefix('portal-')}"


def invented_token(portal_id: str) -> str:
    return f"invented-token-{portal_id.removeprefix('portal-')}"


def tokens() -> dict[str, str]:
    return {token_block(portal): invented_token(portal) for portal in ORGANIZATIONS}


def credly_seed(portal_of_achievement: dict[str, str]) -> dict[str, list[Row]]:
    """Return what the stand-in starts with, in the form of its seed file."""
    organizations = ORGANIZATIONS | TO_CONNECT
    return {
        "organizations": [{"id": invented_id("organization", p), "name": name} for p, name in organizations.items()],
        "tokens": [
            {
                "token": invented_token(portal),
                "organization_id": invented_id("organization", portal),
                "read_enabled": True,
                "write_enabled": True,
                "delete_enabled": False,
            }
            for portal in organizations
        ],
        "templates": [
            {
                "id": invented_id("template", achievement),
                "organization_id": invented_id("organization", portal_of_achievement[achievement]),
                "name": name,
                "description": f"Given for: {name}.",
                "state": "archived" if achievement == ARCHIVED else "active",
                "allow_duplicate_badges": False,
            }
            for achievement, name in (*(each[:2] for each in INTEGRATIONS), NOT_ENABLED)
            if portal_of_achievement[achievement] in organizations
        ],
    }


def settings_rows(*, now: datetime, base_url: str) -> dict[type[Model], list[Row]]:
    """Return the rows of connections and integrations, made a little before the first award."""
    enabled_at = now - ENABLED_BEFORE
    return {
        CredlyConnection: [
            {
                "portal_id": portal,
                "organization_id": invented_id("organization", portal),
                "token_block": token_block(portal),
                "base_url": base_url,
                "calls_per_second": CALLS_PER_SECOND,
                "connected_at": enabled_at,
            }
            for portal in ORGANIZATIONS
        ],
        CredlyIntegration: [
            {
                "achievement_id": achievement,
                "badge_template_id": invented_id("template", achievement),
                "enabled_at": enabled_at,
                "suppress_notification": False,
                **NO_EVIDENCE,
                **evidence,
            }
            for achievement, _, evidence in INTEGRATIONS
        ],
    }
