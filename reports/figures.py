"""The numbers of a report, read in one transaction of the ledger and counted there; the platform has the names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from models import counting, places
from models.counting import Which
from models.database import Database
from models.platform.names import names_of
from models.platform.tables import Portal
from reports.daily import daily_of
from rules.datasets import TIME_BUCKETS, Group
from rules.period import Days, Period
from rules.states import IssuanceState

if TYPE_CHECKING:
    from sqlalchemy import Connection

PLACES_SHOWN, RUNS_SHOWN = 300, 100
_NO_TIMES = (0, None, None, None, None)
_BY_PLACE = (Group.PORTAL, Group.ACHIEVEMENT, Group.TEMPLATE)


@dataclass(frozen=True, kw_only=True)
class Times:
    """How long it took from award to badge, in whole seconds; None where there was no badge."""

    badges: int
    fastest: int | None
    median: int | None
    p95: int | None
    slowest: int | None


@dataclass(frozen=True, kw_only=True)
class Funnel:
    """What became of the issuances that were entered in a period."""

    entered: int
    issued: int
    claim_known: int
    claimed: int
    waiting: int
    failed: int
    cancelled: int


@dataclass(frozen=True, kw_only=True)
class Part:
    """The numbers of one period."""

    days: Days
    daily: pd.DataFrame
    times: Times
    funnel: Funnel

    def total(self, column: str) -> int:
        """Return how many of a daily count there were in all."""
        return int(self.daily[column].sum())

    @property
    def waiting(self) -> int:
        """How many waited when the period ended."""
        return int(self.daily["waiting"].iloc[-1])


@dataclass(frozen=True, kw_only=True)
class Open:
    """What is not issued now, for one reason; `new` of them came to this in the period."""

    state: IssuanceState
    reason: str | None
    count: int
    new: int


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Everything that a report shows."""

    made_at: datetime
    portal_id: str
    portal_name: str
    now: Part
    before: Part
    buckets: list[int]
    open: list[Open]
    places: Sequence[Mapping[str, Any]]
    runs: Sequence[Mapping[str, Any]]


async def figures(database: Database, days: Days, *, portal_id: str = "", made_at: datetime) -> Figures:
    """Read the numbers of these days and of as many days before."""
    found = await database.read(_of_ledger, days, portal_id, made_at)
    portal_names = await database.platform.read(names_of, Portal, [portal_id] if portal_id else [])
    return replace(
        found,
        portal_name=portal_names.get(portal_id) or portal_id,
        places=await places.with_names(database, found.places),
        runs=await places.with_names(database, found.runs),
    )


def _of_ledger(connection: "Connection", days: Days, portal_id: str, made_at: datetime) -> Figures:
    which = Which(period=days.period, portal_id=portal_id)
    both = Which(period=Period(first=days.before.first, last=days.last), portal_id=portal_id)
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
        places=_places(connection, which),
        runs=places.latest_runs(connection, which, limit=RUNS_SHOWN),
    )


def _part(connection: "Connection", days: Days, portal_id: str, daily: pd.DataFrame) -> Part:
    which = Which(period=days.period, portal_id=portal_id)
    times = counting.times_to_badge(connection, which)
    ((entered, issued, claim_known, claimed, waiting, failed, cancelled),) = counting.funnel(connection, which)
    badges, fastest, median, p95, slowest = times[0] if times else _NO_TIMES
    return Part(
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


def _open(connection: "Connection", which: Which) -> list[Open]:
    everything = counting.reasons(connection, Which(portal_id=which.portal_id))
    new = {(state, reason): count for state, reason, count in counting.reasons(connection, which)}
    found = [
        Open(state=IssuanceState(state), reason=reason, count=count, new=new.get((state, reason), 0))
        for state, reason, count in everything
        if state != IssuanceState.CANCELLED
    ]
    return sorted(found, key=lambda one: (-one.count, one.state, one.reason or ""))


def _places(connection: "Connection", which: Which) -> Sequence[Mapping[str, Any]]:
    grouped = Which(period=which.period, portal_id=which.portal_id, by=_BY_PLACE)
    times = {tuple(row[:3]): row[3:] for row in counting.times_to_badge(connection, grouped)}
    found = []
    for row in places.places(connection, which, limit=PLACES_SHOWN):
        key = (row["portal_id"], row["achievement_id"], row["badge_template_id"])
        _badges, _fastest, median, p95, _slowest = times.get(key, _NO_TIMES)
        found.append(dict(row) | {"median": median, "p95": p95})
    return found
