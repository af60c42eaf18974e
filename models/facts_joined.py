"""Facts of issuances by one join over ledger and platform, for the callers that models/facts.py does not serve yet.

Name, address and links are read here and not when the issuance was planned, so a correction made in between
reaches the badge.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.by_hand import Request, award_is_gone, issuance_of, standing_award
from models.integrations import CredlyConnection, CredlyIntegration
from models.ledger import BadgeIssuance
from models.platform.tables import (
    Achievement,
    AchievementAward,
    Company,
    Portal,
    Project,
    User,
    UserEmail,
)
from models.tables import table
from models.withdrawal import Moment, not_withdrawn, withdrawn
from rules.evidence import EvidenceKind, EvidenceSetting, EvidenceSource
from rules.facts import BadgeOptions, IssuanceFacts
from rules.text import tidy

issuances = table(BadgeIssuance)
awards = table(AchievementAward)
achievements = table(Achievement)
users = table(User)
emails = table(UserEmail)
companies = table(Company)
projects = table(Project)
portals = table(Portal)
integrations = table(CredlyIntegration)
connections = table(CredlyConnection)


def facts_of(connection: Connection, issuance_ids: Sequence[int], *, now: datetime) -> list[IssuanceFacts]:
    """Return what is known of these issuances at `now` (UTC), each once, in the order of their ids.

    Each once also where the platform's tables are views, and show two primary addresses or a key twice: what came
    twice in a batch would be sent twice.
    """
    first: dict[int, Any] = {}
    for row in connection.execute(_of_issuances(), {"ids": issuance_ids, "now": now}):
        first.setdefault(row.id, row)
    return [_facts(row) for row in first.values()]


async def facts_of_owed(
    connection: AsyncConnection, owed: Select[Any], *, now: datetime, limit: int
) -> list[IssuanceFacts]:
    """Return what is known of awards that are not in the ledger yet: for a preview. Their issuance id is 0."""
    rows = owed.order_by("portal_id", "award_id").limit(limit).cte("owed")
    return [_facts(row) for row in await connection.execute(_facts_query(rows, now).order_by(rows.c.award_id))]


async def facts_of_latest_award(
    connection: AsyncConnection, achievement_id: str, *, now: datetime
) -> IssuanceFacts | None:
    """Return what is known of an achievement's latest award, whether or not it is in the ledger: for an example."""
    latest = (
        select(
            awards.c.achievement_id,
            awards.c.user_id,
            achievements.c.portal_id,
            integrations.c.badge_template_id,
            awards.c.id.label("award_id"),
            awards.c.awarded_at,
        )
        .join(achievements, achievements.c.id == awards.c.achievement_id)
        .join(integrations, integrations.c.achievement_id == awards.c.achievement_id)
        .where(awards.c.achievement_id == achievement_id, not_withdrawn(now=now))
        .order_by(awards.c.awarded_at.desc(), awards.c.id)
        .limit(1)
        .cte("latest")
    )
    found = (await connection.execute(_facts_query(latest, now).order_by(emails.c.id))).first()
    return None if found is None else _facts(found)


async def facts_of_wish(connection: AsyncConnection, wish: Request, *, now: datetime) -> IssuanceFacts:
    """Return what is known of a badge that a person asks for, as issuing it now would find it: for a preview."""
    row = await issuance_of(connection, wish)
    award = await standing_award(
        connection,
        achievement_id=wish.achievement_id,
        user_id=wish.user_id,
        now=now,
        preferred=row.award_id if row else None,
    )
    asked_before = row.awarded_at if row and not await award_is_gone(connection, row, now=now) else None
    columns = {
        "achievement_id": wish.achievement_id,
        "user_id": wish.user_id,
        "portal_id": wish.portal_id,
        "badge_template_id": wish.badge_template_id,
        "award_id": award.award_id if award else None,
        "awarded_at": award.awarded_at if award else asked_before,
        "project_id": wish.project_id or (row.project_id if row else None),
        "company_id": wish.company_id or (row.company_id if row else None),
    }
    values = [literal(value, type_=issuances.c[name].type).label(name) for name, value in columns.items()]
    wished = select(*values).cte("wished")
    found = (await connection.execute(_facts_query(wished, now).order_by(emails.c.id))).first()
    if found is None:
        raise AssertionError
    return _facts(found)


_OWN = ("id", "attempts", "unclear_at", "sent_at", "request_fingerprint", "replaces_badge_id")


def _facts_query(ledger: Any, now: Moment) -> Select[Any]:
    """Join the platform's data to rows that look like the ledger's."""
    is_ledger = "id" in ledger.c
    award_of = awards.c.id == ledger.c.award_id
    asked = "company_id" in ledger.c  # by hand, company and project can be given without an award
    company_id = func.coalesce(awards.c.company_id, ledger.c.company_id) if asked else awards.c.company_id
    project_id = func.coalesce(awards.c.project_id, ledger.c.project_id) if asked else awards.c.project_id
    own = [ledger.c[name] for name in _OWN] if is_ledger else []
    return (
        select(
            *own,
            ledger.c.achievement_id,
            ledger.c.user_id,
            ledger.c.portal_id,
            ledger.c.badge_template_id,
            ledger.c.award_id,
            func.coalesce(awards.c.awarded_at, ledger.c.awarded_at).label("award_moment"),
            withdrawn(now=now).label("award_withdrawn"),
            users.c.id.label("found_user_id"),
            users.c.first_name,
            users.c.last_name,
            users.c.profile_url,
            emails.c.address,
            companies.c.id.label("company_id"),
            companies.c.name.label("company_name"),
            companies.c.url.label("company_url"),
            projects.c.id.label("project_id"),
            projects.c.name.label("project_name"),
            projects.c.url.label("project_url"),
            portals.c.name.label("portal_name"),
            portals.c.url.label("portal_url"),
            connections.c.id.label("connection_id"),
            connections.c.missing_name,
            *(column.label(f"i_{column.name}") for column in integrations.c),
        )
        .select_from(ledger)
        .outerjoin(awards, award_of)
        .outerjoin(users, users.c.id == ledger.c.user_id)
        .outerjoin(emails, and_(emails.c.user_id == ledger.c.user_id, emails.c.is_primary))
        .outerjoin(companies, companies.c.id == company_id)
        .outerjoin(projects, projects.c.id == project_id)
        .outerjoin(portals, portals.c.id == ledger.c.portal_id)
        .outerjoin(connections, connections.c.portal_id == ledger.c.portal_id)
        .outerjoin(
            integrations,
            and_(
                integrations.c.achievement_id == ledger.c.achievement_id,
                integrations.c.badge_template_id == ledger.c.badge_template_id,
            ),
        )
    )


@cache
def _of_issuances() -> Select[Any]:
    chosen = issuances.c.id.in_(bindparam("ids", expanding=True))
    now = bindparam("now", type_=awards.c.withdrawn_at.type)
    return _facts_query(issuances, now).where(chosen).order_by(issuances.c.id, emails.c.id)


def _facts(row: Any) -> IssuanceFacts:
    return IssuanceFacts(
        issuance_id=getattr(row, "id", 0),
        achievement_id=row.achievement_id,
        user_id=row.user_id,
        portal_id=row.portal_id,
        badge_template_id=row.badge_template_id,
        award_id=row.award_id,
        connected=row.connection_id is not None,
        attempts=getattr(row, "attempts", 0),
        replaces_badge_id=getattr(row, "replaces_badge_id", None),
        request_fingerprint=getattr(row, "request_fingerprint", None),
        unclear_at=getattr(row, "unclear_at", None),
        sent_at=getattr(row, "sent_at", None),
        awarded_at=row.award_moment,
        integration_exists=row.i_id is not None,
        award_withdrawn=bool(row.award_withdrawn),
        held=row.i_held_at is not None,
        paused=row.i_paused_at is not None,
        user_exists=row.found_user_id is not None,
        first_name=row.first_name,
        last_name=row.last_name,
        email=row.address,
        sources=_sources(row),
        options=_options(row) if row.i_id is not None else BadgeOptions(),
    )


def _sources(row: Any) -> dict[EvidenceKind, EvidenceSource | None]:
    full_name = tidy(f"{tidy(row.first_name)} {tidy(row.last_name)}")
    company = EvidenceSource(name=row.company_name, link=row.company_url)
    project = EvidenceSource(name=row.project_name, link=row.project_url)
    return {
        EvidenceKind.USER: EvidenceSource(name=full_name, link=row.profile_url),
        EvidenceKind.COMPANY: company if row.company_id is not None else None,
        EvidenceKind.PROJECT: project if row.project_id is not None else None,
        EvidenceKind.PORTAL: EvidenceSource(name=row.portal_name, link=row.portal_url),
    }


def _options(row: Any) -> BadgeOptions:
    days = row.i_expires_after_days
    return BadgeOptions(
        evidence={kind: _evidence_setting(row, kind) for kind in EvidenceKind},
        suppress_notification=row.i_suppress_notification,
        locale=row.i_locale,
        expiry=row.i_expiry,
        expires_after=timedelta(days=days) if days is not None else None,
        missing_name=row.missing_name or "",
    )


def _evidence_setting(row: Any, kind: EvidenceKind) -> EvidenceSetting:
    return EvidenceSetting(
        enabled=getattr(row, f"i_{kind}_evidence"),
        static_name=getattr(row, f"i_{kind}_evidence_name"),
        static_description=getattr(row, f"i_{kind}_evidence_description"),
    )
