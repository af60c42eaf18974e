"""Tidy pandas frames of what happened, for notebooks and scripts. docs/data-dictionary.md explains every column.

database = Database(settings().database_url)
frame = await frames.issuances(database, period_of("2026-11-01", "2026-11-30"), portal="northwind")
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

import pandas as pd

from models import counting
from models.counting import Which
from models.database import Database
from models.reporting import BATCH, Chosen, batches
from reports.daily import daily_of
from reports.dictionary import fields
from reports.typed import joined, shaped, typed
from rules.datasets import Dataset, Group, Moment
from rules.period import ALWAYS, Period

if TYPE_CHECKING:
    from sqlalchemy import Connection


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


async def daily(
    database: Database, period: Period = ALWAYS, *, portal: str = "", by: tuple[Group, ...] = ()
) -> pd.DataFrame:
    """Return what happened on each day in UTC; every day of the period is there, with zeros where nothing happened."""
    which = Which(period=period, portal_id=portal, by=by)
    return await database.read(daily_of, which)


async def time_to_badge(
    database: Database, period: Period = ALWAYS, *, portal: str = "", by: tuple[Group, ...] = ()
) -> pd.DataFrame:
    """Return how long it took from award to badge, of badges that were recorded in the period."""
    return await database.read(counts_of, Dataset.TIME_TO_BADGE, Which(period=period, portal_id=portal, by=by))


async def reasons(
    database: Database, period: Period = ALWAYS, *, portal: str = "", by: tuple[Group, ...] = ()
) -> pd.DataFrame:
    """Return why what is not issued is not; of issuances whose state changed last in the period."""
    return await database.read(counts_of, Dataset.REASONS, Which(period=period, portal_id=portal, by=by))


async def funnel(
    database: Database, period: Period = ALWAYS, *, portal: str = "", by: tuple[Group, ...] = ()
) -> pd.DataFrame:
    """Return what became of the issuances that were entered in the period."""
    return await database.read(counts_of, Dataset.FUNNEL, Which(period=period, portal_id=portal, by=by))


async def in_batches(
    database: Database, dataset: Dataset, chosen: Chosen, *, personal_data: bool = False, size: int = BATCH
) -> AsyncGenerator[pd.DataFrame]:
    """Yield a log table some rows at a time, all of one moment; each part has the dictionary's columns and dtypes."""
    columns = fields(dataset, personal_data=personal_data)
    names = [field.name for field in columns]
    async with aclosing(batches(database, dataset, chosen, columns=names, size=size)) as parts:
        async for part in parts:
            yield shaped(part, columns)


async def _whole(database: Database, dataset: Dataset, chosen: Chosen, *, personal_data: bool = False) -> pd.DataFrame:
    parts = [part async for part in in_batches(database, dataset, chosen, personal_data=personal_data)]
    return joined(parts, fields(dataset, personal_data=personal_data))


_COUNTED = {
    Dataset.TIME_TO_BADGE: counting.times_to_badge,
    Dataset.REASONS: counting.reasons,
    Dataset.FUNNEL: counting.funnel,
}


def counts_of(connection: "Connection", dataset: Dataset, which: Which) -> pd.DataFrame:
    """Return counts, all of one moment."""
    if dataset is Dataset.DAILY:
        return daily_of(connection, which)
    return typed(_COUNTED[dataset](connection, which), fields(dataset, by=which.by))
