"""Settings as a file: planned, applied with the checks of the forms, pruned, exported; connecting and enabling."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from models.platform.tables import Achievement
from models.setup.history import SettingsChange
from models.setup.operator_runs import OperatorRun
from models.setup.tables import CredlyIntegration
from models.tables import table
from scripts.configure import configure
from tests.support.standin import Standin
from tests.support.world import BLOCK, ORGANIZATION, World

pytestmark = pytest.mark.usefixtures("prefect_server")
MANY = 400


def template(number: int) -> str:
    return f"7e7e7e7e-0000-4000-8000-{number:012d}"


def toml(base_url: str, integrations: Mapping[str, str], **connection: Any) -> str:
    head = [
        "[connections.northwind]",
        f'organization_id = "{ORGANIZATION}"',
        f'token_block = "{BLOCK}"',
        'environment = "other"',
        f'base_url = "{base_url}"',
        "calls_per_second = 1000",
    ]
    tables = [f"[integrations.{key}]\n{lines}\n" for key, lines in integrations.items()]
    return "\n".join([*head, *(f"{name} = {value}" for name, value in connection.items()), "", *tables])


def of_template(number: int = 1, *more: str) -> str:
    return "\n".join([f'badge_template_id = "{template(number)}"', *more])


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
    rows = [
        {"id": template(number), "organization_id": ORGANIZATION, "name": f"T {number:04d}", "state": "active"}
        for number in range(1, MANY + 1)
    ]
    standin.seed(templates=rows)
    for number in range(1, MANY + 1):
        await world.add(Achievement, id=f"a-{number}", portal_id="northwind", name=f"Achievement {number}")
    await world.disconnect()
    evidence = "evidence.user.on = true"
    wanted = toml(world.base_url, {f"a-{number}": of_template(number, evidence) for number in range(1, MANY + 1)})
    before = len(standin.requests())

    planned, _ = await configured.run("plan", text=wanted)
    nothing_yet = await count(world)
    code, said = await configured.run("apply", "--yes", "--operator", "op-7")
    asked = len(standin.requests()) - before
    again, unchanged = await configured.run("apply", "--yes")

    assert (planned, nothing_yet, code, await count(world)) == (1, 0, 0, MANY)
    assert f'+ integration a-{MANY}\n    badge_template_id: "{template(MANY)}"\n' in said
    assert said.endswith(f"Applied: 1 connection new, {MANY} integrations new.\n")
    assert (again, unchanged) == (0, "No difference: the settings are as they are given.\n")
    assert asked < 30  # pages of templates, not one call for each
    assert len(standin.requests()) - before == asked
    changes = await world.rows(SettingsChange)
    (by,) = await world.rows(OperatorRun)
    assert {change.flow_run_id for change in changes} == {by.flow_run_id}
    assert (len(changes), by.creator, by.operator_id) == (MANY + 1, "file integrations.toml", "op-7")
