"""What Prefect keeps of everything that people and schedules start: ids, and no person, no address, no token."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from prefect import State

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
from flows.resume_credly import resume_credly
from flows.retry_failed import retry_failed
from models.platform.tables import Company, Portal, Project, User
from rules.forms.inputs import Environment, EvidenceChoice, EvidenceChoices
from tests.support.factories import a_user
from tests.support.seen import LOGGERS, Seen, everything_kept, holds, see, until_written
from tests.support.standin import Standin
from tests.support.world import BLOCK, ORGANIZATION, TEMPLATE, World

pytestmark = pytest.mark.usefixtures("unmeasured")

FIRST, LAST, ADDRESS = "Wilhelmina", "Featherstonehaugh", "minna.f@post.example.net"
TOKEN = "token-that-nobody-may-see"
SECRETS = (FIRST, LAST, ADDRESS, "minna", TOKEN)
ECHO = json.dumps({"data": {"message": f"{FIRST} {LAST} <{ADDRESS}> is not allowed", "errors": []}})
FORM: dict[str, Any] = {"user": "u4711", "achievement": "forklift"}


def leaks(text: str, *, where: str) -> list[str]:
    return [f"{secret} in {where}" for secret in SECRETS if secret.casefold() in text.casefold()]


async def everything(world: World, standin: Standin, list_file: Path) -> list[Seen]:
    """Start each flow once at least, with what goes well and what does not."""
    connecting = {"portal": "northwind", "organization_id": ORGANIZATION, "token_block": BLOCK}
    connecting |= {"environment": Environment.OTHER, "base_url": world.base_url}
    kinds = {kind: EvidenceChoice(on=True) for kind in ("user", "company", "project", "portal")}
    enabling = {"achievement": "forklift", "badge_template_id": TEMPLATE, "evidence": EvidenceChoices(**kinds)}
    one_achievement = {"achievement": "forklift"}
    seen = [
        await see(connect_portal, **connecting),
        await see(enable_credly, **enabling),
        await see(release_credly, **one_achievement),
        await see(pause_credly, **one_achievement),
        await see(resume_credly, **one_achievement),
        await see(issue_badge, **FORM, preview=True),
    ]
    standin.fault("answer", method="POST", status=422, content=ECHO)
    seen.append(await see(issue_badge, **FORM))
    seen += [await see(retry_failed, **one_achievement, preview=preview) for preview in (True, False)]
    await world.change(User, "u4711", last_name="")
    seen.append(await see(issue_badges, path=str(list_file)))
    await world.change(User, "u4711", last_name=LAST)
    standin.fault("answer_after", method="POST", status=502, content=ECHO)
    seen += [
        await see(issue_badges, path=str(list_file)),
        await see(issue_badge, **FORM, if_badge_exists="replace", reason="By letter"),
        await see(list_integrations),
        await see(check),
        await see(audit),
        await see(export, personal_data=True),
        await see(explain, **FORM),
        await see(export_user, user="u4711", folder="people"),
        await see(erase_user, user="u4711", reason="By letter"),
        await see(disable_credly, **one_achievement),
        await see(disconnect_portal, portal="northwind"),
    ]
    await world.put_token(f"{TOKEN};")
    return [*seen, await see(connect_portal, **connecting)]


async def scheduled(world: World, standin: Standin) -> State[Any]:
    """Let the schedule issue one badge and meet a refusal that names the earner."""
    await world.put_token(TOKEN)
    await world.connect()
    await world.enable(user_evidence=True, company_evidence=True, project_evidence=True, portal_evidence=True)
    await world.award("u4711", company_id="acme", project_id="bridge")
    await world.award("bob")
    await reconcile(preview=True, return_state=True)
    standin.fault("answer", method="POST", status=422, content=ECHO, count=2)
    return await reconcile(return_state=True)


async def test_prefect_keeps_no_person_no_address_and_no_token(
    world: World,
    standin: Standin,
    prefect_server: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for logger in LOGGERS:
        caplog.set_level(logging.DEBUG, logger=logger)
    profile = f"https://platform.example.org/{FIRST}-{LAST}"
    await a_user(world.database, "u4711", email=ADDRESS, first_name=FIRST, last_name=LAST, profile_url=profile)
    for model, key in ((Portal, "northwind"), (Company, "acme"), (Project, "bridge")):
        await world.change(model, key, url=f"https://{FIRST}:{TOKEN}@platform.example.org/")
    standin.seed(tokens=[{"token": TOKEN, "organization_id": ORGANIZATION}])
    await world.put_token(TOKEN)
    world.configure(monkeypatch, REPORTS_FOLDER=str(tmp_path / "reports"), LISTS_FOLDER=str(tmp_path))
    list_file = tmp_path / "list.csv"
    list_file.write_text(f"u4711,forklift\n{ADDRESS},forklift\nforklift,{ADDRESS}\n{FIRST} {LAST},forklift\n")

    seen = await everything(world, standin, list_file)
    state = await scheduled(world, standin)
    run_id = state.state_details.flow_run_id
    assert run_id is not None
    log = await until_written([*(one.run_id for one in seen), run_id])

    assert [badge["recipient_email"] for badge in standin.badges()].count(ADDRESS) >= 1
    found = leaks("\n".join(log), where="a log") + leaks(caplog.text, where="the terminal")
    for one in seen:
        found += leaks(f"{one.title} {one.message} {one.page} {one.links}", where=one.title)
    kept = list(everything_kept(prefect_server))
    for name, content in kept:
        found += leaks(content.decode(errors="replace"), where=name)
        found += [f"{secret} encoded in {name}" for secret in SECRETS if len(secret) > 8 and holds(content, secret)]
    assert any(holds(content, "issue forklift to u4711") for _, content in kept)  # it is there that Prefect writes
    assert found == []
