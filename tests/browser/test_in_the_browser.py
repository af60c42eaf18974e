"""What portal administrators do, in a real browser on Prefect's pages."""

from datetime import UTC, datetime

import pytest

from tests.support.academy import Academy, template_of
from tests.support.background import Background
from tests.support.prefect_ui import PrefectUi
from tests.support.standin import Standin

pytestmark = pytest.mark.browser


def evidence_on_badge(ui: PrefectUi, standin: Standin, organization: str, badge: str) -> list[str]:
    """Go to the badge's page at the stand-in by its links, as at Credly, and return the evidence that it shows."""
    ui.page.goto(standin.root_url)
    ui.page.get_by_role("link", name=organization).click()
    ui.page.get_by_role("link", name=badge).first.click()
    ui.page.get_by_role("heading", name="Evidence").wait_for()
    return [" ".join(each.split()) for each in ui.page.locator("ul.evidence > li").all_inner_texts()]


def test_an_achievement_is_enabled_with_two_kinds_of_evidence_and_its_badge_shows_exactly_those(
    ui: PrefectUi, academy: Academy, standin: Standin, now: Background
) -> None:
    ui.form("enable-credly")
    ui.fill(achievement="achievement-welcome", badge_template_id=template_of("achievement-welcome"))
    ui.switch_on("evidence", "Company", "On")
    ui.switch_on("evidence", "Portal", "On")
    ui.type("Where it was learned", "evidence", "Portal", "Static Name")
    enabled = ui.outcome(ui.submit())
    award = {"company_id": "company-atlas", "project_id": "project-depot", "awarded_at": datetime.now(UTC)}
    now(academy.award("user-0001", achievement_id="achievement-welcome", **award))
    reconciled = ui.outcome(ui.quick_run("reconcile"))

    assert (enabled.state, reconciled.state) == ("Completed", "Completed")
    assert enabled.message == "Credly enabled on achievement-welcome; 0 badges due at once"
    assert "portal evidence\ton, name “Where it was learned”" in enabled.page
    assert "Evidence is public" in enabled.page
    assert "1 issued" in reconciled.message
    shown = evidence_on_badge(ui, standin, "Northwind Academy", "Welcome on Board")
    assert shown == ["Atlas Freight & Sons", "Where it was learned"]
