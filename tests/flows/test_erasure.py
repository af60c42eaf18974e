"""Erasing one user and giving out what is kept of one, on Prefect's server and with the stand-in."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from prefect import tags
from prefect.client.orchestration import get_client
from prefect.logging.handlers import APILogHandler
from sqlalchemy import text

from flows.audit import audit
from flows.check import check
from flows.erase_user import erase_user
from flows.explain import explain
from flows.export import export
from flows.export_user import export_user
from flows.follow_badges import follow_badges
from flows.issue_badge import issue_badge
from flows.issue_badges import issue_badges
from flows.reconcile import reconcile
from flows.report import report
from flows.retry_failed import retry_failed
from flows.revoke_withdrawn import revoke_withdrawn
from models.ledger.tables import IssuanceAttempt
from models.metadata import laurel_metadata
from models.operations.erasure import ErasedUser
from models.platform.tables import User
from rules.ledger.erasure import BadgesAtCredly
from tests.support.running import run_reconcile
from tests.support.seen import Seen, refused, see
from tests.support.standin import Standin
from tests.support.world import World

USER = "learner-4711"
FORM: dict[str, Any] = {"user": USER, "reason": "A letter of 2 November", "preview": False}
REFUSED = json.dumps({"data": {"message": "is not allowed", "errors": []}})


async def ours(flow: Callable[..., Any], **parameters: Any) -> Seen:
    """As a deployment starts it: with the tag of Laurel's runs."""
    with tags("credly"):
        return await see(flow, **parameters)


async def everything_prefect_has() -> str:
    """What the API shows: all runs with parameters, tags, states and task runs, all pages, all lines of logs."""
    await APILogHandler.aflush()
    async with get_client() as client:
        parts = [str(each) for each in await _all(client.read_flow_runs)]
        parts += [str(each) for each in await _all(client.read_task_runs)]
        parts += [
            f"{each.key} {each.description} {each.data}".replace("\\", "") for each in await _all(client.read_artifacts)
        ]
        parts += [each.message for each in await _all(client.read_logs)]
    return "\n".join(parts)


async def _all(read: Callable[..., Awaitable[list[Any]]]) -> list[Any]:
    found: list[Any] = []
    while part := await read(limit=200, offset=len(found)):
        found += part
    return found


async def left_in_prefect(names: list[str]) -> list[str]:
    """Return those of the names that Prefect still has; it deletes a run's log some moments after the run."""
    left = names
    for _ in range(100):
        text = await everything_prefect_has()
        left = [name for name in names if name in text]
        if not left:
            break
        await asyncio.sleep(0.1)
    return left


async def everything_in_the_ledger(world: World) -> str:
    rows = [str(row) for each in laurel_metadata.sorted_tables for row in await world.read(each.select())]
    return "\n".join(rows)


async def counts(world: World) -> Counter[str]:
    return Counter(row.state for row in await world.ledger())


async def much_of_the_user(world: World, standin: Standin) -> str:
    """Runs and pages of every kind that shows a user; return the id of the user's badge."""
    await world.add_user(USER)
    await world.enable()
    await world.award(USER)
    await world.award("bob")
    await ours(reconcile, preview=True)
    standin.fault("answer", method="POST", status=422, content=REFUSED, body=USER)
    await ours(reconcile)
    await ours(issue_badge, user=USER, achievement="forklift")
    await ours(issue_badges, rows=f"{USER},forklift\nbob,forklift")
    await ours(explain, user=USER, achievement="forklift")
    (badge,) = [each["id"] for each in standin.badges() if each["issuer_earner_id"] == USER]
    return str(badge)


@pytest.mark.prefect
async def test_nothing_names_an_erased_user_any_more(
    any_world: World, standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    badge = await much_of_the_user(any_world, standin)
    any_world.configure(monkeypatch, REPORTS_FOLDER=str(tmp_path))
    assert USER in str((await ours(export)).tables)
    await any_world.change(User, USER, first_name="A &amp; B")
    standin.as_earner(badge, "accept")
    assert badge in (await ours(follow_badges)).page
    assert USER in (await ours(check)).page
    names, before = [USER, f"{USER}@example.org", badge], await counts(any_world)
    assert USER in await everything_prefect_has()

    preview = await ours(erase_user, **FORM | {"preview": True})
    assert preview.message == "Preview: nothing was done"
    assert "| issuances, issued | 1 |" in preview.page
    assert badge in await everything_in_the_ledger(any_world)
    seen = await ours(erase_user, **FORM)

    assert (seen.name, await counts(any_world)) == ("Completed", before)
    # Runs that other tests of this process started with the same id are deleted as well.
    assert re.match(r"Erased: 1 issuance with \d calls; \d+ runs and \d+ pages of Prefect deleted$", seen.message)
    ledger = await everything_in_the_ledger(any_world)
    assert [name for name in names if name in ledger] == []
    assert await left_in_prefect(names) == []
    assert len(standin.badges()) == 2


async def test_no_badge_follows_although_the_award_is_still_there(any_world: World, standin: Standin) -> None:
    await any_world.enable()
    await any_world.award("ada")
    await run_reconcile()
    await see(erase_user, user="ada", reason="A letter", badges_at_credly=BadgesAtCredly.DELETE, preview=False)
    assert standin.badges() == []
    calls = [(row.kind, row.outcome) for row in await any_world.rows(IssuanceAttempt)]
    assert calls == [("issue", "issued"), ("revoke", "revoked")]
    assert await any_world.read(text("SELECT issued, revoked FROM laurel_runs ORDER BY first_call_at")) == [
        (1, 0),
        (0, 1),
    ]
    await any_world.award("ada")

    await run_reconcile(full=True)
    audited = await audit(return_state=True)

    assert await refused(issue_badge, user="ada", achievement="forklift") == await refused(
        explain, user="ada", achievement="forklift"
    )
    listed = await see(issue_badges, rows="ada,forklift")
    assert "nothing is kept of the user, and no badge is issued" in listed.page.replace("\\", "")
    assert (standin.badges(), len(await any_world.ledger())) == ([], 1)
    assert (audited.name, audited.message) == ("Completed", "0 badges at Credly compared with the ledger")


async def test_badges_that_are_left_or_revoked_are_the_audits_business_no_more(world: World, standin: Standin) -> None:
    await world.enable()
    for user in ("ada", "bob"):
        await world.award(user)
    await run_reconcile()

    await see(erase_user, user="ada", reason="A letter", preview=False)
    await see(erase_user, user="bob", reason="A letter", badges_at_credly=BadgesAtCredly.REVOKE, preview=False)
    audited = await audit(return_state=True)

    states = {badge["issuer_earner_id"]: badge["state"] for badge in standin.badges()}
    assert states == {"ada": "pending", "bob": "revoked"}
    assert [row.credly_state for row in await world.ledger()] == [None, "revoked"]
    assert (audited.name, audited.message) == ("Completed", "2 badges at Credly compared with the ledger")


async def test_no_other_flow_stumbles_over_what_remains(
    world: World, standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.configure(monkeypatch, REPORTS_FOLDER=str(tmp_path))
    await world.change_connection(deletion_withdraws=True)
    await world.enable(revoke_when_withdrawn=True)
    await world.award("ada")
    await run_reconcile()
    await see(erase_user, user="ada", reason="A letter", preview=False)
    (row,) = await world.ledger()

    seen = [
        await see(revoke_withdrawn),
        await see(retry_failed, portal="northwind"),
        await see(export, personal_data=True),
        await see(report),
        await see(explain, user=row.user_id, achievement="forklift"),
    ]

    assert [each.name for each in seen] == ["Completed"] * 5
    assert seen[0].message == "0 badges revoked"
    assert seen[2].message.startswith("1 row of issuances")
    assert [badge["state"] for badge in standin.badges()] == ["pending"]


async def test_deleting_reaches_badges_that_were_replaced(world: World, standin: Standin) -> None:
    await world.enable()
    await see(issue_badge, user="ada", achievement="forklift")
    await see(issue_badge, user="ada", achievement="forklift", if_badge_exists="replace")
    assert len(standin.badges()) == 2

    seen = await see(erase_user, user="ada", reason="A letter", badges_at_credly=BadgesAtCredly.DELETE, preview=False)

    assert (seen.name, standin.badges()) == ("Completed", [])
    assert "| … of these deleted | 2 |" in seen.page


async def test_deleting_reaches_the_badge_of_an_id_that_cannot_be_looked_up(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("ada")
    await run_reconcile()
    user = "cn=ada,ou=people"
    await world.change_row((await world.ledger())[0].id, user_id=user)

    seen = await see(erase_user, user=user, reason="A letter", badges_at_credly=BadgesAtCredly.DELETE, preview=False)

    assert (seen.name, standin.badges()) == ("Completed", [])


async def test_while_an_answer_is_outstanding_nobody_is_erased(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.enable()
    await world.award("ada")
    world.configure(monkeypatch, RETRIES="0")
    standin.fault("answer_after", method="POST", path="/badges$", status=500, count=None)
    await run_reconcile()

    said = await refused(erase_user, user="ada", reason="A letter", preview=False)

    assert "an answer of Credly is outstanding" in said
    assert [row.user_id for row in await world.ledger()] == ["ada"]
    assert await world.rows(ErasedUser) == []


async def test_where_a_badge_cannot_be_deleted_nothing_is_erased(world: World, standin: Standin) -> None:
    await world.enable()
    await world.award("ada")
    await run_reconcile()
    standin.fault("answer", method="DELETE", status=403, message="Not permitted")

    said = await refused(
        erase_user, user="ada", reason="A letter", badges_at_credly=BadgesAtCredly.DELETE, preview=False
    )

    assert said.startswith("badges_at_credly: the token in Secret block")
    assert ([row.user_id for row in await world.ledger()], len(standin.badges())) == (["ada"], 1)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"user": "nobody"}, "neither the platform nor the ledger"),
        ({"reason": " \u200b "}, "say why"),
        ({"reason": "For ada herself"}, "it holds the user's id"),
        ({"reason": "Request of user ada, ticket 12."}, "it holds the user's id"),
    ],
)
async def test_a_mistake_in_the_form_erases_nothing(world: World, form: dict[str, str], said: str) -> None:
    assert said in await refused(erase_user, **{"user": "ada", "reason": "A letter", "preview": False} | form)
    assert await world.rows(ErasedUser) == []


def file_at(path: Path) -> tuple[dict[str, Any], int]:
    return json.loads(path.read_text(encoding="utf-8")), path.stat().st_mode


@pytest.mark.prefect
async def test_what_is_kept_of_a_user_is_written_to_a_file(
    world: World, standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.configure(monkeypatch, REPORTS_FOLDER=str(tmp_path))
    badge = await much_of_the_user(world, standin)

    seen = await ours(export_user, user=USER)

    (path,) = re.findall(r"`(/[^`]+)`", seen.page)
    written, mode = file_at(Path(path))
    (issuance,) = written["issuances"]
    assert (written["user_id"], issuance["credly_badge_id"], issuance["state"]) == (USER, badge, "issued")
    assert {each["kind"] for each in issuance["attempts"]} == {"issue", "look_up"}
    assert [each["transition"] for each in issuance["history"]] == ["enqueue", "fail", "request", "issue"]
    assert {each["name"] for each in written["prefect_runs"]} >= {f"issue forklift to {USER} · issued"}
    assert mode & 0o077 == 0
    assert not any(name in f"{seen.page} {seen.message}" for name in (USER, badge))
    assert "neither the platform" in await refused(export_user, user="nobody")
