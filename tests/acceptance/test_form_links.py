"""Links to filled forms on the pages of runs, in exports and events; and runs' names that end with their outcome."""

import asyncio
import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.settings import PREFECT_UI_URL, temporary_settings

from flows.enable_credly import enable_credly
from flows.explain import explain
from flows.export import export
from flows.issue_badge import issue_badge
from flows.issue_badges import issue_badges
from flows.list_integrations import list_integrations
from flows.reconcile import reconcile
from flows.release_credly import release_credly
from models.platform.tables import Achievement
from tests.support.seen import Seen, see
from tests.support.standin import Standin
from tests.support.world import TEMPLATE, World

pytestmark = pytest.mark.usefixtures("prefect_server")
PROXY = "https://tools.example.org/prefect"
ODD = 'a|b"&[c](d)%41é'
REFUSED = {"method": "POST", "path": "/badges$", "status": 422, "content": '{"data": {"message": "No", "errors": []}}'}
FORMS = ("issue-badge", "enable-credly", "release-credly")


@pytest.fixture
def forms(prefect_server: str) -> Iterator[dict[str, UUID]]:
    """The deployments that links lead to, on a server that is reached through a proxy."""
    with get_client(sync_client=True) as client:
        made = {name: client.create_deployment(client.create_flow_from_name(name), name) for name in FORMS}
        with temporary_settings({PREFECT_UI_URL: PROXY}):
            yield made
        for deployment in made.values():
            client.delete_deployment(deployment)


def links(text: str, forms: dict[str, UUID]) -> list[tuple[str, dict[str, Any]]]:
    """Return each link of a text to a form: the form, and what it is filled in with."""
    known = {f"{PROXY}/deployments/deployment/{key}/run": name for name, key in forms.items()}
    found = []
    for link in re.findall(r"https://tools\.example\.org/prefect/deployments[^)\s]+", text):
        (filled,) = parse_qs(urlsplit(link).query, strict_parsing=True)["parameters"]
        found.append((known[link.partition("?")[0]], json.loads(filled)))
    return found


async def with_two_failed(world: World, standin: Standin) -> Seen:
    """The run of two awards: Credly refuses one badge, the other user has odd characters in id and address."""
    await world.enable()
    await world.add_user(ODD)
    for user in ("ada", ODD):
        await world.award(user)
    standin.fault("answer", **REFUSED)
    return await see(reconcile)


def issuing(*users: str) -> list[tuple[str, dict[str, Any]]]:
    return [("issue-badge", {"user": user, "achievement": "forklift"}) for user in users]


async def test_each_failed_badge_has_a_link_on_the_runs_page_in_explain_and_in_exports(
    world: World, standin: Standin, forms: dict[str, UUID], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.configure(monkeypatch, REPORTS_FOLDER=str(tmp_path))

    run = await with_two_failed(world, standin)
    await world.award("bob")
    await see(reconcile)
    explained = await see(explain, user=ODD, achievement="forklift")
    issued = await see(explain, user="bob", achievement="forklift")
    exported = await see(export)

    assert links(run.page, forms) == issuing("ada", ODD)
    assert links(explained.page, forms) == issuing(ODD)
    assert links(issued.page, forms) == []
    (path,) = re.findall(r"`(/[^`]+)`", exported.page)
    rows = csv.DictReader((await asyncio.to_thread(Path(path).read_text, encoding="utf-8")).splitlines())
    linked = {row["user_id"]: links(row["issue_link"], forms) for row in rows}
    assert linked == {"ada": issuing("ada"), ODD: issuing(ODD), "bob": []}


async def test_what_was_not_issued_by_hand_has_a_link_to_try_again(
    world: World, standin: Standin, forms: dict[str, UUID]
) -> None:
    await world.enable()
    standin.fault("answer", **REFUSED, count=2)

    single = await see(issue_badge, user="ada", achievement="forklift")
    listed = await see(issue_badges, rows="ada,forklift\nbob,forklift")

    assert links(single.page, forms) == links(listed.page, forms) == issuing("ada")
    assert (single.title, listed.title) == ("issue forklift to ada · failed", "issue a list · 1 of 2 issued")


async def test_without_such_a_deployment_the_text_is_plain(world: World, standin: Standin) -> None:
    run = await with_two_failed(world, standin)
    explained = await see(explain, user="ada", achievement="forklift")
    listed = await see(list_integrations)

    assert "(`forklift` to `ada`)\n" in run.page
    assert [page for page in (run.page, explained.page, listed.page) if "parameters=" in page] == []


async def test_a_listing_links_each_achievement_to_the_form_for_it(
    world: World, standin: Standin, forms: dict[str, UUID]
) -> None:
    await world.award("ada")
    settings = {
        "achievement": "forklift",
        "badge_template_id": TEMPLATE,
        "issue_since": "2020-01-02T03:04:05.678901Z",
        "evidence": {"user": {"on": True, "static_name": "100% & | [x](y)"}, "portal": {"static_description": "kept"}},
    }
    enabled = await see(enable_credly, **settings, hold_above=0)
    await world.add(Achievement, id=ODD, portal_id="northwind", name=ODD)

    listed = await see(list_integrations)

    change, release, enable = links(listed.page, forms)
    assert change[0] == "enable-credly"
    assert change[1].items() >= settings.items()
    assert release == ("release-credly", {"achievement": "forklift"})
    assert enable == ("enable-credly", {"achievement": ODD})
    assert "**1 achievement without Credly**" in listed.page
    unchanged = await see(enable_credly, **change[1])
    released = await see(release_credly, **release[1])
    again = await see(enable_credly, **change[1])
    assert "no change" in unchanged.message
    assert again.message.startswith("forklift: no change; 1 badge due at once")
    titles = [each.title for each in (enabled, unchanged, released, again)]
    assert titles == [
        "enable forklift · 1 held",
        "enable forklift · 1 held",
        "release forklift · 1 due",
        "enable forklift · 1 due at once",
    ]


async def test_a_listing_of_thousands_of_achievements_is_bounded(world: World, forms: dict[str, UUID]) -> None:
    for number in range(1100):
        await world.add(Achievement, id=f"course-{number:04}", portal_id="northwind", name=f"Course {number}")

    listed = await see(list_integrations)

    assert "**1101 achievements without Credly**" in listed.page
    assert len(links(listed.page, forms)) == 1000
    assert "… and 101 more. For one portal, *list-integrations* shows 1000 of each kind." in listed.page
    assert len(listed.page) < 400_000


async def test_a_runs_name_ends_with_its_outcome(world: World, standin: Standin) -> None:
    run = await with_two_failed(world, standin)
    await world.award("bob")
    await world.disconnect()
    blocked = await see(reconcile)

    assert run.title == "reconcile · 0 issued · 2 failed"
    assert blocked.title == "reconcile · 0 issued · 1 blocked"
    async with get_client() as client:
        started = FlowRunFilterParentFlowRunId(any_=[run.run_id])
        (organization,) = await client.read_flow_runs(flow_run_filter=FlowRunFilter(parent_flow_run_id=started))
    assert organization.name == "issue · northwind · 0 issued · 2 failed"


async def test_issuing_by_hand_shows_who_it_is_masked_before_and_afterwards(world: World) -> None:
    await world.enable()

    preview = await see(issue_badge, user="ada", achievement="forklift", preview=True)
    issued = await see(issue_badge, user="ada", achievement="forklift")
    again = await see(issue_badge, user="ada", achievement="forklift", preview=True)

    who = "| user | A… L… a…\\@e… (`ada`) |\n| achievement | Forklift (`forklift`) |\n| portal | Northwind (`north"
    assert [seen.title for seen in (preview, issued) if who not in seen.page] == []
    assert who in again.page
    assert preview.title == "issue forklift to ada · preview"
    assert issued.title == "issue forklift to ada · issued"
