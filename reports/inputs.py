"""Checks of the input of reports and exports."""

from models.analytics.rows import portals_in_ledger
from models.database import Database
from models.platform.names import portal_names
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
