"""The database check: missing tables, columns, grants and indexes, and wrong values."""

from sqlalchemy import Connection, false, text, update

from models.columns import mapping_of_dialect
from models.database import Database
from models.diagnostics.data import row_problems
from models.diagnostics.grants import excess_grants, missing_grants
from models.diagnostics.indexes import missing_indexes
from models.diagnostics.mapped import mapping_problems
from models.diagnostics.problem import Problem
from models.diagnostics.schema import ledger_shape, platform_shape
from models.errors import read_only
from models.ledger.tables import BadgeIssuance
from models.tables import table

__all__ = ["Problem", "find_problems"]
issuances = table(BadgeIssuance)


async def find_problems(database: Database) -> list[Problem]:
    """Return the problems of the platform's tables and of Laurel's: views, types, grants, values, indexes.

    Raises:
        NotUsable: a database cannot be used at all.
    """
    found = [*await database.platform.read(_platform_problems), *await database.read(_ledger_problems)]
    if any(problem.stops for problem in found):
        return found
    await database.write(_change_nothing)
    return [*found, *await database.platform.read(_row_problems)]


def _change_nothing(connection: Connection) -> None:
    # A read-only database refuses it; where that is PostgreSQL's default only, new connections do.
    if (
        connection.dialect.name == "postgresql"
        and connection.scalar(text("SHOW default_transaction_read_only")) == "on"
    ):
        raise read_only(connection.engine.url)
    connection.execute(update(issuances).where(false()).values(attempts=issuances.c.attempts))


def _platform_problems(connection: Connection) -> list[Problem]:
    if mapping_of_dialect(connection.dialect) is not None:
        return list(mapping_problems(connection))
    return [*platform_shape(connection), *excess_grants(connection)]


def _ledger_problems(connection: Connection) -> list[Problem]:
    return [*ledger_shape(connection), *missing_grants(connection)]


def _row_problems(connection: Connection) -> list[Problem]:
    return [*row_problems(connection), *missing_indexes(connection)]
