"""Daily counts: from the database's sums, which have no empty days, to a row for every day of every group."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from models.analytics.counts import CountFilter, daily_flows, waiting_before
from reports.dictionary import fields
from reports.typed import shaped
from rules.datasets import Dataset

if TYPE_CHECKING:
    from sqlalchemy import Connection

_ALL, _NONE = "all of it", ""
_FLOWS = ["awarded", "entered", "issued", "failed", "cancelled", "left"]


def daily_of(connection: "Connection", which: CountFilter) -> pd.DataFrame:
    """Return a row for each day of the period and each group that has anything."""
    keys = [group.column for group in which.by]
    flows = _frame(daily_flows(connection, which), [*keys, "day", "counted", "n"], keys)
    flows["day"] = pd.to_datetime(flows["day"], utc=True, format="%Y-%m-%d")
    days = _days(flows, which)
    before = waiting_before(connection, which, days[0].date()) if len(days) else []
    filled = _filled(flows, _frame(before, [*keys, "waiting"], keys), days, keys)
    # Back to missing values, now that the joins are done.
    filled[keys] = filled[keys].mask(filled[keys] == _NONE, None)
    return shaped(filled, fields(Dataset.DAILY, by=which.by))


def _frame(rows: Sequence[Any], columns: list[str], keys: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=columns)
    # groupby drops missing keys, and a badge issued outside a run has none for its run.
    frame[keys] = frame[keys].fillna(_NONE)
    return frame


def _days(flows: pd.DataFrame, which: CountFilter) -> pd.DatetimeIndex:
    first, last = which.period.first, which.period.last
    # An open side begins or ends with the data, so that no empty years are filled in.
    seen: Any = flows["day"]
    begin = pd.Timestamp(first, tz="UTC") if first else seen.min()
    end = pd.Timestamp(last, tz="UTC") if last else seen.max()
    if pd.isna(begin) or pd.isna(end):
        return pd.DatetimeIndex([], tz="UTC")
    return pd.date_range(begin, max(begin, end), freq="D")


def _filled(flows: pd.DataFrame, waiting: pd.DataFrame, days: pd.DatetimeIndex, keys: list[str]) -> pd.DataFrame:
    # A constant column makes one group of all rows where no grouping was chosen.
    group = [_ALL, *keys]
    flows, waiting = flows.assign(**{_ALL: 0}), waiting.assign(**{_ALL: 0})
    groups = pd.concat([flows[group], waiting[group]]).drop_duplicates().sort_values(group)
    if not keys:
        groups = pd.DataFrame({_ALL: [0]})
    grid = groups.merge(pd.DataFrame({"day": days}), how="cross")
    wide = flows.set_index([*group, "day", "counted"])["n"].unstack("counted").reindex(columns=_FLOWS).reset_index()
    filled = grid.merge(wide, on=[*group, "day"], how="left").merge(waiting, on=group, how="left")
    counted = [*_FLOWS, "waiting"]
    filled[counted] = filled[counted].fillna(0).astype("Int64")
    # What waited before the first day, and the balance of each day since: the ledger has no state of earlier days.
    filled["waiting"] += (filled["entered"] - filled["left"]).groupby([filled[key] for key in group]).cumsum()
    return filled
