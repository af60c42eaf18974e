"""The frames have the dictionary's columns and say what the ledger says."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Connection, text

from models.analytics.filters import RowFilter
from models.database import Database
from models.ledger.tables import AttemptKind, AttemptOutcome
from reports import frames
from reports.dictionary import PERSONAL, fields
from reports.field import Field
from reports.typed import joined
from rules.datasets import Dataset, Moment
from rules.forms.period import period_of
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from tests.support.factories import a_user, an_achievement, an_attempt, an_issuance, together

MIDNIGHT = datetime(2026, 3, 29, tzinfo=UTC)  # clocks change in Europe on this day
MOMENTS = [MIDNIGHT + timedelta(microseconds=offset) for offset in (-1_000_000, -1, 0, 1, 1_000_000)]
LOGS = (frames.issuances, frames.attempts, frames.runs)


async def some_of_everything(database: Database) -> None:
    """Issuances of two portals in every state around midnight, with calls of two runs."""
    await together(database, _some_of_everything)


async def _some_of_everything(database: Connection) -> None:
    await an_achievement(database, "forklift")
    await an_achievement(database, "crane", portal="aeolus")
    await a_user(database, "user-0")
    number = 0
    for state in IssuanceState:
        for moment in MOMENTS:
            portal, achievement = ("aeolus", "crane") if number % 3 == 0 else ("northwind", "forklift")
            recorded = {"recorded_at": moment + timedelta(hours=number)} if state is IssuanceState.ISSUED else {}
            issuance = await an_issuance(
                database,
                user=f"user-{number}",
                achievement=achievement,
                portal=portal,
                state=state,
                awarded_at=moment - timedelta(days=number % 2),
                planned_at=moment,
                updated_at=moment,
                **recorded,
            )
            for outcome in (AttemptOutcome.UNCLEAR, AttemptOutcome.ISSUED):
                await an_attempt(
                    database, issuance=issuance, outcome=outcome, started_at=moment, flow_run_id=f"run-{number % 2}"
                )
            number += 1


def assert_agrees(frame: pd.DataFrame, columns: tuple[Field, ...]) -> None:
    """The frame has the dictionary's columns, dtypes, values and no others."""
    assert list(frame.columns) == [field.name for field in columns]
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {each.name: each.dtype for each in columns}
    for field in columns:
        assert field.nullable or not frame[field.name].isna().any(), field.name
        if field.choices:
            assert tuple(frame[field.name].cat.categories) == field.choices


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.__name__)
async def test_frames_have_the_columns_of_the_dictionary(database: Database, log: Any) -> None:
    empty = await log(database)
    await some_of_everything(database)
    full = await log(database)

    assert len(empty) == 0
    assert len(full) > 0
    for frame in (empty, full):
        assert_agrees(frame, fields(Dataset(log.__name__)))


async def test_personal_data_is_in_the_frame_only_on_request(database: Database) -> None:
    await a_user(database, "ada", email="ada@example.org", first_name="Ada", last_name="Lovelace")
    await an_issuance(database, user="ada", badge_url="https://credly.example.org/b/1")
    await an_issuance(database, user="gone")

    without, with_it = await frames.issuances(database), await frames.issuances(database, personal_data=True)

    assert "Lovelace" not in without.to_csv()
    assert "@" not in without.to_csv()
    assert_agrees(with_it, fields(Dataset.ISSUANCES, personal_data=True))
    assert with_it["email"].tolist() == ["ada@example.org", pd.NA]
    assert with_it["last_name"].tolist() == ["Lovelace", pd.NA]
    assert {field.name for field in PERSONAL} == set(with_it.columns) - set(without.columns)


@pytest.mark.parametrize("moment", list(Moment))
async def test_a_period_is_of_days_in_utc(database: Database, moment: Moment) -> None:
    await some_of_everything(database)
    everything = await frames.issuances(database)

    found = await frames.issuances(database, period_of("2026-03-29", "2026-03-29"), moment=moment)

    values = everything[moment.value]
    wanted = everything[(values >= MIDNIGHT) & (values < MIDNIGHT + timedelta(days=1))]
    assert 0 < len(wanted) < len(everything)
    assert found["issuance_id"].tolist() == wanted["issuance_id"].tolist()


async def test_the_sides_of_a_period_can_be_open(database: Database) -> None:
    await some_of_everything(database)

    everything = len(await frames.attempts(database))
    until = len(await frames.attempts(database, period_of(None, "2026-03-28")))
    since = len(await frames.attempts(database, period_of("2026-03-29", None)))

    assert (until, since, everything) == (24, 36, 60)


async def test_a_portals_rows_are_its_own(database: Database) -> None:
    await some_of_everything(database)

    for log in LOGS:
        everything, own = await log(database), await log(database, portal="aeolus")
        assert set(own["portal_id"]) == {"aeolus"}
        assert len(own) == (everything["portal_id"] == "aeolus").sum()
    assert own["portal_name"].tolist() == ["Aeolus", "Aeolus"]


async def test_batches_are_parts_of_the_whole(database: Database) -> None:
    await some_of_everything(database)
    whole = await frames.issuances(database)

    parts = [part async for part in frames.in_batches(database, Dataset.ISSUANCES, RowFilter(), size=7)]

    assert [len(part) for part in parts] == [7, 7, 7, 7, 2]
    pd.testing.assert_frame_equal(joined(parts, fields(Dataset.ISSUANCES)), whole)


async def test_the_runs_are_what_their_calls_add_up_to(database: Database) -> None:
    await some_of_everything(database)
    calls, runs = await frames.attempts(database), await frames.runs(database)

    grouped = calls.groupby(["flow_run_id", "portal_id"], observed=True)
    for (run, portal), own in grouped:
        row = runs[(runs["flow_run_id"] == run) & (runs["portal_id"] == portal)].iloc[0]
        assert (row["calls"], row["issuances"]) == (len(own), own["issuance_id"].nunique())
        assert (row["first_call_at"], row["last_call_at"]) == (own["started_at"].min(), own["started_at"].max())
        for outcome in AttemptOutcome:
            assert row[outcome.value] == (own["outcome"] == outcome.value).sum()
    assert len(runs) == grouped.ngroups == 4


async def test_the_time_to_a_badge_is_in_whole_seconds_of_both_moments(database: Database) -> None:
    awarded = datetime(2026, 10, 25, 0, 59, 59, 999_999, tzinfo=UTC)
    cases = {
        "at once": (awarded, 0),
        "the next second": (awarded + timedelta(microseconds=1), 1),
        "hours later": (awarded + timedelta(hours=3), 10_800),
        "before the award": (awarded - timedelta(seconds=5), None),
    }
    for name, (recorded, _expected) in cases.items():
        await an_issuance(
            database, user=name, state=IssuanceState.ISSUED, awarded_at=awarded, recorded_at=recorded, issued_at=awarded
        )

    frame = await frames.issuances(database)

    found = dict(zip(frame["user_id"], frame["seconds_to_badge"], strict=True))
    assert {name: None if pd.isna(value) else value for name, value in found.items()} == {
        name: expected for name, (_recorded, expected) in cases.items()
    }


async def test_a_badge_is_claimed_where_an_audit_since_then_says_so(database: Database) -> None:
    recorded = datetime(2026, 11, 2, tzinfo=UTC)
    later, earlier = recorded + timedelta(hours=1), recorded - timedelta(hours=1)
    cases: dict[str, tuple[dict[str, Any], bool | None]] = {
        "accepted": ({"credly_state": "accepted", "audited_at": later}, True),
        "not yet": ({"credly_state": "pending", "audited_at": later}, False),
        "not asked": ({}, None),
        "asked of the badge before": ({"credly_state": "accepted", "audited_at": earlier}, None),
    }
    for name, (values, _expected) in cases.items():
        await an_issuance(database, user=name, state=IssuanceState.ISSUED, recorded_at=recorded, **values)
    await an_issuance(database, user="failed", state=IssuanceState.FAILED, audited_at=later, credly_state="accepted")

    frame = await frames.issuances(database)

    found = {user: None if pd.isna(value) else bool(value) for user, value in frame[["user_id", "claimed"]].to_numpy()}
    assert found == {name: expected for name, (_values, expected) in cases.items()} | {"failed": None}


async def test_the_views_hold_no_personal_data(database: Database) -> None:
    await a_user(database, "ada", email="ada@post.example.org", first_name="Ada", last_name="Lovelace")
    staff: dict[str, Any] = {
        "requested_by": "USER: grace@example.org",
        "request_reason": "Hopper asked",
        "badge_url": "https://x/Ada",
    }
    issuance = await an_issuance(database, user="ada", **staff)
    await an_attempt(database, issuance=issuance, kind=AttemptKind.ISSUE, flow_run_id="run-1")

    def rows(connection: Connection, name: str) -> str:
        return str(list(connection.execute(text(f"SELECT * FROM laurel_{name}"))))

    shown = [await database.read(rows, name) for name in ("issuances", "attempts", "runs")]

    assert all("northwind" in told for told in shown)
    assert [secret for secret in ("Lovelace", "@", "Hopper", "https") if secret in "".join(shown)] == []


async def test_reasons_and_states_are_text_of_their_categories(database: Database) -> None:
    await an_issuance(database, state=IssuanceState.FAILED, reason=Reason.NAME_MISSING)

    frame = await frames.issuances(database)

    assert (frame["state"].tolist(), frame["reason"].tolist()) == (["failed"], ["name_missing"])
    assert type(frame["state"].iloc[0]) is str
