"""A real Prefect with its pages, a worker, the stand-in and a browser: as a portal administrator has them.

All of a module's tests share them. The browser's event loop is gone before other modules start theirs.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Locator

from demo.fill import demo_seed
from models.database import Database
from settings import ROOT
from tests.support.academy import Academy
from tests.support.background import Background, background
from tests.support.chromium import chromium_path, running_chromium
from tests.support.installation import Installation, running_installation
from tests.support.prefect_ui import PrefectUi
from tests.support.prefect_ui_v2 import PrefectUiV2
from tests.support.standin import Standin, running_standin

TALL = 900
Picture = Callable[..., None]
_NO_ORNAMENT = "*:not(input) { background-image: none !important }"
_NO_NAVIGATION = "[data-side=left]:has([data-sidebar=sidebar]) { display: none }"
_FOR_PAPER = """() => {
    document.querySelectorAll(".dark").forEach((dark) => dark.classList.replace("dark", "light"))
    document.querySelectorAll("*").forEach((scrolled) => { scrolled.scrollTop = 0 })
    document.activeElement?.blur()
}"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", action="store_true", help="write docs/pictures on the way")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium(chromium_path()) as running:
        yield running


@pytest.fixture(scope="module")
def standin(browser: Browser) -> Iterator[Standin]:
    with running_standin(seed=demo_seed()) as running:
        yield running


@pytest.fixture(scope="module")
def now(browser: Browser) -> Iterator[Background]:
    """Runs what is asynchronous to its end: `now(academy.award(…))`."""
    with background() as running:
        yield running


@pytest.fixture(scope="module")
def academy(now: Background, standin: Standin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Academy]:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('academy')}/laurel.db")
    built = Academy(database=database, base_url=standin.base_url)
    now(built.build())
    yield built
    now(database.dispose())


@pytest.fixture(scope="module")
def office(academy: Academy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    url = academy.database.engine.url.render_as_string(hide_password=False)
    with running_installation(tmp_path_factory.mktemp("office"), database_url=url) as running:
        yield running


@pytest.fixture
def ui(browser: Browser, office: Installation) -> Iterator[PrefectUi]:
    """A browser window of this test's own, on the pages that Prefect's address opens."""
    with window(browser, office, PrefectUiV2) as opened:
        yield opened


@pytest.fixture
def classic(browser: Browser, office: Installation) -> Iterator[PrefectUi]:
    """A window of this test's own on Prefect's classic pages."""
    with window(browser, office, PrefectUi) as opened:
        yield opened


@contextmanager
def window(browser: Browser, office: Installation, pages: type[PrefectUi]) -> Iterator[PrefectUi]:
    with browser.new_context(viewport={"width": 1280, "height": TALL}, locale="en-GB", timezone_id="UTC") as context:
        opened = pages(context.new_page(), office.address)
        yield opened
        assert opened.troubles == []


@pytest.fixture
def picture(ui: PrefectUi, request: pytest.FixtureRequest) -> Picture:
    """Takes a picture of what the window shows, for docs/how-to, if pytest was asked to."""

    def take(name: str, *, height: int = TALL, at: Locator | None = None) -> None:
        if request.config.getoption("--pictures", default=False):
            ui.page.set_viewport_size({"width": 1280, "height": height})
            ui.page.evaluate(_FOR_PAPER)
            if at is not None:
                at.scroll_into_view_if_needed()
            ui.page.wait_for_load_state("networkidle")
            file = ROOT / "docs" / "pictures" / f"{name}.png"
            ui.page.screenshot(path=file, animations="disabled", style=_NO_ORNAMENT + _NO_NAVIGATION)
            ui.page.set_viewport_size({"width": 1280, "height": TALL})

    return take
