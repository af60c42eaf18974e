"""The views and counts over the history agree with the plain rows, replayed in Python, on both databases."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import text

from models.analytics.filters import CountFilter
from models.analytics.history_counts import states_at, time_in_state
from models.database import Database
from models.ledger.history import IssuanceTransition
from models.ledger.tables import BadgeIssuance
from models.setup.history import SettingsChange
from reports import frames
from reports.dictionary import fields
from rules.datasets import Dataset, Group
from rules.forms.period import ALWAYS, Period, period_of
from rules.ledger.states import WAITING, IssuanceState
from tests.integration.test_frames import assert_agrees
from tests.support.factories import rows_of
from tests.support.invented_history import PLACES, invent

ALL = [
    frames.history,
    frames.states,
    frames.settings_history,
    frames.settings,
    frames.sent_settings,
    frames.daily_events,
    frames.states_at,
    frames.time_in_state,
    frames.funnel_events,
]
PERIODS = [ALWAYS, period_of("2026-02-01", "2026-02-28"), period_of(None, "2026-06-30"), period_of("2026-11-01", None)]
NOW = datetime(2026, 12, 31, tzinfo=UTC)
# A stay of an issuance in a state: the transition into it, and the next one or None.
Stay = tuple[Any, Any]


@pytest.fixture
async def ledger(database: Database) -> Database:
    await invent(database, rows=300, seed=22)
    return database


async def stays(database: Database) -> list[Stay]:
    by_issuance = defaultdict(list)
    for entry in sorted(await rows_of(database, IssuanceTransition), key=lambda each: each.id):
        by_issuance[entry.issuance_id].append(entry)
    return [pair for each in by_issuance.values() for pair in zip(each, [*each[1:], None], strict=True)]


async def portal_of(database: Database) -> dict[int, str]:
    return {row.id: row.portal_id for row in await rows_of(database, BadgeIssuance)}


def is_in(moment: datetime, period: Period) -> bool:
    return (period.start is None or period.start <= moment) and (period.end is None or moment < period.end)


def counted(frame: pd.DataFrame, keys: Sequence[str], column: str) -> dict[tuple[Any, ...], int]:
    rows = frame[[*keys, column]].itertuples(index=False, name=None)
    return {tuple(None if pd.isna(key) else key for key in row[:-1]): int(row[-1]) for row in rows}


@pytest.mark.parametrize("frame", ALL, ids=lambda frame: frame.__name__)
async def test_the_frames_have_the_columns_of_the_dictionary(database: Database, frame: Any) -> None:
    empty = await frame(database)
    await invent(database, rows=40, seed=1)
    full = await frame(database)

    for each in (empty, full):
        assert_agrees(each, fields(Dataset(frame.__name__)))
    assert len(full) > 0


async def test_a_state_lasts_until_the_next_transition(ledger: Database) -> None:
    frame = await frames.states(ledger)

    ended = frame["ended_at"].astype(object).where(frame["ended_at"].notna(), None)
    seconds = frame["seconds"].astype(object).where(frame["seconds"].notna(), None)
    columns = (frame["history_id"], frame["state"], frame["began_at"], ended, seconds)
    assert list(zip(*columns, strict=True)) == [
        (
            began.id,
            began.to_state,
            began.at,
            *((end.at, int((end.at - began.at).total_seconds())) if end else (None, None)),
        )
        for began, end in sorted(await stays(ledger), key=lambda pair: pair[0].id)
    ]
    operators = frame.dropna(subset=["ended_by"]).groupby("ended_by_run_id")["ended_by_operator_id"].unique()
    assert set(operators["run-1"]) == {"op-7"}


@pytest.mark.parametrize("day", [date(2026, 1, 31), date(2026, 5, 31), date(2026, 10, 27)])
async def test_counts_as_they_stood_when_a_day_ended(ledger: Database, day: date) -> None:
    portals, period = await portal_of(ledger), Period(last=day)
    assert period.end is not None

    found = await frames.states_at(ledger, period, by=(Group.PORTAL,))

    expected = Counter(
        (portals[began.issuance_id], began.to_state.value, began.reason and began.reason.value)
        for began, ended in await stays(ledger)
        if began.at < period.end and (ended is None or ended.at >= period.end)
    )
    assert counted(found, ["portal_id", "state", "reason"], "issuances") == expected
    assert len(expected) > 10


async def test_without_an_end_the_counts_are_those_of_the_ledger_now(ledger: Database) -> None:
    found = await ledger.read(states_at, CountFilter(now=NOW))

    present = await ledger.read(
        lambda c: c.execute(text("SELECT state, reason, count(*) AS n FROM badge_issuances GROUP BY 1, 2")).all()
    )
    assert {tuple(row[:2]): row[2] for row in found} == {(row.state, row.reason): row.n for row in present}


@pytest.mark.parametrize("period", PERIODS, ids=lambda period: period.name)
async def test_the_time_in_each_state(ledger: Database, period: Period) -> None:
    found = await ledger.read(time_in_state, CountFilter(period=period, now=NOW))

    times = defaultdict(list)
    for began, ended in await stays(ledger):
        if is_in(began.at, period):
            seconds = int(((ended.at if ended else NOW) - began.at).total_seconds())
            times[began.to_state.value, began.reason and began.reason.value].append((seconds, ended is None))
    expected = {}
    for key, values in times.items():
        seconds_of = sorted(seconds for seconds, _ in values)
        ranks = [seconds_of[-(-len(seconds_of) * percent // 100) - 1] for percent in (50, 95)]
        totals = [len(values), sum(is_open for _, is_open in values), *ranks, seconds_of[-1], sum(seconds_of)]
        expected[key] = totals
    assert {tuple(row[:2]): [int(each) for each in row[2:]] for row in found} == expected


EVENTS: dict[str, Any] = {
    "entered": lambda before, entry: before is None,
    "issued": lambda before, entry: entry.to_state == "issued" and before != "issued",
    "failed": lambda before, entry: entry.to_state == "failed" and before != "failed",
    "left_failed": lambda before, entry: before == "failed" and entry.to_state != "failed",
    "blocked": lambda before, entry: entry.to_state == "blocked" and before != "blocked",
    "left_blocked": lambda before, entry: before == "blocked" and entry.to_state != "blocked",
    "cancelled": lambda before, entry: entry.to_state == "cancelled" and before != "cancelled",
    "revoked": lambda before, entry: entry.transition == "revoke",
    "replaced": lambda before, entry: entry.transition == "replace",
}


LEVELS = {IssuanceState.FAILED: "failed_open", IssuanceState.ISSUED: "badges"}


async def entries_with_before(database: Database) -> Iterator[tuple[IssuanceState | None, Any]]:
    """Each transition with the state before it: that of the transition before, whatever the row itself has."""
    found: list[tuple[IssuanceState | None, Any]] = []
    previous: dict[int, IssuanceState] = {}
    for entry in sorted(await rows_of(database, IssuanceTransition), key=lambda each: each.id):
        found.append((previous.get(entry.issuance_id), entry))
        previous[entry.issuance_id] = entry.to_state
    return iter(found)


async def test_what_happened_on_each_day_and_what_was_open_at_its_end(ledger: Database) -> None:
    period, portals = period_of("2026-03-01", "2026-04-30"), await portal_of(ledger)

    found = await frames.daily_events(ledger, period, by=(Group.PORTAL,))

    events = Counter(
        (portals[entry.issuance_id], entry.at.date(), name)
        for before, entry in await entries_with_before(ledger)
        for name, holds in EVENTS.items()
        if holds(before, entry)
    )
    open_at: Counter[Any] = Counter()
    for began, ended in await stays(ledger):
        for day in (date(2026, 2, 28) + timedelta(days=number) for number in range(1, 62)):
            midnight = datetime.combine(day + timedelta(days=1), datetime.min.time(), tzinfo=UTC)
            if began.at < midnight and (ended is None or ended.at >= midnight):
                level = "waiting" if began.to_state in WAITING else LEVELS.get(began.to_state)
                open_at[portals[began.issuance_id], day, level] += 1
    assert len(found) == 61 * 2
    columns = [*EVENTS, "waiting", *LEVELS.values()]
    for row in found.to_dict("records"):
        key = (row["portal_id"], row["day"].date())
        expected = {name: events[(*key, name)] for name in EVENTS} | {
            name: open_at[(*key, name)] for name in ("waiting", *LEVELS.values())
        }
        assert {name: int(row[name]) for name in columns} == expected, key
    assert all(found[name].sum() for name in columns)


async def test_the_funnel_of_what_ever_happened(ledger: Database) -> None:
    period, portals = period_of("2026-02-01", "2026-05-31"), await portal_of(ledger)

    found = await frames.funnel_events(ledger, period, by=(Group.PORTAL,))

    lives: dict[int, list[str]] = defaultdict(list)
    begun: dict[int, datetime] = {}
    for before, entry in await entries_with_before(ledger):
        begun.setdefault(entry.issuance_id, entry.at)
        names = [name for name in EVENTS if EVENTS[name](before, entry)]
        lives[entry.issuance_id] += names
    expected: dict[str, Counter[str]] = defaultdict(Counter)
    for issuance, life in lives.items():
        if not is_in(begun[issuance], period):
            continue
        last = len(life) - 1 - life[::-1].index("issued") if "issued" in life else -1
        happened = {
            "entered": True,
            "issued": last >= 0,
            "issued_directly": last >= 0 and not {"failed", "blocked"} & set(life),
            "failed": "failed" in life,
            "failed_then_issued": "failed" in life and life.index("failed") < last,
            "blocked": "blocked" in life,
            "blocked_then_issued": "blocked" in life and life.index("blocked") < last,
            "cancelled": "cancelled" in life,
            "revoked": "revoked" in life,
        }
        expected[portals[issuance]].update({name: int(is_so) for name, is_so in happened.items()})
    assert {row.pop("portal_id"): row for row in found.to_dict("records")} == expected


async def test_a_setting_is_in_force_until_the_next_change_of_it(ledger: Database) -> None:
    frame = await frames.settings(ledger)

    of_forklift = frame[frame["subject_id"] == "forklift"]
    locale = of_forklift[of_forklift["setting"] == "locale"]
    assert locale["value"].tolist() == ["en", "de"]
    assert locale["ended_at"].iloc[0] == locale["began_at"].iloc[1]
    assert pd.isna(locale["ended_at"].iloc[1])
    paused = of_forklift[of_forklift["setting"] == "paused_at"]
    assert paused["value"].tolist() == ["2026-05-31T00:00:00+00:00", pd.NA]
    assert paused["operator_id"].tolist() == ["", "op-7"]
    values = frame.groupby(["subject_id", "setting"], observed=True)["value"].agg(
        lambda each: each.fillna("none").tolist()
    )
    assert values["boat", "locale"] == ["en", "none"]
    assert values["boat", "suppress_notification"] == ["true"]
    assert values["northwind", "calls_per_second"] == ["5.0"]
    assert values["northwind", "missing_name"] == [""]


async def test_the_settings_with_which_each_badge_was_sent(ledger: Database) -> None:
    frame = await frames.sent_settings(ledger)

    changes = sorted(await rows_of(ledger, SettingsChange), key=lambda each: each.id)
    issued = [entry for _, entry in await entries_with_before(ledger) if entry.transition == "issue"]
    issuances = {row.id: row for row in await rows_of(ledger, BadgeIssuance)}
    expected = {}
    for entry in issued:
        row, sent = issuances[entry.issuance_id], entry.at - timedelta(seconds=2)
        for subject in (row.achievement_id, PLACES[row.achievement_id]):
            in_force: dict[str, Any] = {}
            for change in changes:
                if change.subject_id == subject and change.at <= sent:
                    in_force |= {name: pair[1] for name, pair in json.loads(change.changes).items()}
            for name, value in in_force.items():
                if value is not None:
                    shown = str(value).lower() if isinstance(value, bool) else str(value)
                    expected[entry.id, name] = (shown, sent)
    found = {(row.history_id, row.setting): (row.value, row.sent_at) for row in frame.itertuples()}
    assert found == expected
    assert len(found) > 200


@pytest.mark.parametrize("frame", ALL, ids=lambda frame: frame.__name__)
async def test_a_portals_rows_and_counts_are_its_own(ledger: Database, frame: Any) -> None:
    everything, own = await frame(ledger), await frame(ledger, portal="aeolus")

    assert len(own) <= len(everything)
    for column in ("portal_id", "subject_id"):
        if column in own:
            assert set(own[column]) <= {"aeolus"}
    if "entered" in own:
        assert 0 < own["entered"].sum() < everything["entered"].sum()


COUNTED = {
    Dataset.TIME_TO_BADGE: "badges",
    Dataset.REASONS: "issuances",
    Dataset.FUNNEL: "entered",
    Dataset.STATES_AT: "issuances",
    Dataset.TIME_IN_STATE: "stays",
    Dataset.FUNNEL_EVENTS: "entered",
    Dataset.FAILURES: "failures",
    Dataset.REFUSALS: "calls",
    Dataset.DAILY: "issued",
    Dataset.DAILY_EVENTS: "issued",
}


async def test_the_groups_of_each_count_add_up_to_the_whole(ledger: Database) -> None:
    await ledger.write(lambda connection: connection.execute(text(REFUSED)))

    for dataset, column in COUNTED.items():
        whole = (await ledger.read(frames.counts_of, dataset, CountFilter(now=NOW)))[column].sum()
        for group in dataset.groups:
            frame = await ledger.read(frames.counts_of, dataset, CountFilter(now=NOW, by=(group,)))

            assert_agrees(frame, fields(dataset, by=(group,)))
            assert frame[column].sum() == whole > 0, (dataset, group)


async def test_failures_by_weekday_and_hour(ledger: Database) -> None:
    found = await frames.failures(ledger, by=(Group.WEEKDAY, Group.HOUR))

    expected = Counter(
        (f"{began.at.isoweekday()} {began.at:%a}", f"{began.at:%H}")
        for began, _ in await stays(ledger)
        if began.to_state == "failed"
    )
    sums = found.groupby(["weekday", "hour"], observed=True)["failures"].sum()
    assert {key: int(number) for key, number in sums.items()} == expected
    assert len(expected) > 20


async def test_of_users_those_with_most_badges_come_first(ledger: Database) -> None:
    await ledger.write(lambda connection: connection.execute(text(ONE_USER)))

    found = await ledger.read(frames.counts_of, Dataset.FUNNEL, CountFilter(by=(Group.USER,)))

    issued = Counter(row.user_id for row in await rows_of(ledger, BadgeIssuance) if row.state == "issued")
    assert found["issued"].tolist() == sorted(found["issued"], reverse=True)
    assert (found["user_id"][0], int(found["issued"][0])) == issued.most_common(1)[0]


REFUSED = """INSERT INTO issuance_attempts (issuance_id, kind, outcome, started_at, duration_ms, field_names)
    SELECT issuance_id, 'issue', 'refused', at, 150, '' FROM issuance_history WHERE transition = 'fail'"""
ONE_USER = """UPDATE badge_issuances SET user_id = 'user-0' WHERE id IN (
    SELECT max(id) FROM badge_issuances WHERE state = 'issued' GROUP BY achievement_id)"""
