"""The demo's invented platform without awards, and its Credly organizations at a stand-in: a place to set things up."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert

from demo.credly_data import invented_id, settings_rows
from demo.platform_data import platform_rows
from models.migrate import create_platform_tables, migrate
from models.platform.tables import AchievementAward, Portal
from models.setup.tables import CredlyConnection
from models.tables import table
from tests.support.world import World


class Academy(World):
    """The demo's portals, achievements and users. Each test takes an achievement that no other test takes."""

    async def build(self) -> None:
        await create_platform_tables(self.database)
        await migrate(self.database)
        moment = datetime.now(UTC)
        platform = platform_rows(now=moment)
        del platform[AchievementAward]
        connections = settings_rows(now=moment, base_url=self.base_url)[CredlyConnection]
        for model, rows in (platform | {CredlyConnection: connections}).items():
            await self.do(insert(table(model)).values(rows))

    async def enable(self, achievement_id: str = "", **changes: Any) -> None:
        await super().enable(achievement_id, badge_template_id=template_of(achievement_id), **changes)

    async def award(self, user_id: str, *, achievement_id: str = "", **changes: Any) -> str:
        return await super().award(user_id, achievement_id=achievement_id, **changes)

    async def rename_portal(self, portal_id: str, name: str) -> None:
        await self.change(Portal, portal_id, name=name)


def template_of(achievement_id: str) -> str:
    """Return the id of the achievement's badge template at the stand-in."""
    return invented_id("template", achievement_id)
