"""What portal administrators do, in a real browser on Prefect's pages."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import expect

from demo.credly_data import invented_id, invented_token, token_block
from models.platform.tables import Achievement
from models.setup.tables import CredlyIntegration
from tests.support.academy import Academy, template_of
from tests.support.background import Background
from tests.support.how_to import commands, deployment_and_parameters, text
from tests.support.installation import Installation
from tests.support.prefect_ui import PrefectUi
from tests.support.standin import Standin
from tests.support.waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]  # starting everything is in the first test's time
Picture = Callable[..., None]
LUMEN = "portal-lumen"
ODD = "<b>First</b> [aid](javascript:alert(1)) | <script>alert(1)</script> ![x](/x.png) https://e.example.org **x**"


def evidence_on_badge(ui: PrefectUi) -> list[str]:
    """Return the evidence that the badge's page at the stand-in shows."""
    ui.page.get_by_role("heading", name="Evidence").wait_for()
    return [" ".join(each.split()) for each in ui.page.locator("ul.evidence > li").all_inner_texts()]


def open_badge(ui: PrefectUi, standin: Standin, *, organization: str, badge: str) -> None:
    """Go to the badge's page at the stand-in by its links, as at Credly."""
    ui.page.goto(standin.root_url)
    ui.page.get_by_role("link", name=organization).click()
    ui.page.get_by_role("link", name=badge).first.click()


def badges_of(standin: Standin, achievement: str) -> list[dict[str, Any]]:
    return standin.badges(badge_template_id=template_of(achievement))


def test_a_portal_is_connected_with_a_token_from_a_secret_block(
    ui: PrefectUi, standin: Standin, picture: Picture
) -> None:
    block = token_block(LUMEN)
    ui.secret_block(block, invented_token(LUMEN), before_creating=lambda: picture("secret-block", height=460))
    ui.form("connect-portal", by_search=True)
    ui.fill(portal=LUMEN, organization_id=invented_id("organization", LUMEN), token_block=token_block(LUMEN))
    ui.choose("other", "environment")
    ui.fill(base_url=standin.base_url)
    picture("connect-portal-form", height=1200)

    seen = ui.outcome(ui.submit())
    picture("connect-portal-result", height=700)

    assert (seen.state, seen.message) == (
        "Completed",
        "Portal portal-lumen connected: Credly organization Lumen Campus",
    )
    assert f"accepted; read from Secret block {token_block(LUMEN)}" in seen.page
    assert invented_token(LUMEN) not in ui.page.content()


def test_an_achievement_is_enabled_with_two_kinds_of_evidence_and_its_badge_shows_exactly_those(
    ui: PrefectUi, office: Installation, academy: Academy, standin: Standin, now: Background, picture: Picture
) -> None:
    now(academy.award("user-0002", achievement_id="achievement-welcome", company_id="company-atlas"))
    ui.form("enable-credly")
    ui.fill(achievement="achievement-welcome", badge_template_id=template_of("achievement-welcome"))
    ui.switch_on("evidence", "User", "On")
    ui.type("Profile on the platform", "evidence", "User", "Static Name")
    ui.switch_on("evidence", "Company", "On")
    picture("enable-credly-form", height=1200)
    enabled = ui.outcome(ui.submit())
    picture("enable-credly-result", height=800, at=ui.page.get_by_text("Evidence is "))
    (same,) = [
        words for words in commands() if "enable-credly/enable-credly" in words and "-p evidence" in " ".join(words)
    ]
    by_command = ui.outcome(ui.run_page(office.started(same)))
    award = {"company_id": "company-atlas", "project_id": "project-depot", "awarded_at": datetime.now(UTC)}
    now(academy.award("user-0001", achievement_id="achievement-welcome", **award))
    reconciled = ui.outcome(ui.quick_run("reconcile"))
    picture("reconcile-result", height=800)

    assert (enabled.state, enabled.message) == (
        "Completed",
        "Credly enabled on achievement-welcome; 0 badges due at once",
    )
    assert by_command.message == "achievement-welcome: no change; 0 badges due at once"
    assert "evidence.user\ton, name “Profile on the platform”" in enabled.page
    assert "Evidence is public" in enabled.page
    assert (reconciled.state, " issued" in reconciled.message) == ("Completed", True)
    open_badge(ui, standin, organization="Northwind Academy", badge="Welcome on Board")
    picture("badge", height=620)
    assert evidence_on_badge(ui) == ["Profile on the platform", "Atlas Freight & Sons"]


def test_what_was_issued_by_hand_is_not_issued_again_for_a_later_award(
    ui: PrefectUi, academy: Academy, standin: Standin, now: Background, picture: Picture
) -> None:
    crane, person = "achievement-crane", "user-0003"
    now(academy.enable(crane))
    disabled = ui.until_over(ui.start("disable-credly", achievement=crane))
    ui.form("enable-credly")
    ui.fill(achievement=crane, badge_template_id=template_of(crane))
    ui.switch_on("evidence", "Project", "On")
    enabled = ui.until_over(ui.submit())
    ui.form("issue-badge")
    ui.fill(user=person, achievement=crane, project="project-depot", reason="Passed before the platform was there")
    picture("issue-badge-form", height=1200)
    by_hand = ui.outcome(ui.submit())
    picture("issue-badge-result", height=700)
    ui.page.goto(ui.page.get_by_role("link", name="Open the badge").get_attribute("href") or "")
    evidence = evidence_on_badge(ui)
    now(academy.award(person, achievement_id=crane, awarded_at=datetime.now(UTC)))
    reconciled = ui.until_over(ui.quick_run("reconcile"))

    assert disabled["message"] == f"Credly disabled on {crane}; 0 waiting badges cancelled, 0 issued badges kept"
    assert enabled["message"] == f"Credly enabled on {crane}; 0 badges due at once"
    assert by_hand.message.startswith(f"Issued {crane} to {person}: {standin.root_url}/badges/")
    assert evidence == ["Depot 7: zero accidents"]
    assert reconciled["name"] == "Completed"
    (badge,) = badges_of(standin, crane)
    assert len([mail for mail in standin.mails() if mail["badge_id"] == badge["id"]]) == 1


def test_badges_that_are_many_at_once_are_held_until_a_person_releases_them(
    ui: PrefectUi, academy: Academy, standin: Standin, now: Background, picture: Picture
) -> None:
    mentoring = "achievement-mentoring"
    for user in ("user-0004", "user-0005"):
        now(academy.award(user, achievement_id=mentoring))
    ui.form("enable-credly")
    ui.fill(achievement=mentoring, badge_template_id=template_of(mentoring), hold_above="1")
    ui.pick(datetime.now(UTC) - timedelta(days=30), "issue_since")
    picture("issue-since", height=500, at=ui.field("issue_since"))
    held = ui.outcome(ui.submit())
    picture("held", height=560)
    released = ui.until_over(ui.start("release-credly", achievement=mentoring))

    assert held.state == "Needs attention"
    assert held.message == (
        f"Credly enabled on {mentoring}; HELD: 2 badges would be issued at once, more than 1. Run release-credly "
        "to release them"
    )
    assert released["message"] == f"{mentoring} released; 2 badges due with the next run of reconcile"
    assert badges_of(standin, mentoring) == []


def test_an_achievement_is_paused_another_resumed_and_a_badge_previewed(
    ui: PrefectUi, academy: Academy, standin: Standin, now: Background, picture: Picture
) -> None:
    paused, resumed, person = "achievement-forklift", "achievement-data-stories", "user-0009"
    now(academy.enable(paused, user_evidence=True))
    now(academy.enable(resumed, paused_at=datetime.now(UTC)))
    ui.form("issue-badge")
    ui.fill(user=person, achievement=paused)
    ui.switch_on("preview")
    preview = ui.submit()
    resume = ui.start("resume-credly", achievement=resumed)
    previewed = ui.outcome(preview)
    picture("issue-badge-preview", height=860)
    told = [ui.until_over(run)["message"] for run in (ui.start("pause-credly", achievement=paused), resume)]

    assert previewed.message == f"Preview: {paused} would be issued to {person}; nothing was done"
    assert "recipient_email\t" in previewed.page
    assert told == [
        f"{paused} paused; 0 badges waiting, and badges that become due wait too",
        f"{resumed} resumed; 0 waiting badges due with the next run of reconcile",
    ]
    assert badges_of(standin, paused) == []


def test_the_classic_pages_do_the_same(classic: PrefectUi, academy: Academy, standin: Standin, now: Background) -> None:
    lead = "achievement-warehouse-lead"
    classic.form("enable-credly", by_search=True)
    classic.fill(achievement=lead, badge_template_id=template_of(lead), hold_above="1")
    classic.switch_on("evidence", "User", "On")
    classic.choose("never", "expiry")
    classic.pick(datetime.now(UTC) - timedelta(days=30), "issue_since")
    enabled = classic.outcome(classic.submit())
    classic.form("issue-badge")
    classic.fill(user="user-0010", achievement=lead)
    classic.switch_on("preview")
    previewed = classic.outcome(classic.submit())

    assert (enabled.state, enabled.message) == ("Completed", f"Credly enabled on {lead}; 0 badges due at once")
    assert "expiry\tnever" in enabled.page
    assert previewed.message == f"Preview: {lead} would be issued to user-0010; nothing was done"
    assert "recipient_email\t" in previewed.page


def test_the_groups_of_evidence_are_titled_by_their_kind_on_both_pages(ui: PrefectUi, classic: PrefectUi) -> None:
    for opened in (ui, classic):
        opened.form("enable-credly")
        opened.page.get_by_text("The portal's name and link.").wait_for()
        shown = opened.page.locator("form").inner_text()

        titles = [line.removesuffix(" (Optional)") for line in shown.splitlines()]
        assert {"User", "Company", "Project", "Portal"} <= set(titles)
        assert "EvidenceChoice" not in titles


def test_portal_achievement_and_template_are_chosen_from_menus_on_both_pages(
    ui: PrefectUi, classic: PrefectUi, picture: Picture
) -> None:
    skills = "achievement-archive-skills"
    classic.form("enable-credly")
    achievement = classic.search(skills, "achievement")
    classic.search(template_of("achievement-mentoring"), "badge_template_id")
    enabled = classic.until_over(classic.submit())

    ui.form("pause-credly")
    ui.open_menu("achievement")
    picture("menu", height=700)
    ui.page.keyboard.press("Escape")
    same_achievement = ui.search("Archivistique", "achievement")
    paused = ui.until_over(ui.submit())
    ui.form("list-integrations")
    ui.search("école", "portal")
    listed = ui.until_over(ui.submit())

    assert achievement == f"Archivistique, 1re partie (Méridien · école ouverte, off) · {skills}"
    assert enabled["message"] == f"Credly enabled on {skills}; 0 badges due at once"
    assert same_achievement == achievement.replace("off", "on")
    assert paused["message"].startswith(f"{skills} paused")
    assert listed["message"].startswith("1 of 1 portal connected")


FURTHEST = "(found) => Math.max(...found.map((one) => one.getBoundingClientRect().right))"


def test_a_list_is_issued_row_by_row_and_the_listing_counts_it(
    ui: PrefectUi, academy: Academy, standin: Standin, now: Background, picture: Picture
) -> None:
    customs = "achievement-customs"
    now(academy.enable(customs, company_evidence=True))
    ui.form("issue-badges")
    ui.fill(rows=f"user,achievement\nuser-0006,{customs}\nuser-9999,{customs}\nuser-0007,{customs}")
    picture("issue-badges-form", height=1000)
    issued = ui.outcome(ui.submit())
    picture("issue-badges-result", height=700)
    listed = ui.outcome(ui.quick_run("list-integrations"))
    picture("list-integrations-result", height=565)

    within = ui.artifact()
    cells = within.locator("th, td, li")
    cells.nth(12).wait_for()  # the page may draw it once more
    assert cells.evaluate_all(FURTHEST) <= within.evaluate_all(FURTHEST) <= 1280
    assert issued.message == "2 of 3 rows issued, now or before · 0 not issued · 1 skipped"
    assert "Skipped: user: there is no user `user-9999`" in issued.page
    assert len(badges_of(standin, customs)) == 2
    (row,) = [line for line in listed.page.splitlines() if line.startswith(f"{customs}\t")]
    assert row.split("\t") == [customs, "2", "0", "0", "0", "on"]
    assert f"Customs & Documents ({customs}): badge template Customs & Documents (" in listed.page


def link_to_form(ui: PrefectUi, text: str, achievement: str) -> str:
    """Return the link of this text that fills in the achievement, once the artifact's page shows it."""

    def shown() -> str | None:
        links = [link.get_attribute("href") or "" for link in ui.page.get_by_role("link", name=text, exact=True).all()]
        fills = {json.loads(parse_qs(urlsplit(link).query)["parameters"][0])["achievement"]: link for link in links}
        return fills.get(achievement)

    return str(until(shown, what=f"a link {text} of {achievement}"))


def test_an_integration_is_changed_and_an_achievement_enabled_by_links_of_the_listing(
    ui: PrefectUi, classic: PrefectUi, academy: Academy, now: Background
) -> None:
    own, odd, template = "achievement-own", 'a|b"&[c](d) 100%41é', template_of("achievement-welcome")
    for key in (own, odd):
        now(academy.add(Achievement, id=key, portal_id="portal-northwind", name=ODD))
    settings = {"user_evidence": True, "user_evidence_name": "100% & | [x](y)", "locale": "fr", "revoke_reason": "“a”"}
    since, moment = datetime(2026, 9, 2, 8, 15, 42, 123456, tzinfo=UTC), datetime.now(UTC)
    stored = {"achievement_id": own, "badge_template_id": template, "issue_since": since, "enabled_at": moment}
    now(academy.add(CredlyIntegration, **stored, **settings))
    listing = ui.quick_run("list-integrations")

    for window in (ui, classic):
        window.outcome(window.run_page(listing.rpartition("/")[2]))
        enable, change = link_to_form(window, "enable", odd), link_to_form(window, "change", own)
        window.filled_form(enable, odd)
        window.filled_form(change, own, template, "100% & | [x](y)", "“a”")
        unchanged = window.until_over(window.submit())

        assert unchanged["message"].startswith(f"{own}: no change; ")


def test_a_badge_that_was_refused_is_issued_by_a_link_on_its_page(
    ui: PrefectUi, classic: PrefectUi, academy: Academy, standin: Standin, now: Background
) -> None:
    rescue = "achievement-rescue"
    now(academy.add(Achievement, id=rescue, portal_id="portal-northwind", name="Rescue"))
    template = template_of("achievement-welcome")
    now(academy.add(CredlyIntegration, achievement_id=rescue, badge_template_id=template, enabled_at=datetime.now(UTC)))

    for user, window in (("user-0011", ui), ("user-0012", classic)):
        standin.fault("answer", method="POST", path="/badges$", status=422, content='{"data": {"message": "No"}}')
        refused = window.outcome(window.start("issue-badge", user=user, achievement=rescue))
        link = window.page.get_by_role("link", name="Issue it again").get_attribute("href") or ""
        window.filled_form(link, user, rescue)
        issued = window.until_over(window.submit())

        assert refused.state == "Needs attention"
        assert issued["message"].startswith(f"Issued {rescue} to {user}: ")


def test_one_filter_shows_what_needs_attention_on_both_pages(ui: PrefectUi, classic: PrefectUi) -> None:
    (filtered,) = set(re.findall(r"http://127\.0\.0\.1:4200(/runs\?[^)\s]+)", text()))
    for achievement in ("nothing", LEAD):
        ui.until_over(ui.start("disable-credly", achievement=achievement))

    for window in (ui, classic):
        window.page.goto(f"{window.pages}{filtered}")
        expect(window.page.get_by_role("link", name="disable nothing")).to_be_visible()
        expect(window.page.get_by_role("link", name=f"disable {LEAD}")).to_have_count(0)


LEAD = "achievement-warehouse-lead"
MISTAKES: dict[str, tuple[str, dict[str, str], str]] = {
    "an achievement that is nearly right": (
        "enable-credly",
        {"achievement": "achievement-warehouse-leed", "badge_template_id": template_of(LEAD)},
        f"achievement: there is no achievement `achievement-warehouse-leed`. Did you mean {LEAD} (Warehouse Team Lead)",
    ),
    "a Secret block that is not there": (
        "connect-portal",
        {
            "portal": "portal-northwind",
            "organization_id": invented_id("organization", "portal-northwind"),
            "token_block": "credly-northwinds",
        },
        "token_block: there is no Secret block named `credly-northwinds`. Did you mean credly-northwind",
    ),
}


def test_a_mistake_in_a_form_is_named_with_what_to_do(ui: PrefectUi, picture: Picture) -> None:
    runs = {}
    for mistake, (deployment, fields, _) in MISTAKES.items():  # all of them first: runs take turns anyhow
        runs[mistake] = ui.start(deployment, **fields)
    ui.form("enable-credly")
    ui.fill(achievement=LEAD, badge_template_id=template_of(LEAD))
    ui.pick(datetime.now(UTC) + timedelta(days=3), "issue_since")
    future = ui.submit()

    seen = {mistake: ui.outcome(run) for mistake, run in runs.items()}
    in_future = ui.outcome(future)

    assert {each.state for each in (*seen.values(), in_future)} == {"Failed"}
    said = {mistake: each.message[: len(MISTAKES[mistake][2])] for mistake, each in seen.items()}
    assert said == {mistake: beginning for mistake, (_, _, beginning) in MISTAKES.items()}
    assert all(each.message in each.page for each in seen.values())
    assert in_future.message.endswith(" is in the future; give a moment in the past.")
    ui.outcome(runs["an achievement that is nearly right"])
    picture("mistake", height=560)


def test_an_address_of_a_person_is_refused_before_there_is_a_run(ui: PrefectUi, office: Installation) -> None:
    notices = []
    for fields in (
        {"user": "ada@example.org", "achievement": LEAD},
        {"user": "user-0001", "achievement": LEAD, "reason": "asked by ada@example.org"},
        {"user": "user-0001", "achievement": "x" * 10_000},
    ):
        ui.form("issue-badge")
        ui.fill(**fields)
        ui.press_submit()
        notices.append(ui.notice())
    ui.form("enable-credly")
    ui.press_submit()
    ui.page.get_by_text("'achievement' is a required property").first.wait_for()

    assert "Validation failed for field 'user'" in notices[0]
    assert "Validation failed for field 'reason'" in notices[1]
    assert "'an id of at most 255 characters, no e-mail address' was expected" in notices[2]
    assert max(map(len, notices)) < 250
    assert "ada@example.org" not in office.everything_stored()


def test_commands_of_the_how_to_are_taken_as_they_stand_there(office: Installation) -> None:
    shown = [words for words in commands() if words[-1] == "preview=true" or 'user="4711"' in words]

    stored = [
        httpx.get(f"{office.api}/flow_runs/{office.started(words)}", timeout=30).json()["parameters"] for words in shown
    ]

    assert stored == [deployment_and_parameters(words)[1] for words in shown]
    assert {"user": "4711", "achievement": "achievement-crane"} in stored


def test_names_with_markup_are_shown_as_text(
    ui: PrefectUi, classic: PrefectUi, academy: Academy, now: Background
) -> None:
    aid = "achievement-first-aid"
    now(academy.change(Achievement, aid, name=ODD))
    now(academy.award("user-0008", achievement_id=aid, company_id="company-atlas"))
    ui.form("enable-credly")
    ui.fill(achievement=aid, badge_template_id=template_of(aid))
    ui.switch_on("evidence", "Company", "On")
    ui.type(ODD, "evidence", "Company", "Static Name")
    ui.type(ODD, "evidence", "Company", "Static Description")
    enabled = ui.submit()
    mistaken = ui.start("disable-credly", achievement="achievement-first-aide")

    for window in (ui, classic):
        seen = window.outcome(window.run_page(enabled.rpartition("/")[2]))
        made_of_markup = markup_in(window)
        mistake = window.outcome(window.run_page(mistaken.rpartition("/")[2]))
        made_of_markup += markup_in(window)

        assert seen.page.count(ODD) == 4  # the achievement's name, the setting, name and description of the evidence
        assert mistake.message.startswith(
            "achievement: there is no achievement `achievement-first-aide`. Did you mean "
        )
        assert "<b>First</b> [aid](javascript:alert(1)) |" in mistake.message
        assert made_of_markup == []


def markup_in(ui: PrefectUi) -> list[str]:
    """Return what an artifact's page has of elements that our pages never have."""
    # The V2 pages turn an address in a text into a link to it, which shows where it leads.
    links = [link for link in ui.artifact_page().locator("a").all() if link.get_attribute("href") != link.inner_text()]
    others = ui.artifact_page().locator("b, img, script, iframe")
    return [*(link.inner_text() for link in links), *others.all_inner_texts()]
