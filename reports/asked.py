"""Checks of what people ask for."""

from models.database import Database
from models.platform.names import portal_names
from models.reporting import portals_in_ledger
from rules.choices import Mistake
from rules.markup import code
from rules.near import did_you_mean


async def check_portal(database: Database, portal: str) -> None:
    """Do nothing if no portal is named, or one that the platform or the ledger has.

    Raises:
        Mistake: there is no such portal; names near ones.
    """
    if not portal:
        return
    names = await database.platform.read(portal_names)
    if portal in names or portal in await database.read(portals_in_ledger):
        return
    raise Mistake(f"portal: there is no portal {code(portal)}.{did_you_mean(portal, names)}")
