"""Questions of docs/how-to/run-history.md asked by clicking: the form `export`, its run, and the table of its page."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator

from models.database import Database
from models.migrate import create_platform_tables, migrate
from tests.support.asked_history import invent_asked
from tests.support.background import Background
from tests.support.installation import Installation, running_installation
from tests.support.prefect_ui_v2 import PrefectUiV2

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]  # starting everything is in the first test's time


async def _prepare(file: Path) -> None:
    database = Database(f"sqlite:///{file}")
    await create_platform_tables(database)
    await migrate(database)
    await database.dispose()
    await invent_asked(file)


@pytest.fixture(scope="module")
def ledger(now: Background, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("asked") / "laurel.db"
    now(_prepare(file))
    return file


@pytest.fixture(scope="module")
def office(browser: Browser, ledger: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A worker on the invented year."""
    with running_installation(tmp_path_factory.mktemp("office"), database_url=f"sqlite:///{ledger}") as running:
        # Its runs would fail: there is no Credly where the invented portals are connected.
        running.reschedule("follow-badges", {"cron": "0 0 1 1 *", "timezone": "UTC"})
        yield running


def rows_in(table: Locator) -> list[dict[str, str]]:
    """Return the rows of the table's first page."""
    heads = table.locator("th").all_inner_texts()
    return [
        dict(zip(heads, row.locator("td").all_inner_texts(), strict=True)) for row in table.locator("tbody tr").all()
    ]


def answer(ledger: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(ledger)) as connection:
        return connection.execute(query).fetchall()


def test_what_failed_in_some_days_and_how_it_was_resolved(ui: PrefectUiV2, ledger: Path) -> None:
    ui.form("export", by_search=True)
    ui.choose("states", "what")
    ui.pick_day(date(2026, 5, 11), "from_day")
    ui.pick_day(date(2026, 5, 20), "until_day")
    ui.search("northwind", "portal")
    ui.choose_several(["failed"], "states")
    table = ui.table(ui.submit())

    expected = answer(
        ledger,
        """SELECT i.user_id, h.reason, i.state FROM issuance_history AS h JOIN badge_issuances AS i
        ON i.id = h.issuance_id WHERE h.to_state = 'failed' AND h.at >= '2026-05-11' AND h.at < '2026-05-21'
        AND i.portal_id = 'northwind'""",
    )
    shown = rows_in(table)
    assert sorted((row["user_id"], row["reason"], row["state_now"]) for row in shown) == sorted(expected) != []
    assert list(shown[0])[:5] == ["portal_id", "achievement_id", "user_id", "state", "reason"]
    assert all(row["began_at"].endswith("Z") for row in shown)


def test_who_paused_an_achievement_and_when(ui: PrefectUiV2, ledger: Path) -> None:
    ui.form("export")
    ui.choose("settings_history", "what")
    ui.search("forklift", "achievement")
    table = ui.table(ui.submit())

    expected = answer(
        ledger,
        """SELECT s.action, substr(s.at, 1, 19) || 'Z', coalesce(o.operator_id, '') FROM settings_history AS s
        LEFT JOIN operator_runs AS o ON o.flow_run_id = s.flow_run_id WHERE s.subject_id = 'forklift'""",
    )
    assert [(row["action"], row["at"], row["operator_id"]) for row in rows_in(table)] == expected


def test_which_portal_causes_most_failures(ui: PrefectUiV2, ledger: Path) -> None:
    ui.form("export")
    ui.choose("failures", "what")
    ui.choose_several(["portal"], "by")
    table = ui.table(ui.submit())

    most = """SELECT i.portal_id, h.reason, count(*) FROM issuance_history AS h JOIN badge_issuances AS i
        ON i.id = h.issuance_id WHERE h.to_state = 'failed' GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 1"""
    first = rows_in(table)[0]
    assert (first["portal_id"], first["reason"], int(first["failures"])) == answer(ledger, most)[0]
