"""Old months of history and calls are moved into files: nothing is lost or doubled, and recent answers stay."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from models.analytics.filters import CountFilter
from models.base import Model
from models.database import Database
from models.ledger.history import IssuanceTransition
from models.ledger.tables import BadgeIssuance, IssuanceAttempt
from models.operations.open_counts import LATEST_ATTEMPTS
from reports import archive as archiving
from reports import frames
from reports.archive import archive, kept_from, moved_out
from reports.delivery import move
from reports.export import ExportRequest, export
from rules.datasets import Dataset
from rules.forms.inputs import InvalidInput
from rules.forms.period import ALWAYS, Period, period_of
from rules.ledger.states import IssuanceState
from settings import NotConfigured, Settings, settings
from tests.support.factories import an_attempt, an_issuance, change, rows_of
from tests.support.interrupted import MortalDatabase, beside, until_killed
from tests.support.invented_history import invent

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
KEPT_FROM = datetime(2026, 8, 1, tzinfo=UTC)
KEPT = period_of("2026-08-01", None)
UNTIL_MAY = datetime(2026, 9, 15, tzinfo=UTC)  # the first run, when June is still kept
LOGS: dict[str, type[Model]] = {"history": IssuanceTransition, "attempts": IssuanceAttempt}


async def time_in_state(database: Database, period: Period) -> pd.DataFrame:
    return await database.read(frames.counts_of, Dataset.TIME_IN_STATE, CountFilter(period=period, now=NOW))


ANSWERS: Sequence[Any] = (
    frames.history,
    frames.states,
    frames.attempts,
    frames.sent_settings,
    frames.daily_events,
    frames.states_at,
    time_in_state,
    frames.funnel_events,
    frames.failures,
    frames.slowest,
    frames.settings_effects,
)


@pytest.fixture
def configured(tmp_path: Path) -> Settings:
    return Settings(reports_folder=tmp_path / "reports", reports_target=f"file://{tmp_path}/share", archive_after=3)


@pytest.fixture
async def ledger(database: Database) -> Database:
    database.rows_per_page = 20
    await invent(database, rows=300, seed=24)
    issuance = await an_issuance(database, id=1000, user="latest", state=IssuanceState.CANCELLED)
    await an_attempt(database, issuance=issuance, id=LATEST_ATTEMPTS * 2)  # so that the others are not the latest
    return database


def files(configured: Settings) -> list[str]:
    return sorted(each.name for each in (_share(configured) / "archive").iterdir())


def _share(configured: Settings) -> Path:
    return Path(configured.reports_target.removeprefix("file://"))


def moved_rows(configured: Settings, log: str) -> list[dict[str, Any]]:
    return [
        row
        for file in sorted((_share(configured) / "archive").glob(f"{log}-*"))
        for row in pa.parquet.ParquetFile(file).read().to_pylist()
    ]


async def ids(ledger: Database, log: str) -> list[int]:
    return [row.id for row in await rows_of(ledger, LOGS[log])]


async def all_ids(ledger: Database, configured: Settings, log: str) -> list[int]:
    """Of the ledger and of the files: one that is in both is here twice."""
    key = "history_id" if log == "history" else "attempt_id"
    return sorted(await ids(ledger, log) + [row[key] for row in moved_rows(configured, log)])


async def test_months_are_moved_and_answers_about_those_that_are_kept_stay(
    ledger: Database, configured: Settings
) -> None:
    before = {log: await rows_of(ledger, model) for log, model in LOGS.items()}
    answers = [await frame(ledger, KEPT) for frame in ANSWERS]
    states = {row.id: row.state for row in await rows_of(ledger, BadgeIssuance)}

    sentence = await archive(ledger, configured, now=NOW)

    transitions, calls = (moved_rows(configured, log) for log in LOGS)
    assert sentence == (
        f"Months are moved out after 3 months: {len(transitions)} transitions and {len(calls)} calls to "
        f"`{configured.reports_target}/archive`."
    )
    assert files(configured) == [
        f"{log}-2026-0{month}.parquet" for log in ("attempts", "history") for month in range(1, 8)
    ]
    assert not list((configured.reports_folder / "archive").iterdir())
    for log, moved in zip(LOGS, (transitions, calls), strict=True):
        assert len(moved) > 50
        assert await all_ids(ledger, configured, log) == [row.id for row in before[log]]
        by_id = {row.id: row._asdict() for row in before[log]}
        for row in moved:
            number, *_ = row.values()
            assert {name: by_id[number][name] for name in list(row)[1:]} == dict(list(row.items())[1:])
            assert states[row["issuance_id"]] in (IssuanceState.ISSUED, IssuanceState.CANCELLED)
    for frame, answer in zip(ANSWERS, answers, strict=True):
        pd.testing.assert_frame_equal(await frame(ledger, KEPT), answer)
    pd.testing.assert_frame_equal(await frames.states_at(ledger), await frames.states_at(ledger, KEPT))

    assert "0 transitions and 0 calls" in await archive(ledger, configured, now=NOW)


async def test_no_column_of_a_file_identifies_a_user(ledger: Database, configured: Settings) -> None:
    await archive(ledger, configured, now=NOW)

    personal = {"user_id", "requested_by", "operator_id", "credly_message", "credly_request_id", "request_id"}
    for log in LOGS:
        assert not (personal | {"request_fingerprint"}) & moved_rows(configured, log)[0].keys()


async def test_what_was_open_follows_in_a_later_file(ledger: Database, configured: Settings) -> None:
    await archive(ledger, configured, now=UNTIL_MAY)
    written = {name: (_share(configured) / "archive" / name).read_bytes() for name in files(configured)}
    state = {row.id: row.state for row in await rows_of(ledger, BadgeIssuance)}
    early = datetime(2026, 5, 1, tzinfo=UTC)
    (late, *_) = [
        row.issuance_id
        for row in await rows_of(ledger, IssuanceTransition)
        if row.at < early and state[row.issuance_id] is IssuanceState.FAILED
    ]
    rows = [row for row in await rows_of(ledger, IssuanceTransition) if row.issuance_id == late]
    await change(
        ledger, BadgeIssuance, late, state=IssuanceState.CANCELLED, reason="integration_removed",
        updated_at=datetime(2026, 7, 2, tzinfo=UTC), sent_to=None, unclear_at=None,
    )  # fmt: skip

    await archive(ledger, configured, now=NOW)

    assert {name: (_share(configured) / "archive" / name).read_bytes() for name in written} == written
    of_july = pa.parquet.ParquetFile(_share(configured) / "archive/history-2026-07.parquet").read().to_pylist()
    moved = [row["history_id"] for row in of_july if row["issuance_id"] == late]
    assert moved == [row.id for row in rows]


@pytest.mark.parametrize("deletions", [0, 2])
async def test_a_crash_after_a_file_was_written_loses_and_doubles_nothing(
    ledger: Database, configured: Settings, deletions: int
) -> None:
    before = {log: await ids(ledger, log) for log in LOGS}
    ledger.rows_per_page = 1

    async with beside(ledger, MortalDatabase(ledger.url, writes_left=deletions)) as mortal:
        assert await until_killed(archive(mortal, configured, now=NOW))
    assert files(configured) == ["history-2026-01.parquet"]
    complete = moved_rows(configured, "history")
    assert len(before["history"]) - len(await ids(ledger, "history")) == deletions < len(complete)

    await archive(ledger, configured, now=NOW)

    assert moved_rows(configured, "history")[: len(complete)] == complete
    for log in LOGS:
        assert await all_ids(ledger, configured, log) == before[log]


async def test_a_file_that_does_not_come_back_whole_is_removed_and_its_rows_stay(
    ledger: Database, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {log: await ids(ledger, log) for log in LOGS}

    def cut_short(path: Path, target: str, check: Any) -> None:
        rows = pa.parquet.ParquetFile(path).read()
        pa.parquet.write_table(rows.slice(1), path)
        move(path, target, check)

    with monkeypatch.context() as patched:
        patched.setattr(archiving, "move", cut_short)
        with pytest.raises(InvalidInput, match=r"^LAUREL_REPORTS_TARGET: a file of \d+ rows came back with \d+\. "):
            await archive(ledger, configured, now=NOW)
    assert files(configured) == []
    assert {log: await ids(ledger, log) for log in LOGS} == before

    await archive(ledger, configured, now=NOW)

    for log in LOGS:
        assert await all_ids(ledger, configured, log) == before[log]


async def test_a_target_that_cannot_be_written_to_is_one_sentence_and_the_rows_stay(
    ledger: Database, configured: Settings
) -> None:
    before = {log: await ids(ledger, log) for log in LOGS}
    nowhere = configured.model_copy(update={"reports_target": "file:///proc/laurel"})

    with pytest.raises(
        InvalidInput, match=r"^LAUREL_REPORTS_TARGET: months could not be moved to `file:///proc/laurel`"
    ):
        await archive(ledger, nowhere, now=NOW)

    assert {log: await ids(ledger, log) for log in LOGS} == before


async def test_the_latest_calls_stay_however_old_they_are(database: Database, configured: Settings) -> None:
    old = NOW - timedelta(days=200)
    issuance = await an_issuance(database, state=IssuanceState.ISSUED, updated_at=old, recorded_at=old)
    await an_attempt(database, issuance=issuance, started_at=old)

    assert "0 transitions and 0 calls" in await archive(database, configured, now=NOW)


def test_whole_months_are_counted_back() -> None:
    assert kept_from(3, now=NOW) == KEPT_FROM
    assert kept_from(11, now=NOW) == datetime(2025, 12, 1, tzinfo=UTC)
    assert kept_from(12, now=datetime(2026, 12, 1, tzinfo=UTC)) == datetime(2025, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("dataset", "period", "is_named"),
    [
        (Dataset.HISTORY, KEPT, False),
        (Dataset.HISTORY, period_of("2026-07-31", None), True),
        (Dataset.HISTORY, ALWAYS, True),
        (Dataset.ISSUANCES, ALWAYS, False),
        (Dataset.STATES_AT, ALWAYS, False),
        (Dataset.STATES_AT, period_of(None, "2026-07-31"), False),
        (Dataset.STATES_AT, period_of(None, "2026-07-30"), True),
    ],
)
def test_an_answer_that_reaches_back_too_far_has_a_sentence(
    configured: Settings, dataset: Dataset, period: Period, is_named: bool
) -> None:
    sentence = moved_out(dataset, period, configured, now=NOW)

    assert bool(sentence) is is_named
    assert not is_named or sentence.startswith("Transitions and calls from before 2026-08-01 (UTC) may be missing here")
    assert moved_out(dataset, period, configured.model_copy(update={"archive_after": 0}), now=NOW) == ""


async def test_an_export_has_the_sentence(
    database: Database, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("reports_folder", "reports_target", "archive_after"):
        monkeypatch.setenv(f"LAUREL_{name.upper()}", str(getattr(configured, name)))
    settings.cache_clear()

    done = [await export(database, ExportRequest(dataset=each)) for each in (Dataset.HISTORY, Dataset.ISSUANCES)]

    settings.cache_clear()
    assert [each.incomplete[:11] for each in done] == ["Transitions", ""]


def test_nothing_is_moved_to_the_disk_of_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    settings.cache_clear()
    monkeypatch.setenv("LAUREL_ARCHIVE_AFTER", "12")

    with pytest.raises(NotConfigured, match=r"^LAUREL_ARCHIVE_AFTER: .*set LAUREL_REPORTS_TARGET as well"):
        settings()
    settings.cache_clear()
