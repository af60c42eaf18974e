"""An invented platform of any size, and the matching seed of the stand-in."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import Connection, insert

from models.database import Database
from models.migrate import create_platform_tables, migrate
from models.platform.tables import Achievement, AchievementAward, Company, Portal, Project, User, UserEmail
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table

FASTEST = 1000.0  # calls a second: as good as no limit
_PORTION = 5000


def invented_id(kind: str, number: int) -> str:
    return str(uuid5(NAMESPACE_URL, f"https://laurel.example.org/bench/{kind}/{number}"))


def token(number: int) -> str:
    return f"invented-token-{number}"


def block(number: int) -> str:
    return f"bench-{number}"


def seed(organizations: int) -> dict[str, list[dict[str, Any]]]:
    """Return what the stand-in starts with: so many organizations, with a token and a template each."""
    each = range(organizations)
    return {
        "organizations": [{"id": invented_id("organization", n), "name": f"Organization {n}"} for n in each],
        "tokens": [{"token": token(n), "organization_id": invented_id("organization", n)} for n in each],
        "templates": [
            {"id": invented_id("template", n), "organization_id": invented_id("organization", n), "state": "active"}
            for n in each
        ],
    }


async def make_tables(database: Database) -> None:
    await create_platform_tables(database)
    await migrate(database)


async def fill(
    database: Database, *, due: list[int], base_url: str, calls_per_second: float = FASTEST, prefix: str = "user"
) -> None:
    """Make a platform with as many due awards for each organization as the list says, one for each user."""
    await make_tables(database)
    await database.write(_fill, due, base_url=base_url, pace=calls_per_second, prefix=prefix)


def _fill(connection: Connection, due: list[int], *, base_url: str, pace: float, prefix: str) -> None:
    moment = datetime.now(UTC)
    _put(connection, Company, [{"id": "acme", "name": "Acme", "url": "https://acme.example.org"}])
    _put(connection, Project, [{"id": "bridge", "name": "Bridge", "url": "https://bridge.example.org"}])
    for number, awards in enumerate(due):
        _put_portal(connection, number, base_url=base_url, pace=pace, moment=moment)
        _put_awards(connection, number, awards=awards, prefix=prefix, moment=moment)


def _put_portal(connection: Connection, number: int, *, base_url: str, pace: float, moment: datetime) -> None:
    portal, achievement = f"portal-{number}", f"achievement-{number}"
    _put(connection, Portal, [{"id": portal, "name": f"Portal {number}", "url": "https://portal.example.org"}])
    _put(connection, Achievement, [{"id": achievement, "portal_id": portal, "name": "Bench"}])
    link = {
        "portal_id": portal,
        "organization_id": invented_id("organization", number),
        "token_block": block(number),
        "base_url": base_url,
        "calls_per_second": pace,
        "connected_at": moment,
    }
    _put(connection, CredlyConnection, [link])
    settings = CredlyIntegration(
        achievement_id=achievement,
        badge_template_id=invented_id("template", number),
        enabled_at=moment - timedelta(days=365),
        user_evidence=True,
        company_evidence=True,
        project_evidence=True,
        portal_evidence=True,
    )
    _put(connection, CredlyIntegration, [settings.model_dump(exclude={"id"})])


def _put_awards(connection: Connection, number: int, *, awards: int, prefix: str, moment: datetime) -> None:
    for start in range(0, awards, _PORTION):
        keys = [f"{prefix}-{number}-{each}" for each in range(start, min(start + _PORTION, awards))]
        profile = "https://platform.example.org/people/"
        users = [{"id": key, "first_name": "Ada", "last_name": key, "profile_url": profile + key} for key in keys]
        emails = [{"id": key, "user_id": key, "address": f"{key}@example.org", "is_primary": True} for key in keys]
        rows = [
            {
                "id": key,
                "achievement_id": f"achievement-{number}",
                "user_id": key,
                "awarded_at": moment - timedelta(seconds=60 + start + place),
                "company_id": "acme",
                "project_id": "bridge",
            }
            for place, key in enumerate(keys)
        ]
        for model, of_table in ((User, users), (UserEmail, emails), (AchievementAward, rows)):
            _put(connection, model, of_table)


def _put(connection: Connection, model: Any, rows: list[dict[str, Any]]) -> None:
    connection.execute(insert(table(model)), rows)
