"""Tidy pandas frames of what happened, for notebooks and scripts. docs/data-dictionary.md explains every column.

database = Database(settings().database_url)
frame = await frames.issuances(database, period_of("2026-11-01", "2026-11-30"), portal="northwind")
"""

from collections.abc import AsyncIterator

import pandas as pd

from models.database import Database
from models.reporting import BATCH, Chosen, batches, snapshot
from reports.dictionary import fields
from reports.typed import joined, typed
from rules.datasets import Dataset, Moment
from rules.period import ALWAYS, Period


async def issuances(
    database: Database,
    period: Period = ALWAYS,
    *,
    portal: str = "",
    moment: Moment = Moment.ENTERED,
    personal_data: bool = False,
) -> pd.DataFrame:
    """Return every issuance as it stands now, whose `moment` is in the period; names and addresses only on request."""
    chosen = Chosen(period=period, portal_id=portal, moment=moment)
    return await _whole(database, Dataset.ISSUANCES, chosen, personal_data=personal_data)


async def attempts(database: Database, period: Period = ALWAYS, *, portal: str = "") -> pd.DataFrame:
    """Return every call to Credly that began in the period."""
    return await _whole(database, Dataset.ATTEMPTS, Chosen(period=period, portal_id=portal))


async def runs(database: Database, period: Period = ALWAYS, *, portal: str = "") -> pd.DataFrame:
    """Return, for each run and portal, the calls that it made; those whose first call was in the period."""
    return await _whole(database, Dataset.RUNS, Chosen(period=period, portal_id=portal))


async def in_batches(
    database: Database, dataset: Dataset, chosen: Chosen, *, personal_data: bool = False, size: int = BATCH
) -> AsyncIterator[pd.DataFrame]:
    """Yield a log table some rows at a time, all of one moment; each part has the dictionary's columns and dtypes."""
    columns = fields(dataset, personal_data=personal_data)
    names = [field.name for field in columns]
    async with snapshot(database) as connection:
        async for rows in batches(connection, dataset, chosen, columns=names, size=size):
            yield typed(rows, columns)


async def _whole(database: Database, dataset: Dataset, chosen: Chosen, *, personal_data: bool = False) -> pd.DataFrame:
    parts = [part async for part in in_batches(database, dataset, chosen, personal_data=personal_data)]
    return joined(parts, fields(dataset, personal_data=personal_data))
