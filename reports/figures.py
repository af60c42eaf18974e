"""The numbers of a report: counted in one transaction of the ledger, with names from the platform."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from models.analytics import breakdowns
from models.analytics import counts as counting
from models.analytics.filters import CountFilter
from models.database import Database
from models.platform.names import names_of
from models.platform.tables import Portal
from reports.daily import daily_of
from rules.datasets import TIME_BUCKETS, Group
from rules.forms.period import Days, Period
from rules.ledger.states import IssuanceState

if TYPE_CHECKING:
    from sqlalchemy import Connection

ACHIEVEMENTS_SHOWN, PORTALS_SHOWN, RUNS_SHOWN = 300, 300, 100
_NO_TIMES = (0, None, None, None, None)
_BY_ACHIEVEMENT = (Group.PORTAL, Group.ACHIEVEMENT, Group.TEMPLATE)


@dataclass(frozen=True, kw_only=True)
class Times:
    """The time from award to badge, in whole seconds; None where there was no badge."""

    badges: int
    fastest: int | None
    median: int | None
    p95: int | None
    slowest: int | None


@dataclass(frozen=True, kw_only=True)
class Funnel:
    """The present states of the issuances that were entered in a period."""

    entered: int
    issued: int
    claim_known: int
    claimed: int
    waiting: int
    failed: int
    cancelled: int


@dataclass(frozen=True, kw_only=True)
class PeriodFigures:
    """The numbers of one period."""

    days: Days
    daily: pd.DataFrame
    times: Times
    funnel: Funnel

    def total(self, column: str) -> int:
        return int(self.daily[column].sum())

    @property
    def waiting(self) -> int:
        return int(self.daily["waiting"].iloc[-1])


@dataclass(frozen=True, kw_only=True)
class Open:
    """The issuances that are not issued now for one reason; `new` of them changed their state in the period."""

    state: IssuanceState
    reason: str | None
    count: int
    new: int


@dataclass(frozen=True, kw_only=True)
class Figures:
    """All numbers of a report."""

    made_at: datetime
    portal_id: str
    portal_name: str
    now: PeriodFigures
    before: PeriodFigures
    buckets: list[int]
    open: list[Open]
    portals: Sequence[Mapping[str, Any]]
    achievements: Sequence[Mapping[str, Any]]
    runs: Sequence[Mapping[str, Any]]


async def figures(database: Database, days: Days, *, portal_id: str = "", made_at: datetime) -> Figures:
    """Read the numbers of these days and of as many days before."""
    counted = await database.read(_of_ledger, days, portal_id, made_at)
    portal_names = await database.platform.read(names_of, Portal, [portal_id] if portal_id else [])
    return replace(
        counted,
        portal_name=portal_names.get(portal_id) or portal_id,
        portals=await breakdowns.with_names(database, counted.portals),
        achievements=await breakdowns.with_names(database, counted.achievements),
        runs=await breakdowns.with_names(database, counted.runs),
    )


def _of_ledger(connection: "Connection", days: Days, portal_id: str, made_at: datetime) -> Figures:
    which = CountFilter(period=days.period, portal_id=portal_id)
    # Both periods in one query: the second half of the days is this one, the first the one before.
    both = CountFilter(period=Period(first=days.before.first, last=days.last), portal_id=portal_id)
    daily = daily_of(connection, both)
    buckets = {int(number): int(count) for number, count in counting.time_buckets(connection, which)}
    return Figures(
        made_at=made_at,
        portal_id=portal_id,
        portal_name="",
        now=_part(connection, days, portal_id, daily.tail(days.count)),
        before=_part(connection, days.before, portal_id, daily.head(days.count)),
        buckets=[buckets.get(number, 0) for number in range(len(TIME_BUCKETS))],
        open=_open(connection, which),
        portals=[]
        if portal_id
        else breakdowns.portals(connection, days.period, days.before.period, limit=PORTALS_SHOWN),
        achievements=_achievements(connection, which),
        runs=breakdowns.latest_runs(connection, which, limit=RUNS_SHOWN),
    )


def _part(connection: "Connection", days: Days, portal_id: str, daily: pd.DataFrame) -> PeriodFigures:
    which = CountFilter(period=days.period, portal_id=portal_id)
    times = counting.times_to_badge(connection, which)
    ((entered, issued, claim_known, claimed, waiting, failed, cancelled),) = counting.funnel(connection, which)
    badges, fastest, median, p95, slowest = times[0] if times else _NO_TIMES
    return PeriodFigures(
        days=days,
        daily=daily.reset_index(drop=True),
        times=Times(badges=badges, fastest=fastest, median=median, p95=p95, slowest=slowest),
        funnel=Funnel(
            entered=entered,
            issued=issued,
            claim_known=claim_known,
            claimed=claimed,
            waiting=waiting,
            failed=failed,
            cancelled=cancelled,
        ),
    )


def _open(connection: "Connection", which: CountFilter) -> list[Open]:
    # Everything that is open now, whichever period it is from; of these the ones that are new in this period.
    everything = counting.reasons(connection, CountFilter(portal_id=which.portal_id))
    new = {(state, reason): count for state, reason, count in counting.reasons(connection, which)}
    still_open = [
        Open(state=IssuanceState(state), reason=reason, count=count, new=new.get((state, reason), 0))
        for state, reason, count in everything
        if state != IssuanceState.CANCELLED
    ]
    return sorted(still_open, key=lambda one: (-one.count, one.state, one.reason or ""))


def _portals(connection: "Connection", days: Days) -> Sequence[Mapping[str, Any]]:
    return breakdowns.portals(connection, days.period, days.before.period, limit=PORTALS_SHOWN)


def _achievements(connection: "Connection", which: CountFilter) -> Sequence[Mapping[str, Any]]:
    grouped = CountFilter(period=which.period, portal_id=which.portal_id, by=_BY_ACHIEVEMENT)
    times = {tuple(row[:3]): row[3:] for row in counting.times_to_badge(connection, grouped)}
    rows = []
    for row in breakdowns.places(connection, which, limit=ACHIEVEMENTS_SHOWN):
        key = (row["portal_id"], row["achievement_id"], row["badge_template_id"])
        _badges, _fastest, median, p95, _slowest = times.get(key, _NO_TIMES)
        rows.append(dict(row) | {"median": median, "p95": p95})
    return rows
