"""Settings that reach further back are held until what they make due was counted."""

from typing import Any

from models.database import Database
from models.setup import admin as setting_up
from models.setup.tables import CredlyIntegration
from tests.support.factories import ACHIEVEMENT, ENABLED, NOW, TEMPLATE, the_row_of
from tests.support.plans import DAY, HOUR


def reaching(days: int) -> dict[str, Any]:
    return {"badge_template_id": TEMPLATE, "issue_since": ENABLED - days * DAY}


async def held_at(database: Database) -> Any:
    return (await the_row_of(database, CredlyIntegration)).held_at


async def test_who_has_held_an_integration_lets_it_go(ready: Database) -> None:
    before, moved, held = await ready.write(setting_up.enable, ACHIEVEMENT, reaching(1), now=NOW)
    assert (before is not None, moved, held, await held_at(ready)) == (True, 0, True, NOW)

    await ready.write(setting_up.release_own_hold, ACHIEVEMENT, reaching(1), held_at=NOW, now=NOW + HOUR)

    assert await held_at(ready) is None


async def test_who_has_changed_the_settings_meanwhile_keeps_them_held(ready: Database) -> None:
    await ready.write(setting_up.enable, ACHIEVEMENT, reaching(1), now=NOW)
    *_, held = await ready.write(setting_up.enable, ACHIEVEMENT, reaching(30), now=NOW + HOUR)

    await ready.write(setting_up.release_own_hold, ACHIEVEMENT, reaching(1), held_at=NOW, now=NOW + HOUR)

    assert (held, await held_at(ready)) == (False, NOW)


async def test_settings_that_reach_no_further_are_not_held(ready: Database) -> None:
    await ready.write(setting_up.enable, ACHIEVEMENT, reaching(-1), now=NOW)

    assert await held_at(ready) is None
