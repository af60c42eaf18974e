"""Looking at the database as Laurel finds it: what is missing, and what is not as it must be."""

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from models.examine_grants import grants_of
from models.examine_plans import plans_of
from models.examine_rows import rows_of
from models.examine_shape import shape_of
from models.lack import Lack

__all__ = ["Lack", "lacks_of"]


async def lacks_of(connection: AsyncConnection) -> list[Lack]:
    """Return what the platform's tables and Laurel's own lack: views, types, rights, values, indexes."""
    return await connection.run_sync(_lacks)


def _lacks(connection: Connection) -> list[Lack]:
    found = [*shape_of(connection), *grants_of(connection)]
    if any(lack.stops for lack in found):
        return found
    return [*found, *rows_of(connection), *plans_of(connection)]
