"""Daily counts: from the database's sums, which have no empty days, to a row for every day of every group."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from models.analytics.counts import daily_flows, waiting_before
from models.analytics.filters import CountFilter
from models.analytics.history_counts import BALANCE, EVENTS, daily_events, open_before
from reports.dictionary import fields
from reports.typed import shaped
from rules.datasets import Dataset
from rules.forms.period import EARLIEST

if TYPE_CHECKING:
    from sqlalchemy import Connection

_ALL, _NONE = "all of it", ""
# A level, such as what waits at the end of a day, by the counts of what comes and what leaves.
Levels = Mapping[str, tuple[str, str]]
_WAITING: Levels = {"waiting": ("entered", "left")}
_OPEN: Levels = {
    "waiting": ("began_waiting", "left_waiting"),
    "failed_open": ("failed", "left_failed"),
    "badges": ("became_issued", "left_issued"),
}
_FLOWS = ["awarded", "entered", "issued", "failed", "cancelled", "left"]


def daily_of(connection: "Connection", which: CountFilter) -> pd.DataFrame:
    """Return a row for each day of the period and each group that has anything: of the latest states."""
    keys = [group.column for group in which.by]
    flows = _frame(daily_flows(connection, which), [*keys, "day", "counted", "n"], keys)
    days = _days(flows, which)
    before = waiting_before(connection, which, days[0].date()) if len(days) else []
    waiting = _frame(before, [*keys, *_WAITING], keys)
    return shaped(_filled(flows, waiting, days, keys, _FLOWS, _WAITING), fields(Dataset.DAILY, by=which.by))


def daily_events_of(connection: "Connection", which: CountFilter) -> pd.DataFrame:
    """Return a row for each day of the period and each group that has anything: of what happened."""
    keys = [group.column for group in which.by]
    flows = _frame(daily_events(connection, which), [*keys, "day", "counted", "n"], keys)
    days = _days(flows, which)
    before = open_before(connection, which, days[0].date()) if len(days) else []
    filled = _filled(flows, _frame(before, [*keys, *_OPEN], keys), days, keys, [*EVENTS, *BALANCE], _OPEN)
    return shaped(filled, fields(Dataset.DAILY_EVENTS, by=which.by))


def _frame(rows: Sequence[Any], columns: list[str], keys: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=columns)
    # groupby drops missing keys, and a badge issued outside a run has none for its run.
    frame[keys] = frame[keys].fillna(_NONE)
    if "day" in frame:
        frame["day"] = pd.to_datetime(frame["day"], utc=True, format="%Y-%m-%d")
    return frame


def _days(flows: pd.DataFrame, which: CountFilter) -> pd.DatetimeIndex:
    first, last = which.period.first, which.period.last
    # An open side begins or ends with the data, so that no empty years are filled in: also not for an award that is to
    # come, or is dated 0001-01-01 or 1970-01-01.
    usual = flows["day"].between(pd.Timestamp(EARLIEST, tz="UTC"), pd.Timestamp(which.now))
    seen: Any = flows["day"][usual | flows["counted"].ne("awarded")]
    begin = pd.Timestamp(first, tz="UTC") if first else seen.min()
    end = pd.Timestamp(last, tz="UTC") if last else seen.max()
    if pd.isna(begin) or pd.isna(end):
        return pd.DatetimeIndex([], tz="UTC")
    return pd.date_range(begin, max(begin, end), freq="D")


def _filled(
    flows: pd.DataFrame,
    before: pd.DataFrame,
    days: pd.DatetimeIndex,
    keys: list[str],
    names: list[str],
    levels: Levels,
) -> pd.DataFrame:
    # A constant column makes one group of all rows where no grouping was chosen.
    group = [_ALL, *keys]
    flows, before = flows.assign(**{_ALL: 0}), before.assign(**{_ALL: 0})
    groups = pd.concat([flows[group], before[group]]).drop_duplicates().sort_values(group)
    if not keys:
        groups = pd.DataFrame({_ALL: [0]})
    grid = groups.merge(pd.DataFrame({"day": days}), how="cross")
    wide = flows.set_index([*group, "day", "counted"])["n"].unstack("counted").reindex(columns=names).reset_index()
    filled = grid.merge(wide, on=[*group, "day"], how="left").merge(before, on=group, how="left")
    counted = [*names, *levels]
    filled[counted] = filled[counted].fillna(0).astype("Int64")
    # What there was before the first day, and the balance of each day since.
    for level, (came, left) in levels.items():
        filled[level] += (filled[came] - filled[left]).groupby([filled[key] for key in group]).cumsum()
    # Back to missing values, now that the joins are done.
    filled[keys] = filled[keys].mask(filled[keys] == _NONE, None)
    return filled
