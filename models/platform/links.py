"""Links on the platform that do not look like plain web addresses."""

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, Select, exists, func, or_, select

from models.by_key import portions
from models.platform.tables import Achievement, AchievementAward, Company, Portal, Project, User
from models.tables import table
from rules.badge.evidence import EvidenceKind

users = table(User)
companies = table(Company)
projects = table(Project)
portals = table(Portal)
achievements = table(Achievement)
awards = table(AchievementAward)

Link = tuple[str, str]


def odd_links_of(
    connection: Connection, kind: EvidenceKind, achievement_ids: Collection[str], *, at_most: int
) -> list[Link]:
    """Return ids and links of this kind of evidence that do not look like web addresses, by id."""
    found: dict[str, str] = {}
    for some in portions(achievement_ids):
        rows = connection.execute(_query(kind, some).limit(at_most))
        found |= {row.id: row.url for row in rows}
    return sorted(found.items())[:at_most]


def _query(kind: EvidenceKind, achievement_ids: list[str]) -> Select[str, str]:
    awarded = awards.c.achievement_id.in_(achievement_ids)
    match kind:
        case EvidenceKind.USER:
            return _odd(users.c.id, users.c.profile_url).where(exists().where(awarded, awards.c.user_id == users.c.id))
        case EvidenceKind.COMPANY:
            used = exists().where(awarded, awards.c.company_id == companies.c.id)
            return _odd(companies.c.id, companies.c.url).where(used)
        case EvidenceKind.PROJECT:
            used = exists().where(awarded, awards.c.project_id == projects.c.id)
            return _odd(projects.c.id, projects.c.url).where(used)
        case EvidenceKind.PORTAL:
            used = exists().where(achievements.c.id.in_(achievement_ids), achievements.c.portal_id == portals.c.id)
            return _odd(portals.c.id, portals.c.url).where(used)


def _odd(key: ColumnElement[str], url: ColumnElement[str]) -> Select[str, str]:
    web = or_(func.lower(url).like("http://_%"), func.lower(url).like("https://_%"))
    odd = or_(~web, url.like("% %"), url.like("%@%"))
    return select(key.label("id"), url.label("url")).where(url.is_not(None), url != "", odd).order_by(key)
