"""The database check: missing tables, columns, grants and indexes, and wrong values."""

from sqlalchemy import Connection

from models.columns import mapping_of_dialect
from models.database import Database
from models.diagnostics.data import row_problems
from models.diagnostics.grants import excess_grants, missing_grants
from models.diagnostics.indexes import missing_indexes
from models.diagnostics.mapped import mapping_problems
from models.diagnostics.problem import Problem
from models.diagnostics.schema import ledger_shape, platform_shape

__all__ = ["Problem", "find_problems"]


async def find_problems(database: Database) -> list[Problem]:
    """Return the problems of the platform's tables and of Laurel's: views, types, grants, values, indexes."""
    found = [*await database.platform.read(_platform_problems), *await database.read(_ledger_problems)]
    if any(problem.stops for problem in found):
        return found
    return [*found, *await database.platform.read(_row_problems)]


def _platform_problems(connection: Connection) -> list[Problem]:
    if mapping_of_dialect(connection.dialect) is not None:
        return list(mapping_problems(connection))
    return [*platform_shape(connection), *excess_grants(connection)]


def _ledger_problems(connection: Connection) -> list[Problem]:
    return [*ledger_shape(connection), *missing_grants(connection)]


def _row_problems(connection: Connection) -> list[Problem]:
    return [*row_problems(connection), *missing_indexes(connection)]
