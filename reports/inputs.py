"""Checks of the input of reports and exports."""

from models.database import Database
from models.platform.names import achievement_names, portal_names
from models.setup.lookups import is_in_ledger, portals_in_ledger
from rules.forms.suggestions import unknown


async def check_portal(database: Database, portal: str) -> None:
    """Check that the platform or the ledger has this portal; an empty text is any portal.

    Raises:
        InvalidInput: there is no such portal; the message suggests near ones.
    """
    if not portal:
        return
    # The ledger as well: the badges of a portal that was removed from the platform can still be reported.
    names = await database.platform.read(portal_names)
    if portal in names or portal in await database.read(portals_in_ledger):
        return
    raise unknown("portal", portal, names)


async def check_achievement(database: Database, achievement: str) -> None:
    """Check that the platform or the ledger has this achievement; an empty text is any achievement.

    Raises:
        InvalidInput: there is no such achievement; the message suggests near ones.
    """
    if not achievement:
        return
    names = await database.platform.read(achievement_names)
    if achievement in names or await database.read(is_in_ledger, achievement):
        return
    raise unknown("achievement", achievement, names)
