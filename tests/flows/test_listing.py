"""Looking things up: what is configured, and which user has an address."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

import pytest

from flows.list_integrations import list_integrations
from flows.reconcile import reconcile
from models.platform.people import users_like
from models.platform.tables import Achievement, Portal, UserEmail
from models.setup.tables import CredlyConnection
from settings import ROOT
from tests.support.factories import a_portal, a_user, an_achievement, an_email, an_issuance, change
from tests.support.seen import refused, see
from tests.support.standin import Standin
from tests.support.world import BLOCK, ORGANIZATION, TEMPLATE, World

ODD = "A|B <img src=x> `c` [d](e) עברית 🏅"
SHOWN = "A\\|B \\<img src=x\\> \\`c\\` \\[d\\]\\(e\\) עברית 🏅"


@pytest.mark.prefect
async def test_each_portal_is_shown_with_what_its_achievements_issue(any_world: World, standin: Standin) -> None:
    await any_world.change(Portal, "northwind", name=ODD)
    await any_world.change(Achievement, "forklift", name=ODD)
    ends_at = datetime.now(UTC) + timedelta(days=100, hours=1)
    await change(any_world.database, CredlyConnection, 1, token_ends_at=ends_at, calls_per_second=2.5)
    texts = {"user_evidence_name": "Profile", "user_evidence_description": "Open|it"}
    await any_world.enable(user_evidence=True, portal_evidence=True, suppress_notification=True, **texts)
    for user in ("ada", "bob"):
        await any_world.award(user)
    await any_world.change(UserEmail, "bob", is_primary=False)
    for name in ("crane", "boat"):
        await an_achievement(any_world.database, name)
    await any_world.enable("crane", held_at=datetime.now(UTC), paused_at=datetime.now(UTC))
    await any_world.enable("boat", paused_at=datetime.now(UTC))
    await a_portal(any_world.database, "aeolus")
    await reconcile(return_state=True)
    await an_issuance(any_world.database, achievement="boat", badge_template_id=TEMPLATE)

    seen = await see(list_integrations)

    assert (seen.name, seen.message) == ("Completed", "1 of 2 portals connected · 3 achievements with Credly")
    aeolus, northwind = seen.page.split("\n\n## ")[1:]
    assert aeolus == (
        "Aeolus (`aeolus`)\n\n**Not connected to Credly.** Badges of its achievements wait.\n\n"
        "No achievement has Credly enabled."
    )
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert northwind.startswith(f"{SHOWN} (`northwind`)\n\nOrganization `{ORGANIZATION}` at `{any_world.base_url}`, ")
    assert f"token from Secret block `{BLOCK}` (It ends on {ends_at:%Y-%m-%d}, in 100 days.), 2.5 calls" in northwind
    rows = [line for line in northwind.splitlines() if line.startswith("|")]
    assert rows[0] == "| achievement | issued | pending | blocked | failed | status |"
    assert rows[2:] == [
        "| `boat` | 0 | 1 | 0 | 0 | **paused** |",
        "| `crane` | 0 | 0 | 0 | 0 | **held, paused** |",
        "| `forklift` | 1 | 0 | 0 | 1 | on |",
    ]
    boat, _, forklift = northwind.splitlines()[-3:]
    assert boat.startswith(f"- **Boat** (`boat`): badge template **Forklift** (`{TEMPLATE}`) · issue_since: ")
    assert forklift.startswith(
        f"- **{SHOWN}** (`forklift`): badge template **Forklift** (`{TEMPLATE}`) · last issued: {today} "
    )
    for setting in ("evidence.user: on, name “Profile”, description “Open\\|it”", "evidence.portal: on"):
        assert f" · {setting}" in forklift
    assert " · suppress_credly_email: on" in forklift
    assert "earned_again" not in boat + forklift


async def test_a_listing_does_without_the_names_of_templates(world: World) -> None:
    await world.enable()
    await world.put_token("of-nobody")

    seen = await see(list_integrations)

    assert "The names of the badge templates could not be read. token\\_block\\: Credly refused the token" in seen.page
    assert f"- **Forklift** (`forklift`): badge template (`{TEMPLATE}`) · " in seen.page


async def test_one_portal_is_shown_where_it_is_named(world: World) -> None:
    await a_portal(world.database, "aeolus")

    seen = await see(list_integrations, portal=" northwind ")

    assert seen.message == "1 of 1 portal connected · 0 achievements with Credly"
    assert "aeolus" not in seen.page
    assert await refused(list_integrations, portal="north") == (
        "portal: there is no portal `north`. Did you mean northwind (Northwind)?"
    )


async def test_a_portal_whose_deleted_awards_count_as_withdrawn_is_shown_so(world: World) -> None:
    said = "Deleted awards count as withdrawn."
    before = await see(list_integrations)
    await world.change_connection(deletion_withdraws=True)
    after = await see(list_integrations)

    assert (said in before.page, said in after.page) == (False, True)


async def test_a_user_is_found_by_the_primary_address_or_a_part_of_the_name_in_any_case(any_world: World) -> None:
    await a_user(any_world.database, "jörg", email="JÖRG@Example.org ", first_name="JÖRG", last_name="O'Neill_x")
    await a_user(any_world.database, "twin", email="Ada@example.org", first_name="Adalbert", last_name=None)
    await an_email(any_world.database, user="twin", address="second@example.org", is_primary=False)
    by_address, by_name = {}, {}

    for typed in (" ADA@EXAMPLE.ORG ", "JÖRG@Example.org", "second@example.org", "%@example.org", ""):
        by_address[typed] = await any_world.database.platform.read(users_like, typed, limit=9)
    for typed in ("ada", "ada LOVE", "jörg", "neill_", "adaxmust", "%", "ill%x"):
        by_name[typed] = await any_world.database.platform.read(users_like, typed, limit=9)

    assert list(by_address.values()) == [["ada", "twin"], ["jörg"], [], [], []]
    assert list(by_name.values()) == [["ada", "twin"], ["ada"], ["jörg"], ["jörg"], [], [], []]
    assert await any_world.database.platform.read(users_like, "a", limit=1) == ["ada"]


@pytest.mark.parametrize(
    ("arguments", "code", "out", "err"),
    [
        (["BOB@example.org"], 0, "bob\tB… B… b…@e…\n", "achievement=ACHIEVEMENT"),
        (["bob", "babb"], 0, "bob\tB… B… b…@e…\n", "-p 'user=\"ID\"'"),
        (["eve@example.org"], 1, "", "No user has this as primary e-mail address or in the name."),
        ([], 2, "", "Give an e-mail address or a part of a name: python -m models.find_user ADDRESS|NAME"),
    ],
)
async def test_the_command_prints_ids_with_masked_names_and_how_to_go_on(
    world: World, arguments: list[str], code: int, out: str, err: str
) -> None:
    ended, printed, noted = await find_user(*arguments)

    assert (ended, printed) == (code, out)
    assert err in noted


async def test_the_command_prints_a_few_of_many(world: World) -> None:
    for number in range(30):
        await a_user(world.database, f"many-{number}", first_name="Many")

    code, out, err = await find_user("many")

    assert (code, len(out.splitlines())) == (0, 20)
    assert "There are more than 20: give more of the name." in err


async def find_user(*arguments: str) -> tuple[int | None, str, str]:
    command = [sys.executable, "-m", "models.find_user", *arguments]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=pipe)
    written, complained = await process.communicate()
    return process.returncode, written.decode(), complained.decode()
