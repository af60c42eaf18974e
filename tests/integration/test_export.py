"""Exported files hold what the frames hold, in every form, and are whole or not there."""

import asyncio
import csv
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow.parquet
import pytest

from models.database import Database
from reports import export as module
from reports import frames
from reports.dictionary import fields
from reports.export import ExportRequest, export
from reports.export import main as export_command
from reports.formats import opened
from reports.history_dictionary import HISTORY_FIELDS
from reports.html import main as report_command
from rules.datasets import Dataset, FileFormat, Group, Moment
from rules.forms.inputs import InvalidInput
from rules.forms.period import period_of
from rules.ledger.states import IssuanceState
from settings import settings
from tests.support.factories import a_portal, a_user, an_issuance
from tests.support.invented_history import invent
from tests.support.random_ledger import fill

ODD = ["=1+1", "+49 30", "-1", "@SUM(A1)", "\t=1", "＝1", '"quoted", with a comma', "two\nlines", "עברית 🏅"]
WITHOUT_RUN = [each for each in Dataset if not each.of_run]
COUNTS = [each for each in Dataset if not each.is_log]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LAUREL_REPORTS_FOLDER", str(tmp_path / "reports"))
    settings.cache_clear()
    yield tmp_path / "reports"
    settings.cache_clear()


def cells_of(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []


def sheet_of(path: Path) -> list[tuple[Any, ...]]:
    return list(openpyxl.load_workbook(path)["data"].iter_rows(values_only=True))


async def fill_all(database: Database, *, rows: int, seed: int, dataset: Dataset) -> None:
    """Fill the ledger; for what is read from the history, with one."""
    of_history = {*HISTORY_FIELDS, Dataset.FAILURES, Dataset.SETTINGS_EFFECTS}
    await (invent if dataset in of_history else fill)(database, rows=rows, seed=seed)


@pytest.mark.parametrize("dataset", WITHOUT_RUN)
async def test_a_parquet_file_gives_the_frame_back(database: Database, folder: Path, dataset: Dataset) -> None:
    await fill_all(database, rows=100, seed=3, dataset=dataset)
    frame = await getattr(frames, dataset.value)(database)

    done = await export(database, ExportRequest(dataset=dataset, file_format=FileFormat.PARQUET))

    read = pd.read_parquet(done.path, dtype_backend="numpy_nullable")
    assert done.rows == len(frame) > 0
    assert list(read.columns) == list(frame.columns)
    for field in fields(dataset):
        if field.dtype == "category":
            read[field.name] = read[field.name].cat.set_categories(frame[field.name].cat.categories)
    pd.testing.assert_frame_equal(read, frame, check_dtype=False)
    kinds = {name: str(dtype) for name, dtype in read.dtypes.items()}
    assert kinds == {field.name: field.dtype for field in fields(dataset)}
    assert pyarrow.parquet.read_schema(done.path).field(0).metadata[b"meaning"]


@pytest.mark.parametrize("dataset", WITHOUT_RUN)
async def test_csv_and_excel_hold_the_same_rows(database: Database, folder: Path, dataset: Dataset) -> None:
    await fill_all(database, rows=60, seed=4, dataset=dataset)
    by = () if dataset.is_log else (Group.PORTAL, Group.RUN)
    of_portal = ExportRequest(dataset=dataset, by=by, portal="northwind", period=period_of("2026-01-01", "2026-11-01"))

    as_csv = await export(database, of_portal)
    excel = await export(database, ExportRequest(**vars(of_portal) | {"file_format": FileFormat.EXCEL}))

    texts, values = cells_of(as_csv.path), sheet_of(excel.path)
    assert as_csv.rows == excel.rows == len(texts) - 1 == len(values) - 1 > 0
    assert texts[0] == list(values[0]) == [field.name for field in fields(dataset, by=by)]
    assert [row[0] for row in texts[1:]] == [str(row[0] or "") for row in values[1:]]
    for line, row in zip(texts[1:], values[1:], strict=True):
        assert [cell == "" for cell in line] == [cell in (None, "") for cell in row]


async def test_moments_are_in_utc_in_every_form(database: Database, folder: Path) -> None:
    await fill(database, rows=1, seed=5)
    ((entered,),) = (await frames.issuances(database))[["entered_at"]].to_numpy()

    as_csv = await export(database, ExportRequest(dataset=Dataset.ISSUANCES))
    excel = await export(database, ExportRequest(dataset=Dataset.ISSUANCES, file_format=FileFormat.EXCEL))
    daily = await export(database, ExportRequest(dataset=Dataset.DAILY, period=period_of("2026-03-29", "2026-03-30")))

    texts, values = cells_of(as_csv.path), sheet_of(excel.path)
    place = texts[0].index("entered_at")
    assert texts[1][place] == f"{entered:%Y-%m-%d %H:%M:%S.%f}Z"
    assert abs(values[1][place] - entered.tz_localize(None)) < pd.Timedelta("1ms")
    assert [row[0] for row in cells_of(daily.path)] == ["day", "2026-03-29", "2026-03-30"]


async def test_no_cell_is_a_formula_in_a_spreadsheet(database: Database, folder: Path) -> None:
    for number, odd in enumerate(ODD):
        await a_user(database, f"user-{number}", first_name=odd, last_name="-")
        await an_issuance(database, user=f"user-{number}", credly_message=odd, attempts=0)
    await an_issuance(database, user="=cmd|' /C calc'!A0")
    wish = ExportRequest(dataset=Dataset.ISSUANCES, personal_data=True)

    as_csv = await export(database, wish)
    excel = await export(database, ExportRequest(**vars(wish) | {"file_format": FileFormat.EXCEL}))

    texts = cells_of(as_csv.path)
    at = texts[0].index("credly_message")
    assert [row[at].removeprefix("'") for row in texts[1:-1]] == ODD
    assert [cell for row in texts for cell in row if cell.strip()[:1] in tuple("=+-@＝") and cell.strip()] == []
    sheet = openpyxl.load_workbook(excel.path)["data"]
    assert [cell.coordinate for row in sheet.iter_rows() for cell in row if cell.data_type == "f"] == []
    assert [row[at].value for row in sheet.iter_rows(min_row=2)][:-1] == ODD


async def test_names_and_addresses_are_exported_only_on_request(database: Database, folder: Path) -> None:
    await a_user(database, "ada", email="ada@example.org", last_name="Lovelace")
    await an_issuance(database, user="ada")

    plain = await export(database, ExportRequest(dataset=Dataset.ISSUANCES))
    personal = await export(database, ExportRequest(dataset=Dataset.ISSUANCES, personal_data=True))

    assert "Lovelace" not in plain.path.read_text()
    assert plain.note is None
    assert "ada@example.org" in personal.path.read_text()
    assert personal.note is not None
    assert "holds personal data: first_name, last_name, email" in personal.note.read_text()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (personal.path, personal.note)] == [0o600, 0o600]
    assert "PERSONAL-DATA" in personal.path.name
    assert len(names_in(folder)) == 3


async def test_what_was_rejected_is_exported_alone(database: Database, folder: Path) -> None:
    await fill(database, rows=100, seed=3)
    frame = await frames.issuances(database)
    rejected = (IssuanceState.FAILED, IssuanceState.BLOCKED)

    done = await export(database, ExportRequest(dataset=Dataset.ISSUANCES, states=rejected))

    head, *rows = cells_of(done.path)
    assert {row[head.index("state")] for row in rows} == {"failed", "blocked"}
    assert len(rows) == done.rows == frame["state"].isin(["failed", "blocked"]).sum()
    assert done.path.name == "laurel-issuances-failed-blocked-all.csv"
    assert "issuances that are failed or blocked" in done.request.words
    with pytest.raises(InvalidInput, match="states: attempts have none"):
        ExportRequest(dataset=Dataset.ATTEMPTS, states=rejected)


async def test_an_excel_file_says_what_it_holds(database: Database, folder: Path) -> None:
    await an_issuance(database)
    wish = ExportRequest(dataset=Dataset.ISSUANCES, file_format=FileFormat.EXCEL, personal_data=True)

    done = await export(database, wish)

    about = [row[0] for row in openpyxl.load_workbook(done.path)["about"].iter_rows(values_only=True)]
    assert about[0] == "issuances since the beginning"
    assert about[-1].startswith("This export holds personal data")


async def test_more_rows_than_a_sheet_holds_are_refused_before_anything_is_written(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database, rows=11, seed=6)
    monkeypatch.setattr(module, "EXCEL_ROWS", 10)

    with pytest.raises(InvalidInput, match=r"these are 11\. Choose CSV or Parquet"):
        await export(database, ExportRequest(dataset=Dataset.ISSUANCES, file_format=FileFormat.EXCEL))

    assert names_in(folder) == []


def test_an_empty_file_has_its_heading(tmp_path: Path) -> None:
    for form in FileFormat:
        with opened(tmp_path / f"empty.{form}", form, fields(Dataset.RUNS), []):
            pass

    assert cells_of(tmp_path / "empty.csv") == [[field.name for field in fields(Dataset.RUNS)]]
    assert list(pd.read_parquet(tmp_path / "empty.parquet").columns) == [field.name for field in fields(Dataset.RUNS)]
    assert len(sheet_of(tmp_path / "empty.xlsx")) == 1


async def test_portals_that_do_not_exist_are_refused_and_names_are_safe(database: Database, folder: Path) -> None:
    await a_portal(database, "../../etc")
    await an_issuance(database, portal="../../etc")
    await an_issuance(database, portal="gone", achievement="gone")

    with pytest.raises(InvalidInput, match="there is no portal `northwnd`"):
        await export(database, ExportRequest(dataset=Dataset.RUNS, portal="northwnd"))
    done = await export(database, ExportRequest(dataset=Dataset.ISSUANCES, portal="../../etc"))
    gone = await export(database, ExportRequest(dataset=Dataset.ISSUANCES, portal="gone", moment=Moment.CHANGED))

    assert (done.rows, gone.rows) == (1, 1)
    assert {done.path.parent, gone.path.parent} == {folder}
    assert gone.path.name == "laurel-issuances-gone-changed-at-all.csv"


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"personal_data": True}, "personal_data: runs hold no names and addresses"),
        ({"by": (Group.RUN,)}, "by: runs are single rows and are not grouped"),
    ],
)
def test_wishes_that_make_no_sense_are_refused(wish: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as mistake:
        ExportRequest(dataset=Dataset.RUNS, **wish)

    assert str(mistake.value).startswith(words)


@pytest.mark.parametrize(
    ("main", "arguments", "code", "out", "err"),
    [
        (export_command, ["daily", "--by", "portal"], 0, r"\d rows: \S+by-portal-all.csv\n", ""),
        (export_command, ["issuances", "--personal-data"], 0, r"2 rows: \S+\nThis export holds personal data.+\n", ""),
        (export_command, ["runs", "--from", "11/02/2026"], 2, "", r"from_day: '11/02/2026' is not a day\. .+\n"),
        (report_command, ["--span", "last week"], 0, r"Credly badges from .+: \S+laurel-report-\S+\.html\n", ""),
        (report_command, ["--from", "2999-01-01"], 2, "", r"from_day: 2999-01-01 is after today, .+\n"),
    ],
)
async def test_the_commands_say_where_the_file_is_or_why_there_is_none(
    database: Database,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    main: Callable[[list[str]], int],
    arguments: list[str],
    code: int,
    out: str,
    err: str,
) -> None:
    monkeypatch.setenv("LAUREL_DATABASE_URL", database.engine.url.render_as_string(hide_password=False))
    settings.cache_clear()
    await an_issuance(database)
    await an_issuance(database, user="bob")

    assert await asyncio.to_thread(main, arguments) == code

    written = capsys.readouterr()
    assert re.fullmatch(out, written.out)
    assert re.fullmatch(err, written.err)


async def test_excel_has_a_filter_over_all_rows_and_columns_wide_enough(database: Database, folder: Path) -> None:
    await fill(database, rows=30, seed=8)

    done = await export(database, ExportRequest(dataset=Dataset.ISSUANCES, file_format=FileFormat.EXCEL))

    sheet = openpyxl.load_workbook(done.path)["data"]
    assert sheet.auto_filter.ref == sheet.dimensions == f"A1:AE{done.rows + 1}"
    widths = [sheet.column_dimensions[cell.column_letter].width for cell in sheet[1]]
    assert [cell.value for cell, width in zip(sheet[1], widths, strict=True) if width < len(str(cell.value)) + 2] == []


async def test_a_csv_begins_with_a_byte_order_mark_only_on_request(database: Database, folder: Path) -> None:
    await a_portal(database, "north", name="Außenstelle")
    await an_issuance(database, portal="north")

    plain = await export(database, ExportRequest(dataset=Dataset.ISSUANCES))
    marked = await export(database, ExportRequest(dataset=Dataset.ISSUANCES, file_format=FileFormat.CSV_WITH_BOM))

    assert (plain.path.name, marked.path.name) == ("laurel-issuances-all.csv", "laurel-issuances-all.bom.csv")
    assert marked.path.read_bytes() == b"\xef\xbb\xbf" + plain.path.read_bytes()
