"""Links and names on the platform that do not look like plain web addresses and names."""

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, Select, Table, exists, func, or_, select

from models.by_key import portions
from models.platform.tables import Achievement, AchievementAward, Company, Portal, Project, User
from models.tables import table
from rules.badge.evidence import EvidenceKind
from rules.badge.text import SEARCHED

users = table(User)
companies = table(Company)
projects = table(Project)
portals = table(Portal)
achievements = table(Achievement)
awards = table(AchievementAward)

Link = tuple[str, str]
Name = tuple[str, str]


def odd_links_of(
    connection: Connection, kind: EvidenceKind, achievement_ids: Collection[str], *, at_most: int
) -> list[Link]:
    """Return ids and links of this kind of evidence that do not look like web addresses, by id."""
    found: dict[str, str] = {}
    for some in portions(achievement_ids):
        rows = connection.execute(_query(kind, some).limit(at_most))
        found |= {row.id: row.url for row in rows if row.id is not None}
    return sorted(found.items())[:at_most]


def odd_names_of(
    connection: Connection, kind: EvidenceKind, achievement_ids: Collection[str], *, at_most: int
) -> list[Name]:
    """Return ids and names of this kind that may have an oddity (`rules.badge.text.oddities`), by id."""
    on_sqlite = connection.dialect.name == "sqlite"
    found: dict[str, str] = {}
    for some in portions(achievement_ids):
        source, used = _used(kind, some)
        columns = (source.c.first_name, source.c.last_name) if kind is EvidenceKind.USER else (source.c.name,)
        odd = [_may_be_odd(name, on_sqlite=on_sqlite) for name in columns]
        query = select(source.c.id, *columns).where(used, or_(*odd)).order_by(source.c.id).limit(at_most)
        found |= {row[0]: " ".join(filter(None, row[1:])) for row in connection.execute(query) if row[0] is not None}
    return sorted(found.items())[:at_most]


def _may_be_odd(name: ColumnElement[str], *, on_sqlite: bool) -> ColumnElement[bool]:
    matching = [name.op("GLOB")(f"*{each}*") if on_sqlite else name.regexp_match(each) for each in SEARCHED]
    return or_(name.like("%&%;%"), *matching)


def _used(kind: EvidenceKind, achievement_ids: list[str]) -> tuple[Table, ColumnElement[bool]]:
    """Return the table of a kind of evidence, and the condition that an award of these achievements names the row."""
    awarded = awards.c.achievement_id.in_(achievement_ids)
    match kind:
        case EvidenceKind.USER:
            return users, exists().where(awarded, awards.c.user_id == users.c.id)
        case EvidenceKind.COMPANY:
            return companies, exists().where(awarded, awards.c.company_id == companies.c.id)
        case EvidenceKind.PROJECT:
            return projects, exists().where(awarded, awards.c.project_id == projects.c.id)
        case EvidenceKind.PORTAL:
            of_portal = achievements.c.portal_id == portals.c.id
            return portals, exists().where(achievements.c.id.in_(achievement_ids), of_portal)


def _query(kind: EvidenceKind, achievement_ids: list[str]) -> Select[str, str]:
    source, used = _used(kind, achievement_ids)
    url = source.c.profile_url if kind is EvidenceKind.USER else source.c.url
    web = or_(func.lower(url).like("http://_%"), func.lower(url).like("https://_%"))
    odd = or_(~web, url.like("% %"), url.like("%@%"))
    query = select(source.c.id.label("id"), url.label("url")).where(url.is_not(None), url != "", odd)
    return query.where(used).order_by(source.c.id)
