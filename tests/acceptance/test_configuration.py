"""Settings as a file: planned, applied with the checks of the forms, pruned and exported."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from sqlalchemy import func, insert, select

from demo.credly_data import invented_token, token_block
from demo.fill import demo_seed
from flows.enable_credly import enable_credly
from models.platform.tables import Achievement, Portal
from models.setup.history import SettingsChange
from models.setup.operator_runs import OperatorRun
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table
from rules.forms.configuration import InvalidConfiguration, read_configuration
from rules.forms.inputs import BASE_URLS, Environment, EvidenceChoice, EvidenceChoices
from rules.ledger.states import IssuanceState
from scripts.configure import configure
from tasks.configuration.apply import apply
from tasks.configuration.plan import check_at_credly, plan_of
from tasks.runtime.run import run_context
from tests.support.factories import an_issuance
from tests.support.how_to import HOW_TO
from tests.support.seen import see
from tests.support.standin import Standin
from tests.support.world import BLOCK, ORGANIZATION, SECOND_ORGANIZATION, TEMPLATE, TOKEN, World

pytestmark = pytest.mark.usefixtures("prefect_server")
MANY = 400
UNCHANGED = "No difference: the settings are as they are given.\n"


def template(number: int) -> str:
    return f"7e7e7e7e-0000-4000-8000-{number:012d}"


def of_template(number: int = 1, *more: str) -> str:
    return "\n".join([f'badge_template_id = "{template(number)}"', *more])


def toml(url: str, integrations: Mapping[str, str], **connection: str) -> str:
    keys = {
        "organization_id": f'"{ORGANIZATION}"',
        "token_block": f'"{BLOCK}"',
        "environment": '"other"',
        "base_url": f'"{url}"',
        "calls_per_second": "1000",
    } | connection
    tables = [f"[integrations.{key}]\n{lines}" for key, lines in integrations.items()]
    return "\n".join(["[connections.northwind]", *(f"{key} = {value}" for key, value in keys.items()), *tables])


class Configured:
    """A file of settings in a folder, and what the command prints about it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.file, self._capsys = folder / "integrations.toml", capsys

    async def run(self, *arguments: str, text: str | None = None) -> tuple[int, str]:
        if text is not None:
            self.file.write_text(text)
        self._capsys.readouterr()
        code = await configure([arguments[0], str(self.file), *arguments[1:]])
        seen = self._capsys.readouterr()
        return code, seen.out + seen.err


@pytest.fixture
def configured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Configured:
    return Configured(tmp_path, capsys)


async def count(world: World) -> int:
    ((found,),) = await world.read(select(func.count()).select_from(table(CredlyIntegration)))
    return int(found)


async def test_many_achievements_are_one_command_and_the_next_changes_nothing(
    world: World, standin: Standin, configured: Configured
) -> None:
    numbers = range(1, MANY + 1)
    named = [{"id": f"a-{number}", "portal_id": "northwind", "name": f"A {number}"} for number in numbers]
    await world.do(insert(table(Achievement)).values(named))
    active = {"organization_id": ORGANIZATION, "state": "active"}
    standin.seed(templates=[{"id": template(number), "name": f"T {number}", **active} for number in numbers])
    await world.disconnect()
    wanted = {f"a-{number}": of_template(number, "evidence.user.on = true") for number in numbers}
    before = len(standin.requests())

    planned, _ = await configured.run("plan", text=toml(world.base_url, wanted))
    nothing_yet = await count(world)
    code, said = await configured.run("apply", "--yes", "--operator", "op-7")
    calls = len(standin.requests()) - before
    again, unchanged = await configured.run("apply", "--yes")

    assert (planned, nothing_yet, code, await count(world)) == (1, 0, 0, MANY)
    assert f'+ integration a-{MANY}\n    badge_template_id: "{template(MANY)}"\n    evidence.user.on: true\n' in said
    assert said.endswith(f"Applied: 1 connection new, {MANY} integrations new.\n")
    assert (again, unchanged) == (0, UNCHANGED)
    assert calls < 30  # pages of templates, not one call for each
    assert len(standin.requests()) - before == calls
    changes = await world.rows(SettingsChange)
    (by,) = await world.rows(OperatorRun)
    assert {change.flow_run_id for change in changes} == {by.flow_run_id}
    assert (len(changes), by.creator, by.operator_id) == (MANY + 1, "file integrations.toml", "op-7")


async def test_the_example_of_the_documents_is_applied(world: World, standin: Standin, configured: Configured) -> None:
    page = (HOW_TO / "configuration.md").read_text()
    (example,) = re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    standin.seed(**demo_seed())
    await world.add(Portal, id="portal-lumen", name="Lumen Campus")
    await world.add(Achievement, id="achievement-lighting", portal_id="portal-lumen", name="Lighting")
    await world.put_token(invented_token("portal-lumen"), block=token_block("portal-lumen"))

    code, printed = await configured.run(
        "apply", "--yes", text=example.replace("http://127.0.0.1:8090/v1", world.base_url)
    )

    assert (code, printed.splitlines()[-1]) == (0, "Applied: 1 connection new, 1 integration new.")
    (row,) = await world.rows(CredlyIntegration)
    assert (row.user_evidence, row.portal_evidence_name, row.suppress_notification) == (True, "Lumen Campus", True)
    (fault,) = re.findall(r"^ {4}(\[integrations.*)", page, re.MULTILINE)
    wrong = 'suppress_credly_email = true\nexpiry = "sometimes"'
    _, said = await configured.run("plan", text=example.replace("suppress_credly_email = true", wrong))
    assert said == f"{fault}\n"


FORKLIFT = r"\[integrations.forklift\] "
NORTHWIND = r"\[connections.northwind\] "
FAULTS: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "no achievement": ({"forklit": of_template()}, {}, r"\[integrations.forklit\] achievement: .*forklift"),
    "no template": ({"forklift": of_template(99)}, {}, FORKLIFT + "badge_template_id: .*no template"),
    "no id": ({"forklift": 'badge_template_id = "F"'}, {}, FORKLIFT + "badge_template_id: .*not an id"),
    "a draft": ({"forklift": of_template(2)}, {}, FORKLIFT + "badge_template_id: .*draft"),
    "a future": ({"forklift": of_template(1, "issue_since = 2999-01-01T00:00:00Z")}, {}, FORKLIFT + "issue_since: "),
    "no zone": ({"forklift": of_template(1, "issue_since = 2026-01-01")}, {}, FORKLIFT + "issue_since: .*time zone"),
    "no days": ({"forklift": of_template(1, 'expiry = "after_days"')}, {}, FORKLIFT + "expires_after_days: "),
    "no key": ({"forklift": of_template(1, "surpress = true")}, {}, FORKLIFT + "surpress: there is no such key"),
    "an address": ({"forklift": of_template(1, 'revoke_reason = "ada@example.org"')}, {}, FORKLIFT + "revoke_reason: "),
    "no block": ({}, {"token_block": '"nowhere"'}, NORTHWIND + "token_block: there is no Secret block"),
    "plain http": ({}, {"base_url": '"http://credly.example.org/v1"'}, NORTHWIND + "base_url: "),
    "another's token": ({}, {"organization_id": f'"{SECOND_ORGANIZATION}"'}, NORTHWIND),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_one_line_and_nothing_of_the_file_is_stored(
    name: str, world: World, standin: Standin, configured: Configured
) -> None:
    integrations, connection, said = FAULTS[name]
    standin.seed(templates=[{"id": template(2), "organization_id": ORGANIZATION, "name": "D", "state": "draft"}])
    await world.add(Achievement, id="crane", portal_id="northwind", name="Crane")
    before = await world.connection()
    wanted = toml(world.base_url, {"crane": of_template(), **integrations}, **connection)

    code, printed = await configured.run("apply", "--yes", text=wanted)

    assert (code, len(printed.splitlines())) == (2, 1)
    assert re.match(said, printed)
    assert "ada@" not in printed
    assert (await count(world), await world.connection(), await world.rows(SettingsChange)) == (0, before, [])


async def test_every_fault_of_a_kind_is_named_at_once(world: World, configured: Configured) -> None:
    wanted = {"forklit": of_template(), "crain": of_template(), "forklift": of_template()}

    code, printed = await configured.run("plan", text=toml(world.base_url, wanted))

    assert code == 2
    named = [line.partition("]")[0] for line in printed.splitlines()]
    assert named == ["[integrations.forklit", "[integrations.crain"]


async def test_an_achievement_of_a_portal_without_a_connection_is_refused(world: World, configured: Configured) -> None:
    await world.disconnect()

    code, printed = await configured.run("plan", text=f"[integrations.forklift]\n{of_template()}")

    assert code == 2
    assert printed == (
        "[integrations.forklift] achievement: its portal northwind is not connected to Credly. "
        "Add [connections.northwind] to the file.\n"
    )


async def test_a_forms_change_shows_as_a_difference_and_is_taken_back(world: World, configured: Configured) -> None:
    texts = 'evidence.company = { on = true, static_name = "Our “customer”" }'
    await configured.run("apply", "--yes", text=toml(world.base_url, {"forklift": of_template(1, texts)}))

    chosen = EvidenceChoices(company=EvidenceChoice(on=True), user=EvidenceChoice(on=True))
    await see(enable_credly, achievement="forklift", badge_template_id=TEMPLATE, locale="de", evidence=chosen)
    drift, shown = await configured.run("plan")
    unconfirmed, _ = await configured.run("apply")
    applied, _ = await configured.run("apply", "--yes")
    after, _ = await configured.run("plan")

    assert (drift, unconfirmed, applied, after) == (1, 2, 0, 0)
    assert shown.splitlines() == [
        "~ integration forklift",
        '    locale: "de" → ""',
        "    evidence.user.on: true → false",
        '    evidence.company.static_name: "" → "Our “customer”"',
    ]


async def test_what_the_file_omits_stays_unless_it_is_pruned_and_that_has_a_cap(
    any_world: World, configured: Configured
) -> None:
    world = any_world
    await configured.run("apply", "--yes", text=toml(world.base_url, {"forklift": of_template()}))
    for number in range(3):
        await world.add(Achievement, id=f"old-{number}", portal_id="northwind", name="Old")
        await world.enable(f"old-{number}")
    await world.second_portal()
    waiting = await an_issuance(world.database, user="bob", achievement="old-1", portal="northwind")
    issued = await an_issuance(
        world.database,
        achievement="old-1",
        portal="northwind",
        state=IssuanceState.ISSUED,
        credly_badge_id="b",
        recorded_at=datetime.now(UTC),
    )

    without, _ = await configured.run("apply", "--yes")
    capped, said = await configured.run("apply", "--prune", "--remove-at-most", "4", "--yes")
    kept = await count(world)
    planned, shown = await configured.run("plan", "--prune")
    applied, done = await configured.run("apply", "--prune", "--yes")

    assert (without, capped, kept, planned, applied) == (0, 2, 5, 1, 0)
    assert said == "--prune: 5 entries would be removed, more than 4. If that is meant, add --remove-at-most 5.\n"
    assert shown.splitlines() == [
        "- integration old-0",
        "- integration old-1: cancels 1 waiting",
        "- integration old-2",
        "- integration second-achievement",
        "- connection second",
    ]
    assert done.endswith("Applied: 4 integrations removed, 1 connection removed, 1 waiting badge cancelled.\n")
    assert [row.portal_id for row in await world.rows(CredlyConnection)] == ["northwind"]
    assert [row.achievement_id for row in await world.rows(CredlyIntegration)] == ["forklift"]
    assert {row.id: row.state for row in await world.ledger()} == {waiting: "cancelled", issued: "issued"}


async def test_a_portal_that_is_still_needed_is_not_disconnected(world: World, configured: Configured) -> None:
    await configured.run("apply", "--yes", text=f"[integrations.forklift]\n{of_template()}")

    code, printed = await configured.run("plan", "--prune")

    assert (code, len(printed.splitlines())) == (2, 1)
    assert "its portal northwind would be disconnected. Add [connections.northwind] to the file." in printed


async def test_an_export_is_no_change_whatever_is_stored(
    world: World, standin: Standin, configured: Configured
) -> None:
    everything: dict[str, Any] = {
        "evidence": EvidenceChoices(
            user=EvidenceChoice(on=True, static_name='"Quoted" \\ 🏅'), portal=EvidenceChoice(static_description="off")
        ),
        "issue_since": datetime.now(UTC) - timedelta(days=1),
        "suppress_credly_email": True,
        "expiry": "after_days",
        "expires_after_days": 30,
        "locale": "pt-BR",
        "earned_again": "replace",
        "revoke_when_withdrawn": True,
        "revoke_reason": "Withdrawn",
    }
    await see(enable_credly, achievement="forklift", badge_template_id=TEMPLATE, **everything)
    for odd in ("with space.and “dot”", "gone"):
        await world.add(Achievement, id=odd, portal_id="northwind", name="Odd")
        await see(enable_credly, achievement=odd, badge_template_id=TEMPLATE)
    await world.forget("gone")
    await world.add(Portal, id="left", name="Left")
    await world.add(Achievement, id="of-left", portal_id="left", name="Of a portal without a connection")
    await world.enable("of-left")
    for portal, environment in (("live", Environment.PRODUCTION), ("trial", Environment.SANDBOX)):
        await world.connect(portal, base_url=BASE_URLS[environment], missing_name="-", deletion_withdraws=True)
    before = await world.rows(CredlyIntegration), await world.rows(CredlyConnection), len(standin.requests())

    written, _ = await configured.run("export")
    twice, _ = await configured.run("export")
    code, printed = await configured.run("apply", "--prune", "--yes")

    assert (written, twice, code, printed) == (0, 2, 0, UNCHANGED)
    assert before == (await world.rows(CredlyIntegration), await world.rows(CredlyConnection), len(standin.requests()))
    text = configured.file.read_text()
    assert re.search(r'\[connections.trial\]\n(.+\n)*environment = "sandbox"\n', text)
    assert TOKEN not in text


async def test_a_file_that_makes_many_badges_due_holds_them(world: World, configured: Configured) -> None:
    await world.add(Achievement, id="crane", portal_id="northwind", name="Crane")
    for user in ("ada", "bob"):
        await world.award(user)
        await world.award(user, achievement_id="crane")
    since = "issue_since = 2020-01-01T00:00:00Z"
    wanted = {"crane": of_template(1, since), "forklift": of_template(1, since, "hold_above = 1")}

    code, printed = await configured.run("apply", "--yes", text=toml(world.base_url, wanted))
    again, _ = await configured.run("apply", "--yes")

    assert (code, again) == (1, 0)
    assert printed.splitlines()[-1] == (
        "forklift: HELD, 2 badges would be issued at once, more than 1. Run release-credly to release them"
    )
    held = {row.achievement_id: row.held_at is not None for row in await world.rows(CredlyIntegration)}
    assert held == {"crane": False, "forklift": True}


async def test_a_change_after_the_comparison_stores_nothing(world: World) -> None:
    wanted = read_configuration(toml(world.base_url, {"forklift": of_template()}).encode())
    async with run_context() as run:
        plan = await plan_of(run, wanted, prune=False, remove_at_most=0)
        await see(enable_credly, achievement="forklift", badge_template_id=TEMPLATE, locale="de")
        with pytest.raises(InvalidConfiguration, match="nothing was stored"):
            await apply(run, plan, {}, origin="a test")

    (row,) = await world.rows(CredlyIntegration)
    assert row.locale == "de"


async def test_within_a_flow_the_history_has_the_runs_id(world: World) -> None:
    wanted = read_configuration(toml(world.base_url, {"forklift": of_template()}).encode())

    @flow
    async def apply_file() -> None:
        async with run_context() as run:
            plan = await plan_of(run, wanted, prune=False, remove_at_most=0)
            await apply(run, plan, await check_at_credly(run, plan), origin="a flow", operator="op-7")

    state = await apply_file(return_state=True)

    (change,) = await world.rows(SettingsChange)
    (by,) = await world.rows(OperatorRun)
    assert (change.flow_run_id, by.flow_run_id) == (str(state.state_details.flow_run_id),) * 2
    assert (by.creator, by.operator_id) == ("a flow", "op-7")


async def test_waiting_badges_follow_a_template_that_the_file_changes(
    world: World, standin: Standin, configured: Configured
) -> None:
    standin.seed(templates=[{"id": template(2), "organization_id": ORGANIZATION, "name": "New", "state": "active"}])
    await configured.run("apply", "--yes", text=toml(world.base_url, {"forklift": of_template()}))
    await an_issuance(world.database, user="ada", achievement="forklift", portal="northwind")

    code, printed = await configured.run("apply", "--yes", text=toml(world.base_url, {"forklift": of_template(2)}))

    assert (code, printed.splitlines()[-1]) == (
        0,
        "Applied: 1 integration changed, 1 waiting badge will have the new template.",
    )
    assert [row.badge_template_id for row in await world.ledger()] == [template(2)]
