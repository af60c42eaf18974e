"""Prefect's V2 pages, which its address opens, with the same steps as the classic ones."""

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime

from playwright.sync_api import Locator, expect

from tests.support.prefect_ui import Outcome, PrefectUi


class PrefectUiV2(PrefectUi):
    """One browser window on Prefect's V2 pages."""

    root = "/v2"

    def deployment(self, name: str) -> None:
        """Look the deployment up by its name, and open it."""
        self.page.goto(f"{self.pages}/deployments")
        self.page.get_by_placeholder("Search deployments").fill(name)
        # The flow has the same name as its deployment.
        link = self.page.locator("a[href*='/deployments/deployment/']").filter(has_text=re.compile(f"^{name}$")).first
        self.page.goto(self.address + (link.get_attribute("href") or ""))  # a click may miss it while the list shrinks

    def _choose_run(self, kind: str) -> None:
        self.page.get_by_role("button", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name=kind).click()

    def field(self, *path: str) -> Locator:
        """Return a field of the form by its label, inside the groups that are named before it."""
        found = self.page.locator("form")
        for label in path:
            found = found.locator(
                "xpath=.//div[contains(concat(' ', @class, ' '), ' group ')]"
                "[./div[contains(concat(' ', @class, ' '), ' grid ')]"
                f"//label[.='{label}' or .='{label} (Optional)']]"
            )
        return found

    def open_menu(self, *path: str) -> None:
        self._open(self.field(*path).locator("fieldset button:not([role=tab])").first.click, self._options())

    def pick(self, moment: datetime, *path: str) -> None:
        """Pick a date and a time of day in UTC; the pages offer every fifth minute."""
        calendar = self._pick_day(moment, *path, kind="date-time", button="MM/DD/YYYY")
        for text in (f"{moment.hour % 12 or 12}", f"{moment.minute // 5 * 5}", f"{moment:%p}"):
            hours_minutes_halves = calendar.get_by_role("button", name=text, exact=True)
            hours_minutes_halves.last.click()
        self._close(calendar)

    def pick_day(self, day: date, *path: str) -> None:
        """Pick a day."""
        self._close(self._pick_day(day, *path, kind="date", button="Pick a date"))

    def _close(self, opened: Locator) -> None:
        self.page.keyboard.press("Escape")
        expect(opened).to_have_count(0)

    def _pick_day(self, day: date, *path: str, kind: str, button: str) -> Locator:
        field = self.field(*path)
        field.get_by_role("tab", name=kind, exact=True).click()
        calendar = self.page.get_by_role("dialog")
        self._open(field.get_by_role("button", name=button).click, calendar)
        calendar.get_by_label("Choose the Year").select_option(str(day.year))
        calendar.get_by_label("Choose the Month").select_option(str(day.month - 1))
        calendar.locator(f"td[data-day='{day:%Y-%m-%d}'] button").click()
        return calendar

    def choose_several(self, options: Sequence[str], *path: str) -> None:
        """Choose from a menu that stays open."""
        self._open(self.field(*path).locator("fieldset").get_by_role("button").last.click, self._options())
        for option in options:
            self.page.get_by_role("option", name=option, exact=True).click()
        self._close(self._options())

    def table(self, run: str) -> Locator:
        """Wait until the run is over, and open the table of its page."""
        self.until_over(run)
        self.page.goto(run)
        self.page.get_by_role("tab", name="Artifacts").click()
        self.page.get_by_role("tabpanel").get_by_role("link").filter(has_text="-table").first.click()
        self.page.wait_for_url("**/v2/artifacts/artifact/*")
        table = self.page.get_by_role("table")
        expect(table.locator("tbody tr").first).to_be_visible()
        return table

    def outcome(self, run: str) -> Outcome:
        """Wait until the run is over, open its page, and read it with the run's state and message."""
        state = self.until_over(run)
        self.page.goto(run)
        expect(self.page.get_by_role("main").get_by_text(state["name"], exact=True).first).to_be_visible()
        self.page.get_by_role("tab", name="Artifacts").click()
        pages = (
            self.page.get_by_role("tabpanel").get_by_role("link").filter(has_text=re.compile("markdown", re.IGNORECASE))
        )
        pages.filter(has_not_text="-link").first.click()  # Prefect keeps a link as Markdown, too
        self.page.wait_for_url("**/v2/artifacts/artifact/*")
        return Outcome(state=state["name"], message=state["message"], page=self._shown())

    def artifact(self) -> Locator:
        """Return what the page of an artifact shows of it."""
        return self.page.get_by_test_id("markdown-display")

    def artifact_page(self) -> Locator:
        """Return all that the page of an artifact shows as Markdown."""
        return self.artifact()

    def secret_block(self, name: str, value: str, *, before_creating: Callable[[], None]) -> None:
        """Create a block of the type Secret."""
        self.page.goto(f"{self.pages}/blocks/catalog/secret/create")
        self.page.get_by_label("Name", exact=True).fill(name)
        self.page.locator("input[type=password]").fill(value)
        before_creating()
        self._taken("/block_documents/", self.page.get_by_role("button", name="Save", exact=True).click)
        self.page.wait_for_url("**/v2/blocks/block/*")
