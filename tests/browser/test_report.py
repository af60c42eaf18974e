"""The report in a real browser: it opens offline, is readable in every theme and width, and its tables sort."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from models.database import Database
from models.migrate import create_platform_tables, migrate
from reports.html import write_report
from rules.forms.period import Days
from tests.support.background import Background
from tests.support.factories import an_achievement
from tests.support.random_ledger import fill

DAYS = Days(first=date(2026, 10, 20), last=date(2026, 11, 10))
SIZES = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
# Text of a chart that leaves its drawing is cut off.
CUT_OFF = """() => [...document.querySelectorAll('.chart svg')].filter(svg => svg.checkVisibility()).flatMap(svg => {
  const frame = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(text => {
    const box = text.getBoundingClientRect();
    return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1);
  }).map(text => text.textContent);
})"""
SHOWN = """() => [...document.querySelectorAll('.chart')].map(chart => [...chart.querySelectorAll('svg')]
  .filter(svg => svg.checkVisibility()).map(svg => svg.dataset.theme + ' ' + svg.dataset.size).join())"""


async def _write(database: Database, folder: Path) -> Path:
    await create_platform_tables(database)
    await migrate(database)
    await fill(database, rows=300, seed=21)
    await an_achievement(database, "forklift", portal="northwind")
    made_at = datetime(2026, 11, 10, 12, tzinfo=UTC) + timedelta(hours=1)
    done = await write_report(database, DAYS, portal="", folder=str(folder), made_at=made_at)
    await database.dispose()
    return done.path


@pytest.fixture(scope="module")
def report(browser: Browser, now: Background, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    path: Path = now(_write(Database(f"sqlite:///{folder}/laurel.db"), folder))
    return path.as_uri()


@contextmanager
def window(browser: Browser, address: str, *, width: int, theme: str, scripts: bool = True) -> Iterator[Page]:
    """Open the report without a network; whatever it asks for or complains of fails the test."""
    asked: list[str] = []
    with browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if theme == "dark" else "light",
        java_script_enabled=scripts,
        offline=True,
    ) as context:
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: asked.append(message.text))
        page.on("pageerror", lambda error: asked.append(str(error)))
        page.goto(address)
        yield page
    assert asked == [address]


@pytest.mark.parametrize(("width", "theme"), SIZES)
def test_charts_are_of_the_pages_theme_and_width_and_whole(
    browser: Browser, report: str, width: int, theme: str
) -> None:
    with window(browser, report, width=width, theme=theme) as page:
        size = "wide" if width == 1280 else "narrow"
        assert page.evaluate(SHOWN) == [f"{theme} {size}"] * 7
        assert page.evaluate(CUT_OFF) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_a_click_on_a_heading_sorts(browser: Browser, report: str) -> None:
    with window(browser, report, width=1280, theme="light") as page:
        table = page.get_by_role("table", name="By achievement")
        cells = table.locator("tbody td:nth-child(4)")
        button = table.get_by_role("button", name="eligible")

        button.click()
        down = [int(text) for text in cells.all_inner_texts()]
        button.click()
        up = [int(text) for text in cells.all_inner_texts()]
        table.get_by_role("button", name="portal").click()
        portals = table.locator("tbody td:nth-child(1)").all_inner_texts()

    assert down == sorted(down, reverse=True) != up
    assert up == sorted(up)
    assert portals == sorted(portals, key=str.casefold)


def test_it_is_complete_without_scripts(browser: Browser, report: str) -> None:
    with window(browser, report, width=1280, theme="light", scripts=False) as page:
        assert page.get_by_role("img").count() == 7
        assert page.get_by_role("columnheader", name="waiting now").inner_text() == "waiting now"
        page.get_by_text("The numbers of this chart").first.click()
        assert page.get_by_role("table", name="Issued").is_visible()


# A table that is wider than its place has to be moved sideways, which nobody can on paper.
TOO_WIDE = """() => [...document.querySelectorAll('.scroll')].filter(
  box => box.checkVisibility() && box.scrollWidth > box.clientWidth + 1).map(box => box.getAttribute('aria-label'))"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone_a_row_is_a_block_with_the_name_of_each_column(browser: Browser, report: str, theme: str) -> None:
    with window(browser, report, width=390, theme=theme) as page:
        for summary in page.get_by_text("The numbers of this chart").all():
            summary.click()
        cell = page.locator("table:has(caption:text-is('By achievement')) tbody td").nth(1)

        assert page.evaluate(TOO_WIDE) == []
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert cell.evaluate("each => getComputedStyle(each, '::before').content") == '"achievement"'


def test_on_paper_everything_is_dark_on_white_and_within_the_page(browser: Browser, report: str) -> None:
    with window(browser, report, width=680, theme="dark") as page:  # A4 without its margins
        page.emulate_media(media="print", color_scheme="dark")

        assert page.evaluate(SHOWN) == ["light wide"] * 7
        assert page.evaluate(TOO_WIDE) == []
        assert page.evaluate("document.documentElement.scrollWidth") == 680
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
