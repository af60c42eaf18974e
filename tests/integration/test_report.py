"""The report's numbers are those of plain SQL, and its page needs nothing but itself."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from models.database import Database
from reports.figures import figures
from reports.html import html_of
from reports.page import Page
from reports.page import page_of as reports_page
from reports.parts import Figure
from rules.forms.period import Days
from rules.ledger.states import IssuanceState
from tests.support.databases import sqlite_database
from tests.support.factories import a_portal, an_achievement, an_attempt, an_issuance
from tests.support.html_page import Seen, read
from tests.support.random_ledger import DAYS, fill

MADE_AT = datetime(2026, 11, 10, 12, tzinfo=UTC)
WEEK = Days(first=date(2026, 11, 4), last=date(2026, 11, 10))
WAITS = "state IN ('pending', 'issuing', 'blocked')"
CHARTS = [
    "Issued",
    "Failed",
    "Waiting",
    "Portal beside portal",
    "Not issued now, and why",
    "From award to badge",
    "From award to claimed badge",
]


@pytest.fixture
async def on_sqlite(migrated_file: Path, tmp_path: Path) -> AsyncIterator[Database]:
    """For what is the same on both databases: how the page is made of the numbers."""
    async with sqlite_database(tmp_path, copy_of=migrated_file) as database:
        yield database


@pytest.fixture(scope="module")
def drawn(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of some weeks with all that can be in it, for several tests: drawing it takes seconds."""

    async def draw() -> str:
        async with sqlite_database(tmp_path_factory.mktemp("drawn"), copy_of=migrated_file) as database:
            await fill(database, rows=200, seed=13)
            return await page_of(database, Days(first=date(2026, 10, 1), last=date(2026, 11, 10)))

    return asyncio.run(draw())


async def page_of(database: Database, days: Days = WEEK, *, portal: str = "") -> str:
    return html_of(await figures(database, days, portal_id=portal, made_at=MADE_AT))


async def seen_of(database: Database, days: Days = WEEK) -> Seen:
    return read(await page_of(database, days))


async def shown_of(database: Database, days: Days = WEEK, *, portal: str = "") -> "Shown":
    """What the page is to show, before charts are drawn and HTML is made of it."""
    return Shown(reports_page(await figures(database, days, portal_id=portal, made_at=MADE_AT)))


def figures_of(page: Page) -> list[Figure]:
    portals = [page.portals] if page.portals else []
    return [*page.daily, *portals, page.times, page.reasons, page.funnel]


@dataclass
class Shown:
    """The page's tables and key numbers as text, as `Seen` has them."""

    page: Page

    @property
    def tables(self) -> dict[str, list[list[str]]]:
        page = self.page
        named = {each.title: each.table for each in figures_of(page) if each.table}
        named |= {"By achievement": page.achievements, "Runs that called Credly": page.runs}
        return {
            name: [list(table.head), *([cell.text for cell in row] for row in table.rows)]
            for name, table in named.items()
        }

    @property
    def cards(self) -> dict[str, list[str]]:
        return {one.name: [one.value, one.change] for one in self.page.headlines}


async def number(database: Database, where: str, *days: date) -> int:
    """Count issuances in the ledger; each @ stands for a day's first moment."""
    zone = "+00" if database.engine.dialect.name == "postgresql" else ""
    for day in days:
        where = where.replace("@", f"'{day} 00:00:00.000000{zone}'", 1)
    counted = text(f"SELECT count(*) FROM badge_issuances WHERE {where}")
    return int(await database.read(Connection.scalar, counted) or 0)


def whole(cell: str) -> int:
    return int(cell.replace(",", ""))


@pytest.mark.parametrize("portal", ["", "northwind"])
async def test_the_reports_numbers_are_those_of_plain_sql(database: Database, portal: str) -> None:
    await fill(database, rows=400, seed=11)
    own = f"portal_id = '{portal}'" if portal else "1 = 1"
    for middle in (date.fromisoformat(day) for day in DAYS):
        days = Days(first=middle - timedelta(days=1), last=middle + timedelta(days=1))
        after = days.last + timedelta(days=1)

        seen = await shown_of(database, days, portal=portal)

        now_issued, now_failed = f"{own} AND state = 'issued'", f"{own} AND state = 'failed'"
        issued = await number(database, f"{now_issued} AND recorded_at >= @ AND recorded_at < @", days.first, after)
        failed = await number(database, f"{now_failed} AND updated_at >= @ AND updated_at < @", days.first, after)
        assert (whole(seen.cards["Issued"][0]), whole(seen.cards["Failed"][0])) == (issued, failed)
        places = seen.tables.get("By achievement", [])[1:]
        assert [sum(whole(row[at]) for row in places) for at in (4, 5)] == [issued, failed]
        assert sum(whole(row[6]) for row in places) == await number(database, f"{own} AND {WAITS}")
        assert seen.tables["Waiting"][-1][:2] == [str(days.last), seen.cards["Waiting"][0]]
        assert sum(whole(row[1]) for row in seen.tables["Issued"][1:]) == issued
        before, until = days.before.first, days.first
        was_issued = await number(database, f"{now_issued} AND recorded_at >= @ AND recorded_at < @", before, until)
        was_failed = await number(database, f"{now_failed} AND updated_at >= @ AND updated_at < @", before, until)
        assert sum(whole(row[2]) for row in seen.tables["Issued"][1:]) == was_issued
        portals = seen.tables.get("Portal beside portal", [])[1:]
        assert bool(portals) is not bool(portal)
        if portals:
            expected = [issued, was_issued, failed, was_failed, await number(database, WAITS)]
            assert [sum(whole(row[at]) for row in portals) for at in (1, 2, 4, 5, 7)] == expected
        eligible = await number(database, f"{own} AND planned_at >= @ AND planned_at < @", days.first, after)
        assert whole(seen.tables["From award to claimed badge"][1][1]) == eligible > 0
        timed = f"{own} AND state = 'issued' AND recorded_at >= awarded_at AND recorded_at >= @ AND recorded_at < @"
        times = [whole(row[1]) for row in seen.tables.get("From award to badge", [])[1:]]
        assert sum(times) == await number(database, timed, days.first, after)
    reasons = {(row[1], row[0]): whole(row[2]) for row in seen.tables["Not issued now, and why"][1:]}
    for (state, reason), count in reasons.items():
        same = "reason IS NULL" if reason == "none yet" else f"reason = '{reason}'"
        assert count == await number(database, f"{own} AND state = '{state}' AND {same}")
    assert sum(reasons.values()) == await number(database, f"{own} AND ({WAITS} OR state = 'failed')")


async def test_the_numbers_are_compared_with_the_days_before(database: Database) -> None:
    for moment in (MADE_AT, MADE_AT - timedelta(days=1), MADE_AT - timedelta(days=7)):
        await an_issuance(
            database,
            user=f"issued {moment}",
            state=IssuanceState.ISSUED,
            planned_at=moment,
            recorded_at=moment,
            issued_at=moment,
            awarded_at=moment - timedelta(hours=(MADE_AT - moment).days + 1),
            credly_state="accepted",
            audited_at=MADE_AT + timedelta(hours=1),
        )
    await an_issuance(database, user="waits", planned_at=MADE_AT - timedelta(days=9))

    cards = (await shown_of(database)).cards

    assert {name: cards[name][:2] for name in ("Issued", "Failed", "Waiting", "Award to badge", "Claimed")} == {
        "Issued": ["2", "+1 (+100 %)"],
        "Failed": ["0", "no change"],
        "Waiting": ["1", "no change"],
        "Award to badge": ["1 h", "8 h before"],
        "Claimed": ["100 %", "100 % before"],
    }


async def test_an_empty_ledger_has_a_report_that_says_so(on_sqlite: Database) -> None:
    seen = await seen_of(on_sqlite)

    assert [cards[0] for cards in seen.cards.values()][:5] == ["0", "0", "0", "–", "–"]
    for words in (
        "Every eligible badge is issued.",
        "No badge with an award was issued in this period.",
        "No badge became eligible in this period.",
        "Nothing happened in this period, and nothing waits.",
        "No run called Credly in this period.",
    ):
        assert words in seen.text
    assert sorted(seen.tables) == ["Failed", "Issued", "Waiting"]


async def test_one_issuance_has_a_report(on_sqlite: Database) -> None:
    awarded = MADE_AT - timedelta(hours=3)
    moments: dict[str, Any] = {"awarded_at": awarded, "planned_at": awarded, "recorded_at": MADE_AT}
    issuance = await an_issuance(on_sqlite, state=IssuanceState.ISSUED, issued_at=awarded, **moments)
    await an_attempt(on_sqlite, issuance=issuance, started_at=MADE_AT, flow_run_id="run-1", duration_ms=1234)

    seen = await seen_of(on_sqlite)

    assert seen.cards["Award to badge"][0] == "3 h"
    assert "Time from award to badge of 1 badge: the median is 3 h, 95 of 100 took no longer than 3 h" in seen.text
    assert "1 badge became eligible in this period. Issued now: 1; waiting: 0" in seen.text
    assert seen.tables["Runs that called Credly"][1] == [
        "2026-11-10 12:00", "northwind", "1", "1", "1", "0", "0", "0", "0", "1,234 ms", "run-1",
    ]  # fmt: skip
    assert seen.tables["By achievement"][1] == [
        "northwind", "forklift", "template-1", "1", "1", "0", "0", "3 h", "3 h", "–",
    ]  # fmt: skip


def test_the_page_asks_the_network_for_nothing(drawn: str) -> None:
    seen = read(drawn)

    asking = {"src", "srcset", "href", "xlink:href", "data", "action", "poster", "background", "cite"}
    assert [each for each in seen.attributes if each[1] in asking] == []
    assert (
        set(seen.tags) & {"link", "img", "iframe", "object", "embed", "base", "form", "image", "use", "video"} == set()
    )
    assert re.findall(r"@import|url\((?!#)", drawn) == []
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", drawn))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "default-src 'none'" in drawn


async def test_names_of_the_platform_are_text(on_sqlite: Database) -> None:
    odd = '<script>alert("x")</script>{{ 7 * 7 }}&amp;'
    await a_portal(on_sqlite, "odd", name=odd)
    await an_achievement(on_sqlite, "forklift", portal="odd")
    await an_issuance(on_sqlite, portal="odd")
    await on_sqlite.write(Connection.execute, text("UPDATE achievements SET name = :name"), {"name": odd})

    page = await page_of(on_sqlite, portal="odd")

    seen = read(page)
    assert seen.tags["script"] == 1
    assert f"Credly badges of {odd} from " in seen.text
    assert seen.tables["By achievement"][1][:2] == [odd, odd]


def test_each_chart_has_a_text_alternative_and_a_version_for_every_page(drawn: str) -> None:
    seen = read(drawn)

    labels = [value for tag, name, value in seen.attributes if (tag, name) == ("div", "aria-label")]
    described = [label for label in labels if ". " in label]
    assert [label.partition(".")[0] for label in described] == CHARTS
    assert all(len(label) > 40 for label in described)
    assert set(CHARTS) <= set(seen.tables)
    for theme in ("light", "dark"):
        for size in ("wide", "narrow"):
            assert drawn.count(f'data-theme="{theme}" data-size="{size}"') == len(CHARTS)
    ids = [value for _tag, name, value in seen.attributes if name == "id"]
    assert len(ids) == len(set(ids))


async def test_a_long_period_is_drawn_by_weeks(database: Database) -> None:
    await fill(database, rows=200, seed=14)
    days = Days(first=date(2026, 3, 1), last=date(2026, 11, 10))

    seen = await shown_of(database, days)

    assert seen.tables["Issued"][0] == ["week", "issued", "before"]
    mondays = [date.fromisoformat(row[0]) for row in seen.tables["Issued"][1:]]
    assert {day.weekday() for day in mondays} == {0}
    assert len(mondays) == 38
    assert sum(whole(row[1]) for row in seen.tables["Issued"][1:]) == whole(seen.cards["Issued"][0]) > 0
    assert seen.tables["Waiting"][-1][1] == seen.cards["Waiting"][0]


async def test_what_is_not_shown_is_counted(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from reports import figures as module

    await fill(database, rows=100, seed=15)
    monkeypatch.setattr(module, "ACHIEVEMENTS_SHOWN", 2)

    seen = await shown_of(database, Days(first=date(2026, 10, 20), last=date(2026, 11, 10)))

    assert len(seen.tables["By achievement"]) == 3
    assert seen.page.achievements.more == "2 of 6 achievements are shown; export has all of them."
