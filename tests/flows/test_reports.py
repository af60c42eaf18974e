"""Exports and reports as people start them by flow: Prefect is told ids, counts and where the file is."""

import csv
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from flows.export import export
from flows.report import report
from reports.dictionary import PERSONAL
from rules.datasets import Dataset, FileFormat
from rules.forms.period import Span
from rules.ledger.states import IssuanceState
from tests.support.factories import a_user, an_issuance, together
from tests.support.seen import log_of, refused, see
from tests.support.world import World

NOW = datetime.now(UTC)


@pytest.fixture
async def reporting(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world.configure(monkeypatch, REPORTS_FOLDER=str(tmp_path / "reports"))
    await a_user(world.database, "u4711", email="minna.f@post.example.net", last_name="Featherstonehaugh")
    moments: dict[str, Any] = {
        "awarded_at": NOW - timedelta(hours=2),
        "planned_at": NOW,
        "recorded_at": NOW,
        "updated_at": NOW,
    }
    await an_issuance(world.database, user="u4711", state=IssuanceState.ISSUED, issued_at=NOW, **moments)
    await an_issuance(world.database, user="bob", planned_at=NOW, updated_at=NOW)
    return world


def file_in(page: str) -> Path:
    (path,) = re.findall(r"`(/[^`]+)`", page)
    return Path(path)


@pytest.mark.prefect
async def test_an_export_is_told_by_counts_and_says_where_it_is(reporting: World) -> None:
    seen = await see(export, portal="northwind")

    path = file_in(seen.page)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (seen.name, seen.message) == ("Completed", "2 rows of issuances of portal northwind since the beginning")
    assert [row["user_id"] for row in rows] == ["u4711", "bob"]
    assert seen.page.startswith("# 2 rows\n")
    ((first, second),) = seen.tables
    assert first.keys() == rows[0].keys()
    assert list(first)[:4] == ["portal_id", "achievement_id", "user_id", "state"]
    assert list(first)[-2:] == ["issuance_id", "badge_template_id"]
    assert (first["state"], first["seconds_to_badge"], second["recorded_at"]) == ("issued", 7200, None)
    assert first["entered_at"] == f"{NOW:%Y-%m-%d %H:%M:%S}Z"


async def test_a_delivered_file_is_linked(reporting: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = {"REPORTS_TARGET": f"file://{tmp_path}/share", "REPORTS_LINK": "https://files.example.org/laurel"}
    reporting.configure(monkeypatch, **shared)

    exported, reported = await see(export, folder="for-ada"), await see(report, folder="for-ada")

    assert exported.links == ["https://files.example.org/laurel/for-ada/laurel-issuances-all.csv"]
    names = sorted(file.name for file in (tmp_path / "share/for-ada").iterdir())
    assert names[0] == "laurel-issuances-all.csv"
    assert reported.links == [f"https://files.example.org/laurel/for-ada/{names[1]}"]
    assert f"`file://{tmp_path}/share/for-ada/{names[1]}`" in reported.page


@pytest.mark.parametrize(("badges", "words"), [(998, "The rows are also"), (999, "The first 1000 rows are also")])
async def test_the_first_thousand_rows_are_a_table(reporting: World, badges: int, words: str) -> None:
    async def make(connection: Connection) -> None:
        for number in range(badges):
            await an_issuance(connection, user=f"other-{number}")

    await together(reporting.database, make)

    seen = await see(export)

    assert seen.message.startswith(f"{badges + 2} rows of issuances")
    assert [len(table) for table in seen.tables] == [1000]
    assert f"{words} in this run's artifact `export-table`" in seen.page


@pytest.mark.prefect
async def test_personal_data_is_in_the_file_and_nowhere_else(reporting: World) -> None:
    seen = await see(export, what=Dataset.ISSUANCES, file_format=FileFormat.CSV, personal_data=True)

    assert seen.message == "2 rows of issuances since the beginning · with personal data"
    assert "This export holds personal data" in seen.page.replace("\\", "")
    assert "Featherstonehaugh" in file_in(seen.page).read_text()
    (table,) = seen.tables
    assert [row["user_id"] for row in table] == ["u4711", "bob"]
    assert [field.name for field in PERSONAL if field.name in table[0]] == []
    told = "\n".join([seen.title, seen.message, seen.page, str(table), *await log_of(seen.run_id)])
    assert [secret for secret in ("Featherstonehaugh", "minna") if secret in told] == []


@pytest.mark.parametrize(
    ("flow", "wish", "words"),
    [
        (export, {"from_day": date(2026, 11, 2), "until_day": date(2026, 11, 1)}, "until_day: 2026-11-01 is before"),
        (report, {"portal": "northwnd"}, "portal: there is no portal `northwnd`. Did you mean northwind"),
    ],
)
async def test_what_makes_no_sense_gets_one_clear_error(
    reporting: World, flow: object, wish: dict[str, object], words: str
) -> None:
    message = await refused(flow, **wish)  # type: ignore[arg-type]

    assert message.startswith(words)


@pytest.mark.prefect
async def test_a_report_tells_its_key_numbers_and_where_it_is(reporting: World) -> None:
    seen = await see(report, span=Span.LAST_30_DAYS, portal="northwind")

    page = file_in(seen.page).read_text()
    assert seen.name == "Completed"
    assert seen.message == "issued 1 · failed 0 · waiting 1 · award to badge 2 h · claimed –"
    assert "| Issued | **1** | \\+1 \\(none before\\)" in seen.page
    assert "Credly badges of Northwind" in page
    assert [secret for secret in ("Featherstonehaugh", "minna") if secret in page + seen.page] == []
