"""A real Prefect with its pages, a worker, the stand-in and a browser: as a portal administrator has them."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage

from demo.fill import demo_seed
from models.database import Database
from tests.support.academy import Academy
from tests.support.background import Background, background
from tests.support.chromium import chromium_path, running_chromium
from tests.support.office import Office, running_office
from tests.support.prefect_ui import PrefectUi
from tests.support.standin import Standin, running_standin


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium(chromium_path()) as running:
        yield running


@pytest.fixture(scope="module")
def standin(browser: Browser) -> Iterator[Standin]:
    with running_standin(seed=demo_seed()) as running:
        yield running


@pytest.fixture(scope="module")
def now() -> Iterator[Background]:
    """Runs what is asynchronous to its end: `now(academy.award(…))`."""
    with background() as running:
        yield running


@pytest.fixture(scope="module")
def academy(now: Background, standin: Standin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Academy]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('academy')}/laurel.db")
    built = Academy(database=database, base_url=standin.base_url)
    now(built.build())
    yield built
    now(database.dispose())


@pytest.fixture(scope="module")
def office(academy: Academy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    url = academy.database.engine.url.render_as_string(hide_password=False)
    with running_office(tmp_path_factory.mktemp("office"), database_url=url) as running:
        yield running


@pytest.fixture
def ui(browser: Browser, office: Office) -> Iterator[PrefectUi]:
    """A browser window of this test's own."""
    with browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB", timezone_id="UTC") as context:
        page = context.new_page()
        troubles: list[str] = []
        page.on("console", lambda said: troubles.extend(trouble_in(said)))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        yield PrefectUi(page, office.address)
        assert troubles == []


def trouble_in(said: ConsoleMessage) -> list[str]:
    """Return what the console says of an error, but for two pictures that Prefect's own pages lack."""
    address = said.location["url"]
    ours = said.type == "error" and not address.endswith(("/favicon.ico", "/ico/undefined.svg"))
    return [f"{said.text} ({address})"] if ours else []
