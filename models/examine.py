"""Looking at the database as Laurel finds it: what is missing, and what is not as it must be."""

from sqlalchemy import Connection

from models.database import Database
from models.examine_grants import too_few, too_many
from models.examine_plans import plans_of
from models.examine_rows import rows_of
from models.examine_shape import ledger_shape, platform_shape
from models.lack import Lack

__all__ = ["Lack", "lacks_of"]


async def lacks_of(database: Database) -> list[Lack]:
    """Return what the platform's tables and Laurel's own lack: views, types, rights, values, indexes."""
    found = [*await database.platform.read(_of_platform), *await database.read(_of_ledger)]
    if any(lack.stops for lack in found):
        return found
    return [*found, *await database.platform.read(_of_rows)]


def _of_platform(connection: Connection) -> list[Lack]:
    return [*platform_shape(connection), *too_many(connection)]


def _of_ledger(connection: Connection) -> list[Lack]:
    return [*ledger_shape(connection), *too_few(connection)]


def _of_rows(connection: Connection) -> list[Lack]:
    return [*rows_of(connection), *plans_of(connection)]
