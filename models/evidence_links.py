"""Links that may become evidence and look odd, before a badge is sent without them."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.integrations import CredlyIntegration
from models.platform.tables import Achievement, AchievementAward, Company, Portal, Project, User
from models.tables import table
from rules.evidence import EvidenceKind

users = table(User)
companies = table(Company)
projects = table(Project)
portals = table(Portal)
achievements = table(Achievement)
awards = table(AchievementAward)
integrations = table(CredlyIntegration)

AT_MOST = 1000
Link = tuple[str, str]


async def odd_links(connection: AsyncConnection, kind: EvidenceKind) -> Sequence[Link]:
    """Return ids and links of this kind that some integration sends and that do not look like plain web addresses.

    At most `AT_MOST`; whether one is really unusable is for `rules.evidence.fault_of_link` to say.
    """
    found = await connection.execute(_query(kind).limit(AT_MOST))
    return [(row.id, row.url) for row in found]


def _query(kind: EvidenceKind) -> Select[str, str]:
    match kind:
        case EvidenceKind.USER:
            return _odd(users.c.id, users.c.profile_url).where(_sent(integrations.c.user_evidence, user=True))
        case EvidenceKind.COMPANY:
            used = and_(awards.c.company_id == companies.c.id, integrations.c.company_evidence)
            return _odd(companies.c.id, companies.c.url).where(_on_award(used))
        case EvidenceKind.PROJECT:
            used = and_(awards.c.project_id == projects.c.id, integrations.c.project_evidence)
            return _odd(projects.c.id, projects.c.url).where(_on_award(used))
        case EvidenceKind.PORTAL:
            return _odd(portals.c.id, portals.c.url).where(_sent(integrations.c.portal_evidence, user=False))


def _odd(key: ColumnElement[str], url: ColumnElement[str]) -> Select[str, str]:
    web = or_(func.lower(url).like("http://_%"), func.lower(url).like("https://_%"))
    odd = or_(~web, url.like("% %"), url.like("%@%"))
    return select(key.label("id"), url.label("url")).where(url.is_not(None), url != "", odd).order_by(key)


def _sent(switched_on: ColumnElement[bool], *, user: bool) -> ColumnElement[bool]:
    if user:
        return _on_award(and_(awards.c.user_id == users.c.id, switched_on))
    of_portal = and_(
        achievements.c.id == integrations.c.achievement_id, achievements.c.portal_id == portals.c.id, switched_on
    )
    return exists().where(of_portal)


def _on_award(used: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(awards.c.achievement_id == integrations.c.achievement_id, used)
