"""Prefect's pages as a person uses them: find a deployment, fill its form, start it, read what its run says."""

import re
from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect

SECONDS = 1000.0
expect.set_options(timeout=60 * SECONDS)
OVER = re.compile("^(Completed|Needs a person|Failed|Crashed|Cancelled)$")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a person reads on the pages of a run that is over."""

    state: str
    message: str
    page: str


class PrefectUi:
    """One browser window on Prefect's pages."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self._address = address

    def deployment(self, name: str) -> None:
        """Look the deployment up by its name, and open it."""
        self.page.goto(f"{self._address}/deployments")
        self.page.get_by_placeholder("Search deployments").fill(name)
        link = self.page.locator("a[href*='/deployments/deployment/']").get_by_text(name, exact=True)
        self.page.goto(self._address + (link.get_attribute("href") or ""))  # a click may miss it while the list shrinks

    def quick_run(self, name: str) -> str:
        """Start the deployment as it is, and return the address of its run."""
        self.deployment(name)
        self.page.get_by_role("button", name="Run", exact=True).click()
        self.page.get_by_text("Quick run", exact=True).click()
        return self._started()

    def form(self, name: str) -> None:
        """Open the deployment's form."""
        self.deployment(name)
        self.page.get_by_role("button", name="Run", exact=True).click()
        self.page.get_by_text("Custom run", exact=True).click()
        expect(self.page.get_by_role("heading", name="Parameters")).to_be_visible()

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
        """Type into one field of the form."""
        self.field(*path).locator("textarea, input").first.fill(text)

    def switch_on(self, *path: str) -> None:
        """Switch a switch of the form on."""
        switch = self.field(*path).get_by_role("switch")
        switch.click()
        expect(switch).to_have_attribute("aria-checked", "true")

    def choose(self, option: str, *path: str) -> None:
        """Choose from a menu of the form."""
        self.field(*path).locator("fieldset").get_by_role("button").click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def submit(self) -> str:
        """Submit the form, and return the address of the run that it starts."""
        self.press_submit()
        return self._started()

    def press_submit(self) -> None:
        """Submit the form, whatever comes of it."""
        self.page.get_by_role("button", name="Submit", exact=True).click()

    def notice(self) -> str:
        """Return what pops up after a form was not taken."""
        shown = self.page.get_by_text("Error creating flow run").first
        expect(shown).to_be_visible()
        return shown.inner_text()

    def _started(self) -> str:
        self.page.get_by_role("button", name="View run").last.dispatch_event("click")  # it slides in
        self.page.wait_for_url("**/runs/flow-run/*")
        return self.page.url

    def outcome(self, run: str, *, within: float = 180) -> Outcome:
        """Wait until the run is over, open its page, and read it with the run's state and message."""
        self.page.goto(run)
        badge = self.page.get_by_role("banner").get_by_text(OVER)
        expect(badge).to_be_visible(timeout=within * SECONDS)
        state = badge.inner_text()
        self.tab("Artifacts").get_by_role("link", name="markdown").click()
        shown = self.page.locator(".artifact-data-markdown")
        expect(shown).to_be_visible()
        return Outcome(state=state, message=self._message(), page=shown.inner_text())

    def tab(self, name: str) -> Locator:
        """Open a tab of the run's page."""
        self.page.get_by_role("listitem").get_by_text(name, exact=True).click()
        return self.page.get_by_role("tabpanel", name=name)

    def _message(self) -> str:
        value = self.page.locator(".p-key-value").filter(has_text="State Message").locator(".p-key-value__value")
        expect(value).to_be_visible()
        more = value.get_by_text("See More")
        if more.is_visible():
            more.click()
        return value.inner_text()
