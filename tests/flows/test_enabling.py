"""Enabling Credly on an achievement, changing, pausing, releasing and disabling it, as a portal administrator does."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from flows.disable_credly import disable_credly
from flows.enable_credly import enable_credly
from flows.pause_credly import pause_credly
from flows.reconcile import reconcile
from flows.release_credly import release_credly
from flows.resume_credly import resume_credly
from models.ledger.tables import BadgeIssuance
from models.platform.tables import Achievement, Company, UserEmail
from models.setup.history import put_settings
from models.setup.tables import CredlyIntegration
from rules.forms.inputs import EvidenceChoice, EvidenceChoices
from rules.ledger.settings_changes import SettingsOf
from rules.markdown import plain
from tests.support.factories import a_user, an_achievement, rows_of, the_row_of
from tests.support.seen import refused, see
from tests.support.standin import Standin
from tests.support.world import BLOCK, ORGANIZATION, TEMPLATE, World

ANOTHER = "7e7e7e7e-0000-4000-8000-000000000002"
ODD = "<script>alert(1)</script> | **b** `c` [d](https://e) עברית 🏅"


def form(**changes: Any) -> dict[str, Any]:
    return {"achievement": "forklift", "badge_template_id": TEMPLATE} | changes


def ago(**span: float) -> datetime:
    return datetime.now(UTC) - timedelta(**span)


def templates(standin: Standin, **names: str) -> None:
    """Seed active templates of the organization, by the last figure of their ids."""
    rows = [
        {"id": f"{TEMPLATE[:-1]}{figure[1:]}", "organization_id": ORGANIZATION, "name": name, "state": "active"}
        for figure, name in names.items()
    ]
    standin.seed(templates=rows)


@pytest.mark.prefect
async def test_an_achievement_is_enabled_with_every_setting_of_the_form(any_world: World, standin: Standin) -> None:
    since = ago(days=2)
    evidence = EvidenceChoices(
        user=EvidenceChoice(on=True),
        company=EvidenceChoice(on=True, static_name=f" {ODD}\u200b", static_description="Our\n customer"),
        project=EvidenceChoice(on=True),
    )
    await any_world.award("ada", company_id="acme")

    seen = await see(
        enable_credly,
        **form(
            achievement=" forklift",
            badge_template_id=f"{TEMPLATE.upper()} ",
            evidence=evidence,
            issue_since=since,
            suppress_credly_email=True,
            expiry="after_days",
            expires_after_days=30,
            locale="pt-BR",
            earned_again="replace",
        ),
    )

    assert (seen.name, seen.title) == ("Completed", "enable forklift · 1 due at once")
    assert seen.message.startswith("Credly enabled on forklift; ")
    row = await the_row_of(any_world.database, CredlyIntegration)
    assert (row.achievement_id, row.badge_template_id, row.issue_since) == ("forklift", TEMPLATE, since)
    assert (row.suppress_notification, row.expiry, row.expires_after_days) == (True, "after_days", 30)
    assert (row.locale, row.earned_again, row.held_at, row.paused_at) == ("pt-BR", "replace", None, None)
    assert (row.user_evidence, row.project_evidence, row.portal_evidence) == (True, True, False)
    assert (row.company_evidence_name, row.company_evidence_description) == (ODD, "Our customer")
    assert datetime.now(UTC) - row.enabled_at < timedelta(minutes=1)
    assert all(request["method"] == "GET" for request in standin.requests())


@pytest.mark.parametrize("text", ["Our\u202ecustomer", "A\u200bB", "R&amp;D", "MÃ¼ller", "a\u3164b"])
async def test_a_static_text_with_an_oddity_is_refused(world: World, text: str) -> None:
    evidence = EvidenceChoices(company=EvidenceChoice(on=True, static_name=text))

    for field, changes in (
        ("evidence.company.static_name", {"evidence": evidence}),
        ("revoke_reason", {"revoke_reason": text}),
    ):
        seen = await see(enable_credly, **form(**changes))

        assert (seen.name, seen.message.partition(":")[0]) == ("Failed", field)
        assert text not in seen.message
    assert await rows_of(world.database, CredlyIntegration) == []


async def test_the_page_shows_what_would_be_sent_masked_and_reminds_that_it_is_public(world: World) -> None:
    evidence = EvidenceChoices(
        user=EvidenceChoice(on=True),
        company=EvidenceChoice(on=True, static_description="Our customer"),
        project=EvidenceChoice(on=True),
        portal=EvidenceChoice(on=True, static_name=ODD),
    )
    await world.change(Company, "acme", name=ODD)
    await world.change(Achievement, "forklift", name=ODD * 6)
    moment = datetime(2026, 11, 2, 8, 15, 42, tzinfo=UTC)
    await world.award("ada", awarded_at=moment, company_id="acme")

    seen = await see(enable_credly, **form(evidence=evidence, expiry="never"))

    assert "| user | `ada` |" in seen.page
    assert "| recipient_email | a…\\@e… |" in seen.page
    assert "| issued_to_first_name | A… |" in seen.page
    assert "| issued_to_last_name | L… |" in seen.page
    assert f"| badge_template_id | {plain(TEMPLATE)} |" in seen.page
    assert f"| issued_at | {plain('2026-11-02 08:15:42 UTC')} |" in seen.page
    assert "| expires_at | never |" in seen.page
    assert "| evidence: user | A… → a link to the user's profile |" in seen.page
    assert f"→ {plain('https://acme.example.org')} |\n| evidence: company, description | Our customer |" in seen.page
    assert f"→ {plain('https://northwind.example.org')}" in seen.page
    assert "| left out: project | The award has none\\. |" in seen.page
    assert "Evidence is **public**: everyone who sees the badge sees it." in seen.page
    assert "reconcile* runs every minute" in seen.page
    assert "<script>" not in seen.page
    assert "Lovelace" not in seen.page
    assert "ada@example.org" not in seen.page


async def test_where_nothing_can_be_sent_the_page_says_why(world: World) -> None:
    nobody = await see(enable_credly, **form())
    assert "Nobody has been awarded this achievement yet." in nobody.page
    await world.award("ada")
    await world.change(UserEmail, "ada", address="ada at example.org")

    seen = await see(enable_credly, **form())

    cannot_be_sent = "The user's primary e-mail address (user_emails.address) cannot be read, or is not an address."
    assert f"Nothing, for user `ada`: {cannot_be_sent} Correct" in seen.page
    assert seen.message == "forklift: no change; 0 badges due at once"
    assert "What changed" not in seen.page


async def test_what_is_named_and_is_not_there_is_said_with_near_names(world: World, standin: Standin) -> None:
    templates(standin, _2="Forklift advanced", _3="Crane")
    standin.seed(
        organizations=[{"id": ORGANIZATION.replace("1", "2"), "name": "Southwind"}],
        templates=[{"id": ANOTHER.replace("2", "9"), "organization_id": ORGANIZATION.replace("1", "2"), "name": "S"}],
    )
    assert await refused(enable_credly, **form(achievement="forklif")) == (
        "achievement: there is no achievement `forklif`. Did you mean forklift (Forklift)?"
    )
    assert (await refused(enable_credly, **form(badge_template_id="<b>Forklift"))).startswith(
        "badge_template_id: `<b>Forklift` is not an id of Credly. Those look like "
    )
    others = ANOTHER.replace("2", "9")
    said = await refused(enable_credly, **form(badge_template_id=others))
    assert said.startswith(
        f"badge_template_id: organization `{ORGANIZATION}` has no template `{others}`. Did you mean "
    )
    assert all(name in said for name in (f"{TEMPLATE} (Forklift)", f"{ANOTHER} (Forklift advanced)", " (Crane)"))
    assert "(S)" not in said
    standin.template_state(TEMPLATE, "archived")
    assert await refused(enable_credly, **form()) == (
        "badge_template_id: template `Forklift` is archived; Credly issues active ones only. "
        f"Did you mean {ANOTHER} (Forklift advanced)?"
    )
    assert await rows_of(world.database, CredlyIntegration) == []


async def test_where_no_name_is_near_the_active_templates_are_listed(world: World, standin: Standin) -> None:
    standin.seed(templates=[{"id": TEMPLATE, "organization_id": ORGANIZATION, "name": "12345678", "state": "draft"}])
    said = await refused(enable_credly, **form())
    assert said.endswith(
        "template `12345678` is draft; Credly issues active ones only. The organization has no active template."
    )
    templates(standin, _2="Crane", _3="Boat", _4="Kite", _5="Drum")

    said = await refused(enable_credly, **form())

    assert said.endswith(
        f" Active templates are: Boat ({TEMPLATE[:-1]}3), Crane ({ANOTHER}), Drum ({TEMPLATE[:-1]}5), "
        f"Kite ({TEMPLATE[:-1]}4)."
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"issue_since": datetime(2999, 1, 1, tzinfo=UTC)}, "issue_since: 2999-01-01T00:00+00:00 is in the future; "),
        ({"issue_since": "2026-01-01T00:00:00"}, "issue_since: the moment needs a time zone, such as "),
        (
            {"expiry": "after_days"},
            "expires_after_days: give a number of days from 1 to 36500, or choose another expiry.",
        ),
        ({"expires_after_days": 3}, "expires_after_days: counts only with the expiry 'after_days'; choose that, "),
    ],
)
async def test_a_field_that_cannot_be_meant_is_named(
    world: World, standin: Standin, changes: dict[str, Any], said: str
) -> None:
    assert (await refused(enable_credly, **form(**changes))).startswith(said)
    assert standin.requests() == []


async def test_the_portal_has_to_be_connected_first_and_its_token_accepted(world: World) -> None:
    await world.put_token("of-nobody")
    assert await refused(enable_credly, **form()) == (
        f"token_block: Credly refused the token in Secret block `{BLOCK}`. Put a valid one there."
    )
    await world.change_connection(token_block="gone")
    assert (await refused(enable_credly, **form())).startswith("token_block: There is no Prefect Secret block named")
    await world.disconnect()
    assert await refused(enable_credly, **form()) == (
        "achievement: its portal `northwind` is not connected to Credly. Run connect-portal first."
    )


async def test_enabling_again_changes_the_settings_and_tells_the_difference(world: World, standin: Standin) -> None:
    templates(standin, _2="Forklift advanced")
    await world.enable(paused_at=ago(hours=1), portal_evidence=True)
    for user in ("ada", "bob"):
        await world.award(user)
    await reconcile(return_state=True)
    chosen = EvidenceChoices(portal=EvidenceChoice(on=True, static_name=ODD))

    seen = await see(enable_credly, **form(badge_template_id=ANOTHER, evidence=chosen, expires_after_days=0))

    assert seen.message == (
        "Settings of forklift changed (2); still PAUSED: 2 badges would be issued at once. "
        "Run resume-credly to issue them"
    )
    assert f"| badge_template_id | {TEMPLATE} | {ANOTHER} |" in seen.page.replace(r"\-", "-")
    assert "| evidence.portal | on | on, name “\\<script\\>" in seen.page
    assert "2 waiting badges will be issued with the new template." in seen.page
    assert {row.badge_template_id for row in await rows_of(world.database, BadgeIssuance)} == {ANOTHER}


async def test_a_badge_of_an_earlier_template_is_not_due_again(any_world: World, standin: Standin) -> None:
    templates(standin, _2="Forklift advanced")
    await any_world.enable()
    await any_world.award("ada")
    await reconcile(return_state=True)

    seen = await see(enable_credly, **form(badge_template_id=ANOTHER, issue_since=ago(days=30), hold_above=0))
    await reconcile(return_state=True)

    assert seen.message == "Settings of forklift changed (2); 0 badges due at once"
    assert len(standin.badges()) == 1


@pytest.mark.prefect
async def test_more_badges_at_once_than_the_bound_are_held_until_a_person_releases_them(
    world: World, standin: Standin
) -> None:
    for user in ("ada", "bob"):
        await world.award(user)
    await an_achievement(world.database, "crane")
    reaching_back = form(issue_since=ago(days=30), hold_above=1)

    seen = await see(enable_credly, **reaching_back)
    again = await see(enable_credly, **reaching_back | {"suppress_credly_email": True, "hold_above": 5})
    await reconcile(return_state=True)

    held = "HELD: 2 badges would be issued at once"
    assert seen.name == again.name == "Needs attention"
    assert seen.message == (f"Credly enabled on forklift; {held}, more than 1. Run release-credly to release them")
    assert again.message == f"Settings of forklift changed (1); {held}. Run release-credly to release them"
    assert "then run *release-credly* for `forklift`." in again.page
    assert standin.badges() == []

    released = await see(release_credly, achievement="forklift ")
    await reconcile(return_state=True)

    assert released.message == "forklift released; 2 badges due with the next run of reconcile"
    assert released.page.replace(r"\-", "-") == f"# Released\n\n{released.message}."
    assert len(standin.badges()) == 2
    twice = await see(release_credly, achievement="forklift")
    assert (twice.name, twice.message) == ("Completed", "Nothing to do: no badges of forklift are held")
    assert await refused(release_credly, achievement="crane") == (
        "achievement: `crane` has no Credly integration. Run enable-credly first."
    )


async def test_a_bound_that_is_not_passed_holds_nothing(world: World) -> None:
    for user in ("ada", "bob"):
        await world.award(user)

    seen = await see(enable_credly, **form(issue_since=ago(days=30), hold_above=2))
    closer = await see(enable_credly, **form(issue_since=ago(days=20), hold_above=0))

    assert (seen.name, seen.message) == ("Completed", "Credly enabled on forklift; 2 badges due at once")
    assert closer.message == "Settings of forklift changed (1); 2 badges due at once"


@pytest.mark.prefect
async def test_nothing_is_issued_while_paused_and_nothing_is_lost(world: World, standin: Standin) -> None:
    await world.enable()
    paused = await see(pause_credly, achievement="forklift")
    await world.award("ada")
    await reconcile(return_state=True)
    assert paused.message == "forklift paused; 0 badges waiting, and badges that become due wait too"
    assert (standin.badges(), (await the_row_of(world.database, BadgeIssuance)).state) == ([], "pending")
    twice = await see(pause_credly, achievement="forklift")
    assert (twice.name, twice.message) == ("Completed", "Nothing to do: forklift is paused already")

    resumed = await see(resume_credly, achievement="forklift")
    await reconcile(return_state=True)

    assert resumed.message == "forklift resumed; 1 waiting badge due with the next run of reconcile"
    assert len(standin.badges()) == 1
    twice = await see(resume_credly, achievement="forklift")
    assert (twice.name, twice.message) == ("Completed", "Nothing to do: forklift is not paused")


@pytest.mark.prefect
async def test_disabling_cancels_what_waits_and_keeps_what_is_issued(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("ada")
    await reconcile(return_state=True)
    await a_user(world.database, "eve")
    standin.template_state(TEMPLATE, "archived")
    for user in ("bob", "eve"):
        await world.award(user)
    await reconcile(return_state=True)

    seen = await see(disable_credly, achievement="forklift")
    await reconcile(return_state=True)

    assert seen.message == "Credly disabled on forklift; 2 waiting badges cancelled, 1 issued badge kept"
    assert "*issue_since* reaches further back" in seen.page
    rows = {row.user_id: (row.state, row.reason) for row in await rows_of(world.database, BadgeIssuance)}
    assert rows["ada"] == ("issued", None)
    assert rows["bob"] == rows["eve"] == ("cancelled", "integration_removed")
    assert await rows_of(world.database, CredlyIntegration) == []
    assert len(standin.badges()) == 1
    twice = await see(disable_credly, achievement="forklift")
    assert (twice.name, twice.message) == ("Completed", "Nothing to do: Credly is not enabled on forklift")


async def test_an_operator_who_gives_no_id_changes_nothing(world: World) -> None:
    await world.enable()

    said = await refused(pause_credly, achievement="forklift", operator="o\u200b17")
    assert said.startswith("operator: give an id")

    assert (await the_row_of(world.database, CredlyIntegration)).paused_at is None


async def test_two_who_enable_at_the_same_moment_make_one_integration(any_world: World) -> None:
    moment = datetime.now(UTC)
    values = {"badge_template_id": TEMPLATE, "enabled_at": moment}

    def put(connection: Connection) -> bool:
        return put_settings(connection, SettingsOf.INTEGRATION, "forklift", values, now=moment)

    await asyncio.gather(*(any_world.database.write(put) for _ in range(8)))

    assert (await the_row_of(any_world.database, CredlyIntegration)).badge_template_id == TEMPLATE


async def test_a_waiting_badge_that_was_refused_before_is_given_the_new_template(
    world: World, standin: Standin
) -> None:
    templates(standin, _2="Forklift advanced")
    await world.enable(locale="xx")
    await world.award("ada")
    await reconcile(return_state=True)
    (row,) = await rows_of(world.database, BadgeIssuance)
    assert row.state == "failed"

    await see(enable_credly, **form(badge_template_id=ANOTHER, issue_since=ago(days=1)))
    await reconcile(return_state=True)

    assert [badge["badge_template"]["id"] for badge in standin.badges()] == [ANOTHER]
