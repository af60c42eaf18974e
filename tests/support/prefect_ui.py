"""Prefect's pages as a person uses them: find a deployment, fill its form, start it, read what its run says."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from playwright.sync_api import ConsoleMessage, Error, Locator, Page, Response, TimeoutError, expect

from tests.support.waiting import until

SECONDS = 1000.0
expect.set_options(timeout=60 * SECONDS)
_OVER = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
# Prefect's picture of a run says so when its page is left before it is drawn.
_LEFT_TOO_EARLY = re.compile(r"Cannot read properties of (null|undefined) \(reading '(position|addChild|x|y)'\)")
_NOT_OURS = re.compile(
    r"/favicon[\w-]*\.(ico|png)$"  # Prefect's server has none
    r"|^https://[\w.-]*\.amplitude\.com/"  # the V2 pages send usage data, or try to
    r"|/api/block_types/slug/secret/block_documents/name/[\w-]+$"  # the V2 pages ask whether a name is taken
    r"|/api/task_runs/filter$"  # which the V2 page of a run asks in a way that its server refuses
    r"|/[\w-]+\.svg$"  # the V2 pages ask for one for each state name
    r"|/ico/undefined\.svg$"  # nor this one, which its page of a run asks for
    r"|^https://raw\.githubusercontent\.com/PrefectHQ/.*/block-logos/"
    r"|/api/deployments/[\w-]+/create_flow_run$"  # a form that was refused says so here
)
_FILLED_IN = """(values) => {
    const fields = [...document.querySelectorAll("form :is(textarea, input, button)")]
    return values.every((value) => fields.some((field) => [field.value, field.innerText.trim()].includes(value)))
}"""
_REFUSED = "Error creating flow run"
_BUSY = 503  # Prefect's server on SQLite, which two writers met in


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a person reads on the pages of a run that is over."""

    state: str
    message: str
    page: str


class PrefectUi:
    """One browser window on Prefect's classic pages."""

    root = ""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        page.set_default_timeout(60 * SECONDS)
        self.troubles: list[str] = []
        self.address = address
        self.pages = address + self.root
        page.on("console", self._listen)
        page.on("pageerror", self._note)

    def _listen(self, said: ConsoleMessage) -> None:
        where = said.location["url"]
        failed_request = "/assets/" in where and len(said.text) < 4  # a minified class: Prefect's pages log it
        expected = f"status of {_BUSY}" in said.text or said.text.startswith(_REFUSED)
        if said.type == "error" and not failed_request and not expected and not _NOT_OURS.search(where):
            self.troubles.append(f"{said.text} ({where})")

    def _note(self, error: Error) -> None:
        if not _LEFT_TOO_EARLY.search(error.message):
            self.troubles.append(error.message)

    def deployment(self, name: str) -> None:
        """Look the deployment up by its name, and open it."""
        self.page.goto(f"{self.pages}/deployments")
        self.page.get_by_placeholder("Search deployments").fill(name)
        link = self.page.locator("a[href*='/deployments/deployment/']").get_by_text(name, exact=True)
        self.page.goto(self.address + (link.get_attribute("href") or ""))  # a click may miss it while the list shrinks

    def quick_run(self, name: str) -> str:
        """Start the deployment as it is, and return the address of its run."""
        self.deployment(name)
        return self._started(lambda: self._choose_run("Quick run"))

    def _choose_run(self, kind: str) -> None:
        self.page.get_by_role("button", name="Run", exact=True).click()
        self.page.get_by_text(kind, exact=True).click()

    def form(self, name: str, *, by_search: bool = False) -> None:
        """Open the deployment's form: by its address, or as a person finds it, over four pages."""
        if by_search:
            self.deployment(name)
            self._choose_run("Custom run")
        else:
            self.page.goto(f"{self.pages}/deployments/deployment/{self._id_of(name)}/run")
        expect(self.page.get_by_role("heading", name="Parameters")).to_be_visible()

    def _id_of(self, name: str) -> str:
        with httpx.Client(timeout=30) as http:
            found = http.get(f"{self.address}/api/deployments/name/{name}/{name}")
        return str(found.json()["id"])

    def field(self, *path: str) -> Locator:
        """Return a field of the form by its label, inside the groups that are named before it."""
        found = self.page.locator("form")
        for label in path:
            found = found.locator(
                "xpath=.//div[contains(concat(' ', @class, ' '), ' schema-form-property ')]"
                "[./div[@class='p-label__header']//span[@class='schema-form-property__label']"
                f"[.='{label}' or .='{label} (Optional)']]"
            )
        return found

    def fill(self, **fields: str) -> None:
        """Type into fields of the form."""
        for label, text in fields.items():
            self.type(text, label)

    def type(self, text: str, *path: str) -> None:
        """Type into one field of the form, which may also have a menu."""
        field = self.field(*path)
        expect(field).to_be_visible()
        if (instead_of_menu := field.get_by_text("Enter an id", exact=True)).count():
            instead_of_menu.click()
        field.locator("textarea, input").first.fill(text)

    def switch_on(self, *path: str) -> None:
        """Switch a switch of the form on."""
        switch = self.field(*path).get_by_role("switch")
        switch.click()
        expect(switch).to_have_attribute("aria-checked", "true")

    def choose(self, option: str, *path: str) -> None:
        """Choose from a menu of the form."""
        self.open_menu(*path)
        self.page.get_by_role("option", name=option, exact=True).click()
        expect(self._options()).to_have_count(0)

    def open_menu(self, *path: str) -> None:
        button = self.field(*path).locator("fieldset").get_by_role("button")
        self._open(lambda: button.press("ArrowDown"), self._options())

    def _options(self) -> Locator:
        return self.page.get_by_role("option")

    def _open(self, press: Callable[[], None], opens: Locator) -> None:
        """Press until it is open: while another menu closes, a press may open nothing, or what closes with it."""

        def is_open() -> bool:
            press()
            try:
                opens.first.wait_for(timeout=10 * SECONDS)
            except TimeoutError:
                return False
            return True

        until(is_open, what="the menu is open")

    def search(self, typed: str, *path: str) -> str:
        """Choose the only entry of a menu that has the typed text, and return it."""
        self.open_menu(*path)
        self.page.get_by_placeholder("Search").last.fill(typed)
        found = self._options()
        expect(found).to_have_count(1)
        entry = found.inner_text()
        found.click()
        expect(found).to_have_count(0)
        return entry

    def pick(self, moment: datetime, *path: str) -> None:
        """Pick a date and a time of day in UTC."""
        field = self.field(*path)
        field.get_by_text("date-time", exact=True).click()
        field.get_by_text("Select date and time").click()
        self.page.locator("input[type=date]").fill(f"{moment:%Y-%m-%d}")
        self.page.locator("input[type=time]").fill(f"{moment:%H:%M}")
        self.page.get_by_role("button", name="Apply").click()

    def start(self, name: str, **fields: str) -> str:
        """Fill the deployment's form, submit it, and return the address of the run."""
        self.form(name)
        self.fill(**fields)
        return self.submit()

    def submit(self) -> str:
        """Submit the form, and return the address of the run that it starts."""
        return self._started(self.press_submit)

    def press_submit(self) -> None:
        """Submit the form, whatever comes of it."""
        self.page.get_by_role("button", name="Submit", exact=True).click()

    def notice(self) -> str:
        """Return what pops up after a form was not taken."""
        shown = self.page.get_by_text(_REFUSED).first
        expect(shown).to_be_visible()
        return shown.inner_text()

    def _started(self, start: Callable[[], None]) -> str:
        """Start a run, and return its address."""
        reply = self._taken("/create_flow_run", start)
        self.page.get_by_role("button", name="View run").last.wait_for()
        return self.run_page(reply.json()["id"])

    def _taken(self, path: str, press: Callable[[], None]) -> Response:
        """Press, again while Prefect's database is too busy to take it, and return the answer."""

        def is_meant(reply: Response) -> bool:
            return reply.request.method == "POST" and reply.url.endswith(path)

        for _ in range(10):
            with self.page.expect_response(is_meant) as reply:
                press()
            if reply.value.status != _BUSY:
                break
        return reply.value

    def run_page(self, run_id: str) -> str:
        """Return the address of a run's page."""
        return f"{self.pages}/runs/flow-run/{run_id}"

    def outcome(self, run: str) -> Outcome:
        """Wait until the run is over, open its page, and read it with the run's state and message."""
        self.until_over(run)
        self.page.goto(run)
        state = self.page.get_by_role("banner").locator(".state-badge").inner_text()
        self.page.get_by_role("listitem").get_by_text("Artifacts", exact=True).click()
        pages = self.page.get_by_role("tabpanel", name="Artifacts").get_by_role("link", name="markdown")
        pages.filter(has_not_text="-link").click()  # Prefect keeps a link as Markdown, too
        return Outcome(state=state, message=self._message(), page=self._shown())

    def _shown(self) -> str:
        """Return the text of an artifact; it is empty until the page has drawn it."""
        return until(lambda: self.artifact().inner_text(), what="the artifact has a text") or ""

    def artifact(self) -> Locator:
        """Return what the page of an artifact shows of it."""
        return self.page.locator(".artifact-data-markdown")

    def artifact_page(self) -> Locator:
        """Return all that the page of an artifact shows as Markdown: its description, too."""
        return self.page.locator(".artifact-description, .artifact-data-view")

    def until_over(self, run: str) -> dict[str, Any]:
        """Ask Prefect until the run is over, and return its state; its page notices seconds later."""
        self.page.goto("about:blank")  # an open page of Prefect's keeps the server and the machine busy
        of_run = f"{self.address}/api/flow_runs/{run.rpartition('/')[2]}"
        with httpx.Client(timeout=30) as http:
            until(lambda: http.get(of_run).json()["state_type"] in _OVER, what=f"{run} is over", within=180)
            return dict(http.get(of_run).json()["state"])

    def _message(self) -> str:
        value = self.page.locator(".p-key-value").filter(has_text="State Message").locator(".p-key-value__value")
        expect(value).to_be_visible()
        more = value.get_by_text("See More")
        if more.is_visible():
            more.click()
        return value.inner_text().removesuffix("See Less").strip()

    def secret_block(self, name: str, value: str, *, before_creating: Callable[[], None]) -> None:
        """Create a block of the type Secret."""
        self.page.goto(f"{self.pages}/blocks/catalog/secret/create")
        form = self.page.locator("form")
        form.locator("input[type=text]").fill(name)
        form.locator("textarea").fill(value)
        before_creating()
        create = self.page.get_by_role("button", name="Create", exact=True)
        self._taken("/block_documents/", create.click)
        self.page.wait_for_url("**/blocks/block/*")

    def filled_form(self, link: str, *values: str) -> None:
        """Open a link to a form, and wait until fields hold these values."""
        self.page.goto("about:blank")
        self.page.goto(self.pages + link.removeprefix(self.address))
        self.page.wait_for_function(_FILLED_IN, arg=list(values))
