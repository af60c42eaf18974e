"""Counts agree exactly with plain SQL over the ledger, on both databases, whatever the time zone of the connection."""

import math
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Connection, text

from models.analytics.counts import time_buckets
from models.analytics.filters import CountFilter
from models.columns import FIRST
from models.database import Database
from reports import frames
from reports.dictionary import fields
from rules.datasets import TIME_BUCKETS, Dataset, Group, bucket_of
from rules.forms.period import ALWAYS, Period, period_of
from rules.ledger.states import NO_MOMENT
from tests.integration.test_frames import assert_agrees
from tests.support.factories import AWARDED, an_issuance
from tests.support.random_ledger import DAYS, fill

LEFT = "CASE WHEN state = 'issued' THEN recorded_at WHEN state IN ('failed', 'cancelled') THEN updated_at END"
COUNTED = {
    "awarded": ("awarded_at", "1 = 1"),
    "entered": ("planned_at", "1 = 1"),
    "issued": ("recorded_at", "state = 'issued'"),
    "failed": ("updated_at", "state = 'failed'"),
    "cancelled": ("updated_at", "state = 'cancelled'"),
}
ALL_COUNTS = (frames.daily, frames.time_to_badge, frames.reasons, frames.funnel)
PERIODS = [
    ALWAYS,
    *(period_of(day, day) for day in DAYS),
    period_of("2026-03-08", "2026-11-01"),
    period_of(None, DAYS[1]),
]


@pytest.fixture
async def ledger(database: Database) -> AsyncIterator[Database]:
    """Filled, and with connections whose time zone is far from UTC where the database has one."""
    await fill(database, rows=400, seed=20261025)
    await set_time_zone(database, "'Pacific/Auckland'")
    yield database
    await set_time_zone(database, "DEFAULT")


async def set_time_zone(database: Database, zone: str) -> None:
    if database.engine.dialect.name == "postgresql":
        alter = text(f"ALTER DATABASE {database.engine.url.database} SET timezone TO {zone}")
        await database.write(Connection.execute, alter)
        database.engine.dispose()


async def plain(database: Database, query: str) -> list[Any]:
    return await database.read(lambda connection: [tuple(row) for row in connection.execute(text(query))])


def moment(database: Database, day: date) -> str:
    zone = "+00" if database.engine.dialect.name == "postgresql" else ""
    return f"'{day} 00:00:00.000000{zone}'"


def in_period(database: Database, column: str, period: Period) -> str:
    since = f"{column} >= {moment(database, period.first)}" if period.first else "1 = 1"
    until = f"{column} < {moment(database, period.last + timedelta(days=1))}" if period.last else "1 = 1"
    return f"{since} AND {until}"


def numbers(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return [tuple(None if pd.isna(value) else value for value in row) for row in frame.itertuples(index=False)]


@pytest.mark.parametrize("portal", ["", "aeolus"])
async def test_each_days_counts_are_those_of_plain_sql(ledger: Database, portal: str) -> None:
    for day in DAYS:
        await _days_agree(ledger, date.fromisoformat(day), portal)


async def _days_agree(ledger: Database, middle: date, portal: str) -> None:
    period = Period(first=middle - timedelta(days=2), last=middle + timedelta(days=2))

    frame = await frames.daily(ledger, period, portal=portal)

    assert len(frame) == 5
    own = f"portal_id = '{portal}'" if portal else "1 = 1"
    for number, row in enumerate(frame.to_dict("records")):
        today = middle + timedelta(days=number - 2)
        assert row["day"] == pd.Timestamp(today, tz="UTC")
        one = Period(first=today, last=today)
        for name, (column, condition) in COUNTED.items():
            where = f"{own} AND {condition} AND {in_period(ledger, column, one)}"
            ((expected,),) = await plain(ledger, f"SELECT count(*) FROM badge_issuances WHERE {where}")
            assert row[name] == expected, (name, today)
        end = moment(ledger, today + timedelta(days=1))
        there = f"planned_at < {end} AND (({LEFT}) IS NULL OR ({LEFT}) >= {end})"
        ((expected,),) = await plain(ledger, f"SELECT count(*) FROM badge_issuances WHERE {own} AND {there}")
        assert row["waiting"] == expected, today
    assert frame["entered"].sum() > 0
    assert frame["waiting"].sum() > 0


async def test_what_waits_at_the_end_is_what_waits_now(ledger: Database) -> None:
    frame = await frames.daily(ledger)

    waiting = "state IN ('pending', 'issuing', 'blocked')"
    ((expected,),) = await plain(ledger, f"SELECT count(*) FROM badge_issuances WHERE {waiting}")
    assert frame["waiting"].iloc[-1] == expected > 0


@pytest.mark.parametrize(
    "awarded_at", [NO_MOMENT, datetime(9998, 1, 1, tzinfo=UTC), FIRST, datetime(1970, 1, 1, tzinfo=UTC)]
)
async def test_no_empty_years_are_filled_in_for_an_award_far_away(database: Database, awarded_at: datetime) -> None:
    await an_issuance(database, awarded_at=AWARDED - timedelta(days=3))
    await an_issuance(database, user="bob", awarded_at=awarded_at)

    for period in (ALWAYS, period_of("2026-11-01", None), period_of(None, "2026-11-09")):
        frame = await frames.daily(database, period)
        assert frame["day"].max() == pd.Timestamp(AWARDED.date(), tz="UTC")
        assert len(frame) == (9 if period.first else 4)
        assert (frame["awarded"].sum(), frame["entered"].sum()) == (1, 2)


@pytest.mark.parametrize("by", [(Group.PORTAL,), (Group.ACHIEVEMENT, Group.TEMPLATE), (Group.RUN,)], ids=str)
async def test_the_groups_days_add_up_to_the_whole(ledger: Database, by: tuple[Group, ...]) -> None:
    counted = [*COUNTED, "waiting"]
    whole = (await frames.daily(ledger)).set_index("day")[counted]

    grouped = await frames.daily(ledger, by=by)

    assert len(grouped) == len(whole) * len(grouped[[group.column for group in by]].drop_duplicates())
    pd.testing.assert_frame_equal(grouped.groupby("day")[counted].sum(), whole)


async def test_times_to_a_badge_are_those_of_plain_sql(ledger: Database) -> None:
    for period in PERIODS:
        await _times_agree(ledger, period)


async def _times_agree(ledger: Database, period: Period) -> None:
    where = f"state = 'issued' AND recorded_at >= awarded_at AND {in_period(ledger, 'recorded_at', period)}"
    rows = await plain(ledger, f"SELECT awarded_at, recorded_at FROM badge_issuances WHERE {where}")
    seconds = sorted(int(whole_seconds(after) - whole_seconds(before)) for before, after in rows)

    frame = await frames.time_to_badge(ledger, period)
    buckets = await ledger.read(time_buckets, CountFilter(period=period))

    ranks = [seconds[math.ceil(len(seconds) * percent / 100) - 1] for percent in (50, 95)] if seconds else []
    assert numbers(frame) == ([(len(seconds), seconds[0], *ranks, seconds[-1])] if seconds else [])
    expected = {number: sum(bucket_of(one) == number for one in seconds) for number in range(len(TIME_BUCKETS))}
    assert dict(buckets) == {number: count for number, count in expected.items() if count}


def whole_seconds(value: str | datetime) -> int:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return math.floor(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())


async def test_reasons_and_funnel_are_those_of_plain_sql(ledger: Database) -> None:
    for period in PERIODS:
        await _reasons_and_funnel_agree(ledger, period)


async def _reasons_and_funnel_agree(ledger: Database, period: Period) -> None:
    changed, entered = (in_period(ledger, column, period) for column in ("updated_at", "planned_at"))
    asked = "state = 'issued' AND audited_at IS NOT NULL AND audited_at >= recorded_at"
    kinds = ["1 = 1", "state = 'issued'", asked, f"{asked} AND credly_state = 'accepted'"]
    kinds += ["state IN ('pending', 'issuing', 'blocked')", "state = 'failed'", "state = 'cancelled'"]

    found = (await frames.reasons(ledger, period), await frames.funnel(ledger, period))

    expected = await plain(
        ledger,
        f"SELECT state, reason, count(*) FROM badge_issuances WHERE state <> 'issued' AND {changed} GROUP BY 1, 2",
    )
    assert set(numbers(found[0])) == set(expected)
    assert len(found[0]) == len(expected)
    counted = [f"(SELECT count(*) FROM badge_issuances WHERE {entered} AND {kind})" for kind in kinds]
    assert numbers(found[1]) == await plain(ledger, f"SELECT {', '.join(counted)}")


@pytest.mark.parametrize("count", ALL_COUNTS, ids=lambda count: count.__name__)
async def test_counts_have_the_columns_of_the_dictionary(database: Database, count: Any) -> None:
    dataset = Dataset(count.__name__)

    for rows in (0, 40):
        await fill(database, rows=rows, seed=1)
        for by in ((), (Group.ACHIEVEMENT, Group.TEMPLATE, Group.RUN)):
            assert_agrees(await count(database, by=by), fields(dataset, by=by))
            assert_agrees(
                await count(database, period_of("1990-01-01".replace("19", "20"), None), by=by), fields(dataset, by=by)
            )


async def test_groups_times_are_the_times_of_their_own_badges(ledger: Database) -> None:
    grouped = await frames.time_to_badge(ledger, by=(Group.PORTAL,))

    assert grouped["portal_id"].tolist() == ["aeolus", "northwind"]
    for row in numbers(grouped):
        own = await frames.time_to_badge(ledger, portal=row[0])
        assert numbers(own) == [row[1:]]
