"""Tidy pandas frames of the ledger, for notebooks and scripts. docs/reference/data-dictionary.md explains every column.

database = database_of(settings())
frame = await frames.issuances(database, period_of("2026-11-01", "2026-11-30"), portal="northwind")
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

import pandas as pd

from models.analytics import counts as counting
from models.analytics import history_counts
from models.analytics.filters import CountFilter, RowFilter
from models.analytics.rows import BATCH, batches
from models.database import Database
from reports.daily import daily_events_of, daily_of
from reports.dictionary import fields
from reports.typed import joined, shaped, typed
from rules.datasets import Dataset, Group, Moment
from rules.forms.period import ALWAYS, Period

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
    """Return the issuances whose `moment` is in the period, as they are now; names and addresses only on request."""
    chosen = RowFilter(period=period, portal_id=portal, moment=moment)
    return await _whole(database, Dataset.ISSUANCES, chosen, personal_data=personal_data)


async def attempts(database: Database, period: Period = ALWAYS, *, portal: str = "") -> pd.DataFrame:
    return await _whole(database, Dataset.ATTEMPTS, RowFilter(period=period, portal_id=portal))


async def runs(database: Database, period: Period = ALWAYS, *, portal: str = "") -> pd.DataFrame:
    """Return, for each run and portal, the calls that it made; those whose first call was in the period."""
    return await _whole(database, Dataset.RUNS, RowFilter(period=period, portal_id=portal))


async def daily(
    database: Database, period: Period = ALWAYS, *, portal: str = "", by: tuple[Group, ...] = ()
) -> pd.DataFrame:
    """Return counts for each day in UTC; every day of the period is included, with zeros where nothing happened."""
    which = CountFilter(period=period, portal_id=portal, by=by)
    return await database.read(daily_of, which)


async def time_to_badge(
    database: Database, period: Period = ALWAYS, *, portal: str = "", by: tuple[Group, ...] = ()
) -> pd.DataFrame:
    """Return the times from award to badge, of badges that were recorded in the period."""
    return await database.read(counts_of, Dataset.TIME_TO_BADGE, CountFilter(period=period, portal_id=portal, by=by))


async def reasons(
    database: Database, period: Period = ALWAYS, *, portal: str = "", by: tuple[Group, ...] = ()
) -> pd.DataFrame:
    """Return the reasons of issuances that are not issued, of those whose state last changed in the period."""
    return await database.read(counts_of, Dataset.REASONS, CountFilter(period=period, portal_id=portal, by=by))


async def funnel(
    database: Database, period: Period = ALWAYS, *, portal: str = "", by: tuple[Group, ...] = ()
) -> pd.DataFrame:
    """Return the present states of the issuances that were entered in the period."""
    return await database.read(counts_of, Dataset.FUNNEL, CountFilter(period=period, portal_id=portal, by=by))


async def history(database: Database, period: Period = ALWAYS, *, portal: str = "") -> pd.DataFrame:
    """Return the transitions of issuances in the period."""
    return await _whole(database, Dataset.HISTORY, RowFilter(period=period, portal_id=portal))


async def states(database: Database, period: Period = ALWAYS, *, portal: str = "") -> pd.DataFrame:
    """Return each state that an issuance had, from which moment to which; those that began in the period."""
    return await _whole(database, Dataset.STATES, RowFilter(period=period, portal_id=portal))


async def settings_history(database: Database, period: Period = ALWAYS, *, portal: str = "") -> pd.DataFrame:
    """Return the changes of connections and integrations in the period; of a portal, those of its connection."""
    return await _whole(database, Dataset.SETTINGS_HISTORY, RowFilter(period=period, portal_id=portal))


async def settings(database: Database, period: Period = ALWAYS, *, portal: str = "") -> pd.DataFrame:
    """Return each value of each setting, from which moment to which; those that were set in the period."""
    return await _whole(database, Dataset.SETTINGS, RowFilter(period=period, portal_id=portal))


async def sent_settings(database: Database, period: Period = ALWAYS, *, portal: str = "") -> pd.DataFrame:
    """Return the settings with which each badge was sent; of badges that were sent in the period."""
    return await _whole(database, Dataset.SENT_SETTINGS, RowFilter(period=period, portal_id=portal))


async def daily_events(
    database: Database, period: Period = ALWAYS, *, portal: str = "", by: tuple[Group, ...] = ()
) -> pd.DataFrame:
    """Return what happened on each day in UTC, and what was open when it ended."""
    return await database.read(counts_of, Dataset.DAILY_EVENTS, CountFilter(period=period, portal_id=portal, by=by))


async def states_at(
    database: Database, period: Period = ALWAYS, *, portal: str = "", by: tuple[Group, ...] = ()
) -> pd.DataFrame:
    """Return how many issuances were in which state, and why, when the period ended; now if it has no end."""
    return await database.read(counts_of, Dataset.STATES_AT, CountFilter(period=period, portal_id=portal, by=by))


async def time_in_state(
    database: Database, period: Period = ALWAYS, *, portal: str = "", by: tuple[Group, ...] = ()
) -> pd.DataFrame:
    """Return how long issuances were in each state for each reason, of those that came into it in the period."""
    return await database.read(counts_of, Dataset.TIME_IN_STATE, CountFilter(period=period, portal_id=portal, by=by))


async def funnel_events(
    database: Database, period: Period = ALWAYS, *, portal: str = "", by: tuple[Group, ...] = ()
) -> pd.DataFrame:
    """Return what ever happened to the issuances that were entered in the period."""
    return await database.read(counts_of, Dataset.FUNNEL_EVENTS, CountFilter(period=period, portal_id=portal, by=by))


async def failures(
    database: Database, period: Period = ALWAYS, *, portal: str = "", by: tuple[Group, ...] = ()
) -> pd.DataFrame:
    """Return how often issuances failed for each reason in the period, whatever became of them."""
    return await database.read(counts_of, Dataset.FAILURES, CountFilter(period=period, portal_id=portal, by=by))


async def refusals(
    database: Database, period: Period = ALWAYS, *, portal: str = "", by: tuple[Group, ...] = ()
) -> pd.DataFrame:
    """Return what Credly refused in the period and in which words, by week."""
    return await database.read(counts_of, Dataset.REFUSALS, CountFilter(period=period, portal_id=portal, by=by))


async def unclaimed(database: Database, period: Period = ALWAYS, *, portal: str = "") -> pd.DataFrame:
    """Return the badges that were issued in the period and are not claimed; by default, at least 30 days ago."""
    return await _whole(database, Dataset.UNCLAIMED, RowFilter(period=period, portal_id=portal))


async def slowest(database: Database, period: Period = ALWAYS, *, portal: str = "") -> pd.DataFrame:
    """Return the thousand badges of the period that took longest from the award, and in which states they waited."""
    return await _whole(database, Dataset.SLOWEST, RowFilter(period=period, portal_id=portal))


async def settings_effects(
    database: Database, period: Period = ALWAYS, *, portal: str = "", achievement: str = ""
) -> pd.DataFrame:
    """Return the transitions that were caused by changes of settings of the period."""
    chosen = RowFilter(period=period, portal_id=portal, achievement_id=achievement)
    return await _whole(database, Dataset.SETTINGS_EFFECTS, chosen)


async def between_runs(database: Database, run: str, other_run: str, *, portal: str = "") -> pd.DataFrame:
    """Return what happened after the earlier run's end, up to the later one's: transitions, changes of settings."""
    return await _whole(database, Dataset.BETWEEN_RUNS, RowFilter(run=run, other_run=other_run, portal_id=portal))


async def run_today(database: Database, run: str, *, portal: str = "") -> pd.DataFrame:
    """Return what the run did with each of its badges, and what a run would do today."""
    return await _whole(database, Dataset.RUN_TODAY, RowFilter(run=run, portal_id=portal))


async def in_batches(
    database: Database, dataset: Dataset, chosen: RowFilter, *, personal_data: bool = False, size: int = BATCH
) -> AsyncGenerator[pd.DataFrame]:
    """Yield a log table in batches of one snapshot; each has the dictionary's columns and dtypes."""
    columns = fields(dataset, personal_data=personal_data)
    names = [field.name for field in columns]
    # Closed with the caller's loop: otherwise the transaction stays open until the generator is collected.
    async with aclosing(batches(database, dataset, chosen, columns=names, size=size)) as parts:
        async for part in parts:
            yield shaped(part, columns)


async def _whole(
    database: Database, dataset: Dataset, chosen: RowFilter, *, personal_data: bool = False
) -> pd.DataFrame:
    parts = [part async for part in in_batches(database, dataset, chosen, personal_data=personal_data)]
    return joined(parts, fields(dataset, personal_data=personal_data))


_COUNTED = {
    Dataset.TIME_TO_BADGE: counting.times_to_badge,
    Dataset.REASONS: counting.reasons,
    Dataset.FUNNEL: counting.funnel,
    Dataset.STATES_AT: history_counts.states_at,
    Dataset.TIME_IN_STATE: history_counts.time_in_state,
    Dataset.FUNNEL_EVENTS: history_counts.funnel_events,
    Dataset.FAILURES: history_counts.failures,
    Dataset.REFUSALS: counting.refusals,
}


def counts_of(connection: "Connection", dataset: Dataset, which: CountFilter) -> pd.DataFrame:
    if dataset is Dataset.DAILY:
        return daily_of(connection, which)
    if dataset is Dataset.DAILY_EVENTS:
        return daily_events_of(connection, which)
    return typed(_COUNTED[dataset](connection, which), fields(dataset, by=which.by))
