"""What each form answers to each mistake: the field, what is wrong, what to do. One small world for all of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prefect import Flow

from flows.abandon_calls import abandon_calls
from flows.audit import audit
from flows.check import check
from flows.connect_portal import connect_portal
from flows.disable_credly import disable_credly
from flows.disconnect_portal import disconnect_portal
from flows.enable_credly import enable_credly
from flows.erase_user import erase_user
from flows.explain import explain
from flows.export import export
from flows.export_user import export_user
from flows.issue_badge import issue_badge
from flows.issue_badges import issue_badges
from flows.list_integrations import list_integrations
from flows.pause_credly import pause_credly
from flows.reconcile import reconcile
from flows.release_credly import release_credly
from flows.report import report
from flows.resume_credly import resume_credly
from flows.retry_failed import retry_failed
from flows.revoke_withdrawn import revoke_withdrawn
from models.platform.tables import Company, Project
from tests.support.factories import a_portal, an_achievement
from tests.support.seen import see
from tests.support.standin import Standin
from tests.support.world import BLOCK, ORGANIZATION, SECOND_ORGANIZATION, TEMPLATE, World

FOREIGN, ARCHIVED = (f"{TEMPLATE[:-1]}{figure}" for figure in "98")
PAGE_AT_CREDLY = f"https://www.credly.com/mgmt/organizations/{ORGANIZATION}/badges/templates/{TEMPLATE}"
FIND_USER = "`python -m models.find_user` finds an id by the primary e-mail address or a part of the name."
PORTALS = "Did you mean northwind (Northwind), southwind (Southwind)?"
NO_CREDLY_ID = (
    "is not an id of Credly. Those look like 1a2b3c4d-1234-4abc-8def-1a2b3c4d5e6f; copy it from the address of the "
    "page at Credly."
)


class Mistake(NamedTuple):
    """A form as it was filled in, and the message of the run."""

    form: Flow[..., Any]
    typed: dict[str, Any]
    said: str
    state: str = "Failed"


def filled(form: Flow[..., Any], **typed: Any) -> dict[str, Any]:
    usual: dict[str, dict[str, Any]] = {
        "enable-credly": {"achievement": "forklift", "badge_template_id": TEMPLATE},
        "issue-badge": {"user": "bob", "achievement": "forklift"},
        "explain": {"user": "bob", "achievement": "forklift"},
        "erase-user": {"user": "bob", "reason": "Asked for it"},
        "abandon-calls": {"portal": "northwind", "organization_id": ORGANIZATION},
    }
    return usual.get(form.name, {}) | typed


def ids_of_the_platform() -> Iterator[Mistake]:
    form: Flow[..., Any]
    empty = "achievement: it is empty. Enter the achievement's id on the platform."
    near = "achievement: there is no achievement `Forklift`. Did you mean forklift (Forklift)?"
    for form in (enable_credly, pause_credly, resume_credly, release_credly, disable_credly, issue_badge, explain):
        yield Mistake(form, {"achievement": " "}, empty)
        yield Mistake(form, {"achievement": " Forklift "}, near)
    for form in (disconnect_portal, list_integrations, check, audit, revoke_withdrawn, retry_failed, reconcile, report):
        yield Mistake(form, {"portal": "Northwind"}, f"portal: there is no portal `Northwind`. {PORTALS}")
    yield Mistake(disconnect_portal, {"portal": ""}, f"portal: it is empty. {PORTALS}")
    yield Mistake(
        disconnect_portal,
        {"portal": "forklift"},
        f"portal: there is no portal `forklift`, but an achievement has this id. {PORTALS}",
    )
    yield Mistake(reconcile, {"portal": "x", "preview": True}, f"portal: there is no portal `x`. {PORTALS}")
    swapped = "achievement: there is no achievement `ada`, but a user has this id. Enter the achievement's id on the "
    for form in (issue_badge, explain):
        yield Mistake(form, {"user": "forklift", "achievement": "ada"}, f"{swapped}platform.")
        yield Mistake(form, {"user": "bobb"}, f"user: there is no user `bobb`. Did you mean bob? {FIND_USER}")
    yield Mistake(
        issue_badge,
        {"user": "https://platform.example.org/people/bob"},
        "user: there is no user `https://platform.example.org/people/bob`. Enter the user's id on the platform. "
        + FIND_USER,
    )
    yield Mistake(
        enable_credly,
        {"achievement": TEMPLATE, "badge_template_id": "forklift"},
        f"achievement: there is no achievement `{TEMPLATE}`. Enter the achievement's id on the platform, not one of "
        "Credly.",
    )
    for field, typed, meant in (("project", "Brige", "bridge (Bridge)"), ("company", "Acme", "acme (Acme)")):
        wrong = f"{field}: there is no {field} `{typed}`. Did you mean {meant}? Or leave it empty."
        yield Mistake(issue_badge, {field: typed}, wrong)
    yield Mistake(
        retry_failed,
        {"achievement": "forklift", "portal": "southwind"},
        "portal: achievement `forklift` belongs to portal `northwind`. Leave the portal empty, or correct one of them.",
    )


def ids_of_credly() -> Iterator[Mistake]:
    for form, field in ((enable_credly, "badge_template_id"), (abandon_calls, "organization_id")):
        yield Mistake(form, {field: "Northwind"}, f"{field}: `Northwind` {NO_CREDLY_ID}")
        yield Mistake(form, {field: " "}, f"{field}: it is empty. Copy the id from the address of the page at Credly.")
        yield Mistake(
            form,
            {field: f"{ORGANIZATION} {TEMPLATE}"},
            f"{field}: `{ORGANIZATION} {TEMPLATE[:22]}…` is not an id of Credly. Enter the id alone: "
            f"`{ORGANIZATION}` or `{TEMPLATE}`.",
        )
    meant = f"Did you mean {TEMPLATE} (Forklift)?"
    yield Mistake(
        enable_credly,
        {"badge_template_id": ORGANIZATION},
        f"badge_template_id: `{ORGANIZATION}` is the id of the organization and of no template. {meant}",
    )
    yield Mistake(
        enable_credly,
        {"badge_template_id": FOREIGN},
        f"badge_template_id: organization `{ORGANIZATION}` has no template `{FOREIGN}`. {meant}",
    )
    yield Mistake(
        enable_credly,
        {"badge_template_id": ARCHIVED},
        f"badge_template_id: template `Old` is archived; Credly issues active ones only. {meant}",
    )


def out_of_order() -> Iterator[Mistake]:
    form: Flow[..., Any]
    not_connected = "achievement: its portal `southwind` is not connected to Credly. Run connect-portal first."
    yield Mistake(enable_credly, {"achievement": "sail"}, not_connected)
    yield Mistake(issue_badge, {"achievement": "mast"}, not_connected)
    for form in (issue_badge, pause_credly, resume_credly, release_credly):
        yield Mistake(
            form, {"achievement": "crane"}, "achievement: `crane` has no Credly integration. Run enable-credly first."
        )
    for form, typed, why in (
        (disable_credly, {"achievement": "crane"}, "Credly is not enabled on crane"),
        (release_credly, {"achievement": "forklift"}, "no badges of forklift are held"),
        (resume_credly, {"achievement": "forklift"}, "forklift is not paused"),
        (disconnect_portal, {"portal": "southwind"}, "portal southwind is not connected to Credly"),
        (audit, {"portal": "southwind"}, "portal southwind is not connected to Credly"),
        (revoke_withdrawn, {"portal": "southwind"}, "portal southwind is not connected to Credly"),
        (abandon_calls, {"preview": False}, f"no call of portal northwind is outstanding at {ORGANIZATION}"),
    ):
        yield Mistake(form, typed, f"Nothing to do: {why}", "Completed")
    nothing_failed = "No failed badge matches; nothing was changed"
    yield Mistake(retry_failed, {"achievement": "forklift", "preview": False}, nothing_failed, "Completed")


def without_effect() -> Iterator[Mistake]:
    done = "no change; 0 badges due at once"
    yield Mistake(
        enable_credly,
        {"evidence": {"company": {"static_name": "Our customer"}}},
        "Settings of forklift changed (1); 0 badges due at once. evidence.company: its texts have no effect while its "
        "switch is off",
        "Completed",
    )
    yield Mistake(
        enable_credly,
        {"evidence": {"company": {"static_name": "Our customer"}}, "revoke_reason": "Lost it"},
        "Settings of forklift changed (1); 0 badges due at once. evidence.company: its texts have no effect while its "
        "switch is off. revoke_reason: it has no effect while revoke_when_withdrawn is off",
        "Completed",
    )
    yield Mistake(enable_credly, {}, "Settings of forklift changed (2); 0 badges due at once", "Completed")
    yield Mistake(
        enable_credly, {"evidence": {"company": {"static_name": " \u200b"}}}, f"forklift: {done}", "Completed"
    )
    yield Mistake(
        issue_badge,
        {"company": "acme", "preview": True},
        "Preview: forklift would be issued to bob; nothing was done. company: it has no effect, as company evidence is "
        "off for forklift",
        "Completed",
    )
    yield Mistake(
        enable_credly,
        {"expires_after_days": 3},
        "expires_after_days: counts only with the expiry 'after_days'; choose that, or leave it 0.",
    )


def moments() -> Iterator[Mistake]:
    zone = "issue_since: the moment needs a time zone, such as 2026-11-02T09:00:00Z."
    for typed, said in (
        ("2999-01-01T00:00:00Z", "issue_since: 2999-01-01T00:00+00:00 is in the future; give a moment in the past."),
        ("2026-01-01", zone),
        ("0001-01-01T00:00:00+14:00", "issue_since: the moment is before the year 1 in UTC; give a later one."),
    ):
        yield Mistake(enable_credly, {"issue_since": typed}, said)
    yield Mistake(
        retry_failed,
        {"since": "2026-05-01", "until": "2026-04-01"},
        "until: 2026-04-01 is before since, 2026-05-01. Swap them, or leave one of them empty.",
    )


def lists() -> Iterator[Mistake]:
    either = "rows: give either rows or a path, not both and not neither."
    for typed in ({}, {"rows": "ada,forklift", "path": "list.csv"}):
        yield Mistake(issue_badges, typed, either)


def unwritable_folders(folder: Path) -> Iterator[Mistake]:
    (folder / "file").touch()
    form: Flow[..., Any]
    for form, typed in ((export, {}), (report, {}), (export_user, {"user": "bob"})):
        for place, why in ((folder / "file", "File exists"), (folder / "file" / "x", "Not a directory")):
            yield Mistake(
                form,
                typed | {"folder": str(place)},
                f"folder: nothing can be written to `{place}` on this machine ({why}). Enter another folder, or leave "
                "it empty.",
            )


async def answers(mistakes: Iterator[Mistake]) -> list[tuple[Mistake, str, str, str]]:
    found = []
    for each in mistakes:
        seen = await see(each.form, **each.form.validate_parameters(filled(each.form, **each.typed)))
        found.append((each, seen.name, seen.message, seen.page))
    return found


@pytest.fixture
async def office(world: World, standin: Standin) -> World:
    """Portal northwind is connected and forklift enabled; southwind is not connected, and mast enabled all the same."""
    standin.seed(
        organizations=[{"id": SECOND_ORGANIZATION, "name": "Southwind"}],
        templates=[
            {"id": FOREIGN, "organization_id": SECOND_ORGANIZATION, "name": "Foreign", "state": "active"},
            {"id": ARCHIVED, "organization_id": ORGANIZATION, "name": "Old", "state": "archived"},
        ],
    )
    await a_portal(world.database, "southwind")
    for achievement, portal in (("crane", "northwind"), ("sail", "southwind"), ("mast", "southwind")):
        await an_achievement(world.database, achievement, portal=portal)
    for achievement in ("forklift", "mast"):
        await world.enable(achievement)
    return world


@pytest.mark.parametrize("kind", [ids_of_the_platform, ids_of_credly, out_of_order, without_effect, moments, lists])
async def test_a_mistake_is_answered_with_its_field_and_what_to_do(office: World, kind: Any) -> None:
    await check_answers(kind())


async def test_a_folder_that_cannot_be_written_is_named(
    office: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.configure(monkeypatch, REPORTS_FOLDER=str(tmp_path))

    await check_answers(unwritable_folders(tmp_path))


async def check_answers(mistakes: Iterator[Mistake]) -> None:
    found = await answers(mistakes)
    assert [(each.form.name, each.typed, each.state, each.said) for each, *_ in found] == [
        (each.form.name, each.typed, state, message) for each, state, message, _ in found
    ]
    for each, _, message, page in found:
        assert each.state == "Completed" or page.startswith("# Not done")
        assert message.split(". ")[-1] in page.replace("\\", "")


async def test_connecting_again_without_a_change_says_so(office: World) -> None:
    form = {"portal": "northwind", "organization_id": ORGANIZATION, "token_block": BLOCK, "environment": "other"}
    typed = connect_portal.validate_parameters(form | {"base_url": office.base_url})
    await see(connect_portal, **typed)

    again = await see(connect_portal, **typed)

    assert again.message == "Portal northwind connected already, no change: Credly organization Northwind"


async def test_what_an_existing_badge_or_an_award_does_not_take_is_said(office: World) -> None:
    await office.add(Project, id="tunnel", name="Tunnel", url="https://tunnel.example.org")
    await office.add(Company, id="other", name="Other", url="https://other.example.org")
    await office.change_integration(project_evidence=True, company_evidence=True)
    await office.award("ada", project_id="bridge")

    preview = await see(issue_badge, user="ada", achievement="forklift", project="tunnel", preview=True)
    issued = await see(issue_badge, user="ada", achievement="forklift", project="bridge", company="acme")
    again = await see(issue_badge, user="ada", achievement="forklift", company="other")

    assert preview.message.endswith("nothing was done. project: it has no effect, as the award has its own project")
    assert "it has no effect" not in issued.message
    assert again.message.endswith(". company: it has no effect on an existing badge, unless it is replaced")


async def test_resuming_what_is_held_and_releasing_what_is_paused_say_what_is_left(office: World) -> None:
    for user in ("ada", "bob"):
        await office.award(user)
    await see(enable_credly, achievement="crane", badge_template_id=TEMPLATE)
    await office.award("ada", achievement_id="crane")
    await see(pause_credly, achievement="crane")
    held = await see(
        enable_credly,
        **enable_credly.validate_parameters(
            {
                "achievement": "crane",
                "badge_template_id": TEMPLATE,
                "issue_since": "2020-01-01T00:00:00Z",
                "hold_above": 0,
            }
        ),
    )
    run = await see(reconcile)
    resumed = await see(resume_credly, achievement="crane")
    await see(pause_credly, achievement="crane")
    released = await see(release_credly, achievement="crane")

    assert "HELD: 1 badge" in held.message
    assert run.message.endswith(" · now 1 waiting. 1 paused on crane (run resume-credly)")
    assert resumed.message == "crane resumed; still HELD: 1 badge waiting. Run release-credly"
    assert released.message == "crane released; still PAUSED: 1 badge waiting. Run resume-credly"


@pytest.mark.prefect
async def test_erasing_twice_is_no_failure_and_the_user_is_named_nowhere(office: World) -> None:
    await see(erase_user, user="ada", reason="Asked for it", preview=False)

    twice = await see(erase_user, user="ada", reason="Asked for it", preview=False)
    exported = await see(export_user, user="ada")

    assert (twice.name, "was erased on" in twice.page) == ("Completed", True)
    assert exported.message.startswith("user: this user was erased on ")
    assert exported.message.endswith("; nothing is kept of the user, and no badge is issued.")
