"""What happened on each day: from the few counts that the database gives to a row for every day of every group."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from models.counting import Which, daily_flows, waiting_before
from reports.dictionary import fields
from reports.typed import shaped
from rules.datasets import Dataset

if TYPE_CHECKING:
    from sqlalchemy import Connection

_ALL, _NONE = "all of it", ""
_FLOWS = ["awarded", "entered", "issued", "failed", "cancelled", "left"]


def daily_of(connection: "Connection", which: Which) -> pd.DataFrame:
    """Return a row for each day of the period and each group that has anything."""
    keys = [group.column for group in which.by]
    flows = _frame(daily_flows(connection, which), [*keys, "day", "counted", "n"], keys)
    flows["day"] = pd.to_datetime(flows["day"], utc=True, format="%Y-%m-%d")
    days = _days(flows, which)
    before = waiting_before(connection, which, days[0].date()) if len(days) else []
    filled = _filled(flows, _frame(before, [*keys, "waiting"], keys), days, keys)
    filled[keys] = filled[keys].mask(filled[keys] == _NONE, None)
    return shaped(filled, fields(Dataset.DAILY, by=which.by))


def _frame(rows: Sequence[Any], columns: list[str], keys: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=columns)
    frame[keys] = frame[keys].fillna(_NONE)
    return frame


def _days(flows: pd.DataFrame, which: Which) -> pd.DatetimeIndex:
    first, last = which.period.first, which.period.last
    seen: Any = flows["day"]
    begin = pd.Timestamp(first, tz="UTC") if first else seen.min()
    end = pd.Timestamp(last, tz="UTC") if last else seen.max()
    if pd.isna(begin) or pd.isna(end):
        return pd.DatetimeIndex([], tz="UTC")
    return pd.date_range(begin, max(begin, end), freq="D")


def _filled(flows: pd.DataFrame, waiting: pd.DataFrame, days: pd.DatetimeIndex, keys: list[str]) -> pd.DataFrame:
    """Return one row for each group and day; without groups, all is one group."""
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
    filled["waiting"] += (filled["entered"] - filled["left"]).groupby([filled[key] for key in group]).cumsum()
    return filled
