"""docs/how-to/analysis.md: its cells run, one after the other, and their numbers are those of plain SQL."""

import ast
import inspect
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from models.database import Database
from settings import ROOT, settings
from tests.support.invented_history import invent

CELLS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/how-to/analysis.md").read_text("utf-8"), re.DOTALL)
ENTERED = """SELECT count(*) FROM issuance_history WHERE from_state IS NULL AND transition = 'enqueue'
    AND at >= '2026-04-01 00:00:00.000000' AND at < '2026-07-01 00:00:00.000000'"""
STOOD = """SELECT count(*) FROM badge_issuances WHERE planned_at < '2026-06-01 00:00:00.000000'"""


async def run_cell(cell: str, names: dict[str, Any]) -> None:
    """Run a cell as a notebook does, with `await` at its top level."""
    code = compile(cell, "analysis.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if inspect.iscoroutine(done := eval(code, names)):  # noqa: S307 - our own document
        await done


async def test_the_analysis_runs_and_its_numbers_are_those_of_sql(
    tmp_path: Path, migrated_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(migrated_file, tmp_path / "laurel.db")
    monkeypatch.setenv("LAUREL_DATABASE_URL", f"sqlite:///{tmp_path}/laurel.db")
    settings.cache_clear()
    ledger = Database(f"sqlite:///{tmp_path}/laurel.db")
    await invent(ledger, rows=400, seed=9)
    entered = await ledger.read(lambda connection: connection.scalar(text(ENTERED)))
    stood = await ledger.read(lambda connection: connection.scalar(text(STOOD)))
    names: dict[str, Any] = {}

    for cell in CELLS:
        await run_cell(cell, names)

    assert names["funnel"]["entered"].sum() == entered > 50
    assert names["on_the_day"]["issuances"].sum() == stood > 100
    assert names["by_cause"].to_numpy().sum() == len(names["failed"]) > 20
    assert names["months"].drop(columns="change").to_numpy().sum() == len(names["failed"])
    assert list(names["months"].columns) == ["2026-04", "2026-05", "2026-06", "change"]
    assert {"en", "de"} >= set(names["locales"].reset_index()["value"]) > set()
    assert "user-" not in capsys.readouterr().out
    settings.cache_clear()
    await ledger.dispose()
