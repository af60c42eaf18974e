"""The platform's part of an issuance's facts: the award, the user, and the sources of evidence."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, bindparam, select

from models.by_key import Value
from models.columns import FIRST, is_malformed, within_python_range
from models.platform.awards import not_withdrawn, rows_of_pairs, withdrawn
from models.platform.isolation import Budget, Unreadable, is_isolating, rows_by_key, savepoint
from models.platform.people import PRIMARY_ADDRESSES
from models.platform.tables import Achievement, AchievementAward, Company, Portal, Project, User
from models.tables import table
from rules.badge.evidence import EvidenceKind, EvidenceSource
from rules.badge.issuance_data import IssuanceFacts
from rules.badge.text import sent_names, tidy
from rules.ledger.erasure import is_erased
from rules.ledger.states import NO_MOMENT

awards = table(AchievementAward)
achievements = table(Achievement)
users = table(User)
_EXAMPLES = 20  # awards that are looked through for one of a user who was not erased


@dataclass(frozen=True, kw_only=True)
class LatestAward:
    """An award that is not withdrawn, and the portal of its achievement."""

    award_id: str
    achievement_id: str
    user_id: str
    portal_id: str
    awarded_at: datetime


def complete(connection: Connection, known: Sequence[IssuanceFacts], *, now: datetime) -> list[IssuanceFacts]:
    """Add the platform's part to the facts, at `now` (UTC)."""
    # A view may return a key or a primary address twice: the first row counts, so that no user gets two badges.
    found_awards = _awards(connection, known, now)
    known = [_with_award(each, found_awards.get(each.award_id), now) for each in known]
    user_ids = {each.user_id for each in known}
    found = _PlatformRows(
        users=rows_by_key(connection, _USERS, user_ids),
        addresses=rows_by_key(connection, PRIMARY_ADDRESSES, user_ids),
        companies=rows_by_key(connection, _COMPANIES, (each.company_id for each in known)),
        projects=rows_by_key(connection, _PROJECTS, (each.project_id for each in known)),
        portals=rows_by_key(connection, _PORTALS, (each.portal_id for each in known)),
    )
    return [_with_person(each, found) for each in known]


def _awards(connection: Connection, known: Sequence[IssuanceFacts], now: datetime) -> dict[Any, Any]:
    if not is_isolating(connection):
        return rows_by_key(connection, _AWARDS, (each.award_id for each in known), now=now)
    keys = sorted({(each.achievement_id, each.user_id) for each in known if each.award_id is not None})
    rows, _ = rows_of_pairs(connection, _OF_AWARD, keys, now=now, budget=Budget())
    return {row.id: row for row in reversed(rows)}


def latest_award(
    connection: Connection, achievement_id: str, *, now: datetime, erased: Collection[str] = ()
) -> LatestAward | None:
    """Return the achievement's latest award up to `now` (UTC) that is not withdrawn, if its awards can be read.

    Not of users with these digests. An award whose moment cannot be used is none, as it is never issued.
    """
    query = (
        select(
            awards.c.id.label("award_id"),
            awards.c.achievement_id,
            awards.c.user_id,
            achievements.c.portal_id,
            within_python_range(awards.c.awarded_at).label("awarded_at"),
        )
        .join(achievements, achievements.c.id == awards.c.achievement_id)
        .where(
            awards.c.achievement_id == achievement_id,
            awards.c.awarded_at.between(FIRST, now),
            ~is_malformed(awards.c.awarded_at),
            not_withdrawn(now),
        )
        .order_by(awards.c.awarded_at.desc(), awards.c.id)
        .limit(_EXAMPLES)
    )
    try:
        with savepoint(connection):
            rows = connection.execute(query).all()
    except Unreadable:
        return None
    usable = (row for row in rows if row.user_id is not None and not is_erased(row.user_id, erased))
    return next((LatestAward(**row._mapping) for row in usable), None)


@dataclass(frozen=True, kw_only=True)
class _PlatformRows:
    users: dict[Any, Any]
    addresses: dict[Any, Any]
    companies: dict[Any, Any]
    projects: dict[Any, Any]
    portals: dict[Any, Any]


def _with_award(known: IssuanceFacts, award: Any, now: datetime) -> IssuanceFacts:
    if award is None:
        return known
    # The award's own values take precedence over those of a manual request, but for a moment that has not come.
    has_come = award.awarded_at is not None and award.awarded_at <= now
    awarded_at = _coalesce(award.awarded_at if has_come else None, known.awarded_at, award.awarded_at)
    return replace(
        known,
        # None: the moment of the withdrawal cannot be read.
        awarded_at=NO_MOMENT if award.malformed or award.withdrawn is None else awarded_at,
        award_withdrawn=bool(award.withdrawn),
        company_id=_coalesce(award.company_id, known.company_id),
        project_id=_coalesce(award.project_id, known.project_id),
    )


def _coalesce(*values: Value | None) -> Value | None:
    return next((value for value in values if value is not None), None)


def _with_person(known: IssuanceFacts, found: _PlatformRows) -> IssuanceFacts:
    user, address = found.users.get(known.user_id), found.addresses.get(known.user_id)
    first_name, last_name, profile = (user.first_name, user.last_name, user.profile_url) if user else (None,) * 3
    full_name = tidy(" ".join(sent_names(first_name, last_name)))
    return replace(
        known,
        user_exists=user is not None,
        first_name=first_name,
        last_name=last_name,
        email=address.address if address else None,
        sources={
            EvidenceKind.USER: EvidenceSource(name=full_name, link=profile),
            EvidenceKind.COMPANY: _source(found.companies.get(known.company_id)),
            EvidenceKind.PROJECT: _source(found.projects.get(known.project_id)),
            EvidenceKind.PORTAL: _source(found.portals.get(known.portal_id)) or EvidenceSource(),
        },
    )


def _source(named: Any) -> EvidenceSource | None:
    return None if named is None else EvidenceSource(name=named.name, link=named.url)


def _select_by(key: ColumnElement[Any], *columns: ColumnElement[Any]) -> Select[Any]:
    return select(key, *columns).where(key.in_(bindparam("keys", expanding=True)))


def _select_names(source: Table) -> Select[Any]:
    return _select_by(source.c.id, source.c.name, source.c.url)


_OF_AWARD = (
    within_python_range(awards.c.awarded_at).label("awarded_at"),
    withdrawn(bindparam("now", type_=awards.c.withdrawn_at.type)).label("withdrawn"),
    is_malformed(awards.c.withdrawn_at).label("malformed"),
    awards.c.company_id,
    awards.c.project_id,
)
_AWARDS = _select_by(awards.c.id, *_OF_AWARD)
_USERS = _select_by(users.c.id, users.c.first_name, users.c.last_name, users.c.profile_url)
_COMPANIES, _PROJECTS, _PORTALS = (
    _select_names(table(Company)),
    _select_names(table(Project)),
    _select_names(table(Portal)),
)
