"""Reads what the requests of a batch need, just before they are sent: from the ledger, then from the platform.

Name, address and links are read here and not during planning, so that corrections made in between reach the badge.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, select

from models.by_key import rows_by_key
from models.columns import within_python_range
from models.database import Database
from models.ledger import claiming
from models.ledger.tables import BadgeIssuance
from models.operations.erasure import erased_digests
from models.platform.badge_data import complete, latest_award
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table
from rules.badge.evidence import EvidenceKind, EvidenceSetting
from rules.badge.issuance_data import BadgeOptions, IssuanceFacts

issuances = table(BadgeIssuance)
integrations = table(CredlyIntegration)
connections = table(CredlyConnection)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A badge without a row in the ledger: in a preview, or of a manual request."""

    achievement_id: str
    user_id: str
    portal_id: str
    badge_template_id: str
    award_id: str | None = None
    awarded_at: datetime | None = None
    company_id: str | None = None
    project_id: str | None = None


async def facts_of(database: Database, issuance_ids: Sequence[int], *, now: datetime) -> list[IssuanceFacts]:
    """Return the facts of these issuances at `now` (UTC), each once, in the order of their ids."""
    return await _completed(database, await database.read(of_issuances, issuance_ids), now=now)


async def facts_of_subjects(database: Database, subjects: Sequence[Subject], *, now: datetime) -> list[IssuanceFacts]:
    """Return the facts of badges that are not in the ledger, in their order. Their issuance id is 0."""
    return await _completed(database, await database.read(_of_subjects, subjects), now=now)


async def facts_of_latest_award(database: Database, achievement_id: str, *, now: datetime) -> IssuanceFacts | None:
    """Return the facts of an achievement's latest award, for an example; it need not be in the ledger."""
    template = await database.read(_template_of, achievement_id)
    erased = await database.read(erased_digests)
    latest = await database.platform.read(latest_award, achievement_id, now=now, erased=erased)
    if template is None or latest is None or latest.achievement_id != achievement_id:
        return None
    subject = Subject(
        achievement_id=achievement_id,
        user_id=latest.user_id,
        portal_id=latest.portal_id,
        badge_template_id=template,
        award_id=latest.award_id,
        awarded_at=latest.awarded_at,
    )
    return (await facts_of_subjects(database, [subject], now=now))[0]


async def _completed(database: Database, known: list[IssuanceFacts], *, now: datetime) -> list[IssuanceFacts]:
    return await database.platform.read(complete, known, now=now) if known else []


def claim_and_read(
    connection: Connection,
    issuance_ids: Sequence[int],
    *,
    token: str,
    now: datetime,
    lease: timedelta,
    ignore_wait: bool = False,
    organization: int | None = None,
) -> list[IssuanceFacts]:
    """Claim those of the issuances that are due (see `claim`) and return the ledger's part of their facts.

    `models.platform.badge_data.complete` adds the platform's part.
    """
    claimed = claiming.claim(
        connection,
        issuance_ids,
        token=token,
        now=now,
        lease=lease,
        ignore_wait=ignore_wait,
        organization=organization,
    )
    return of_issuances(connection, claimed) if claimed else []


def of_issuances(connection: Connection, issuance_ids: Sequence[int]) -> list[IssuanceFacts]:
    """Return the ledger's part of the facts of these issuances, in the order of their ids."""
    return [
        _facts(
            {name: getattr(row, name) for name in _OWN},
            integration=row if row.integration_id is not None and not row.former else None,
            connected=row if row.connection_id is not None else None,
        )
        for row in rows_by_key(connection, _OF_ISSUANCES, issuance_ids).values()
    ]


def _of_subjects(connection: Connection, subjects: Sequence[Subject]) -> list[IssuanceFacts]:
    settings = rows_by_key(connection, _OF_ACHIEVEMENTS, (each.achievement_id for each in subjects))
    connected = rows_by_key(connection, _OF_PORTALS, (each.portal_id for each in subjects))
    found = []
    for each in subjects:
        integration = settings.get(each.achievement_id)
        # The options belong to the template of the integration; a badge of another template has none.
        if integration is not None and integration.badge_template_id != each.badge_template_id:
            integration = None
        own = {"issuance_id": 0, **vars(each)}
        found.append(_facts(own, integration=integration, connected=connected.get(each.portal_id)))
    return found


def _template_of(connection: Connection, achievement_id: str) -> str | None:
    found = rows_by_key(connection, _OF_ACHIEVEMENTS, [achievement_id]).get(achievement_id)
    return found.badge_template_id if found is not None else None


def _facts(own: dict[str, Any], *, integration: Any, connected: Any) -> IssuanceFacts:
    missing_name = connected.missing_name if connected is not None else ""
    return IssuanceFacts(
        **own,
        connected=connected is not None,
        connected_to=(connected.base_url, connected.organization_id) if connected is not None else None,
        present_template_id=integration.present_template_id if integration is not None else None,
        integration_exists=integration is not None,
        held=integration is not None and integration.held_at is not None,
        paused=integration is not None and integration.paused_at is not None,
        options=_options(integration, missing_name) if integration is not None else BadgeOptions(),
    )


def _options(integration: Any, missing_name: str) -> BadgeOptions:
    evidence = {kind: _evidence_setting(integration, kind) for kind in EvidenceKind}
    own = {name: getattr(integration, name) for name in _OPTIONS}
    return BadgeOptions(evidence=evidence, missing_name=missing_name, **own)


def _evidence_setting(integration: Any, kind: EvidenceKind) -> EvidenceSetting:
    return EvidenceSetting(
        enabled=getattr(integration, f"{kind}_evidence"),
        static_name=getattr(integration, f"{kind}_evidence_name"),
        static_description=getattr(integration, f"{kind}_evidence_description"),
    )


_ISSUANCE = [
    issuances.c.id.label("issuance_id"),
    issuances.c.achievement_id,
    issuances.c.user_id,
    issuances.c.portal_id,
    issuances.c.badge_template_id,
    issuances.c.award_id,
    within_python_range(issuances.c.awarded_at).label("awarded_at"),
    issuances.c.company_id,
    issuances.c.project_id,
    issuances.c.attempts,
    issuances.c.reason,
    issuances.c.unclear_at,
    issuances.c.sent_at,
    issuances.c.request_fingerprint,
    issuances.c.replaces_badge_id,
    issuances.c.issued_by,
]
_OWN = [column.name for column in _ISSUANCE]
# Fields of BadgeOptions that are columns of the same name.
_OPTIONS = [field.name for field in fields(BadgeOptions) if field.name in integrations.c]
_INTEGRATION = [
    integrations.c.id.label("integration_id"),
    integrations.c.badge_template_id.label("present_template_id"),
    integrations.c.held_at,
    integrations.c.paused_at,
    *(integrations.c[name] for name in _OPTIONS),
    *(integrations.c[f"{kind}_evidence{part}"] for kind in EvidenceKind for part in ("", "_name", "_description")),
]
_CONNECTION = [connections.c.missing_name, connections.c.base_url, connections.c.organization_id]
_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)
_OF_ISSUANCES = (
    select(*_ISSUANCE, issuances.c.former, connections.c.id.label("connection_id"), *_CONNECTION, *_INTEGRATION)
    .select_from(issuances)
    .outerjoin(connections, connections.c.portal_id == issuances.c.portal_id)
    .outerjoin(integrations, integrations.c.achievement_id == issuances.c.achievement_id)
    .where(issuances.c.id.in_(_KEYS))
    .order_by(issuances.c.id)
)
_OF_ACHIEVEMENTS = select(integrations.c.achievement_id, integrations.c.badge_template_id, *_INTEGRATION).where(
    integrations.c.achievement_id.in_(_KEYS)
)
_OF_PORTALS = select(connections.c.portal_id, *_CONNECTION).where(connections.c.portal_id.in_(_KEYS))
