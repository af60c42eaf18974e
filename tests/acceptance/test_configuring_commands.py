"""Connecting a portal and enabling an achievement on the terminal: the token is typed, and is seen nowhere."""

import asyncio
import io
import os
import pty
import subprocess
import sys
from contextlib import suppress

import pytest
from prefect.blocks.system import Secret
from prefect.settings import PREFECT_API_URL, temporary_settings
from sqlalchemy import delete

from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table
from scripts.configure import configure
from settings import ROOT
from tests.support.standin import Standin
from tests.support.world import BLOCK, ORGANIZATION, TEMPLATE, TOKEN, World

pytestmark = pytest.mark.usefixtures("prefect_server")


class Terminal:
    """Commands whose input is piped in, and what they print."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch, self._capsys = monkeypatch, capsys

    async def run(self, *arguments: str, typed: str = "") -> tuple[int, str]:
        self._patch.setattr(sys, "stdin", io.StringIO(typed))
        self._capsys.readouterr()
        code = await configure(arguments)
        seen = self._capsys.readouterr()
        return code, seen.out + seen.err


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def connecting(world: World, *more: str) -> list[str]:
    where = ["--environment", "other", "--base-url", world.base_url, "--calls-per-second", "1000"]
    return ["connect", "northwind", ORGANIZATION, *where, *more]


async def test_two_commands_connect_a_portal_and_enable_an_achievement(world: World, terminal: Terminal) -> None:
    await world.disconnect()
    fresh = connecting(world, "--token-block", "credly-fresh")

    refused, why = await terminal.run(*fresh, typed="not-the-token\n")
    nothing = await world.rows(CredlyConnection)
    with pytest.raises(ValueError, match="credly-fresh"):
        await Secret.aload("credly-fresh")
    connected, said = await terminal.run(*fresh, typed=f"{TOKEN}\n")
    enabled, also = await terminal.run("enable", "forklift", TEMPLATE, "--evidence", "user", "company")

    assert (refused, nothing, connected, enabled) == (2, [], 0, 0)
    assert why.startswith("[connections.northwind] token_block: Credly refused the token")
    assert said.endswith("Applied: 1 connection new. Token stored in Secret block credly-fresh.\n")
    assert also.endswith("Applied: 1 integration new.\n")
    block: Secret[str] = await Secret.aload("credly-fresh")
    assert block.get() == TOKEN
    (row,) = await world.rows(CredlyIntegration)
    assert (row.user_evidence, row.company_evidence, row.project_evidence) == (True, True, False)
    assert TOKEN not in why + said + also
    assert "not-the-token" not in why


async def test_a_token_is_replaced_and_another_organizations_is_not(
    world: World, standin: Standin, terminal: Terminal
) -> None:
    second = "a-second-token"
    standin.seed(tokens=[{"token": second, "organization_id": ORGANIZATION}])
    known = connecting(world, "--token-block", BLOCK)
    await world.second_portal(token_block=BLOCK)

    shared, why = await terminal.run(*known, typed=second)
    await world.do(delete(table(CredlyConnection)).where(table(CredlyConnection).c.portal_id == "second"))
    done, said = await terminal.run(*known, typed=second)
    odd, semicolon = await terminal.run(*known, typed=f"{second};")
    nothing, empty = await terminal.run(*known)
    unasked, confirm = await terminal.run(*known, "--missing-name", "-", typed=second)

    assert (shared, done, odd, nothing, unasked) == (2, 0, 2, 2, 2)
    assert "of another organization" in why
    assert said.endswith(f"Token stored in Secret block {BLOCK}.\n")
    assert "ends with a semicolon" in semicolon
    assert "it is empty" in empty
    assert confirm.endswith("There is no terminal to confirm on; add --yes.\n")
    block: Secret[str] = await Secret.aload(BLOCK)
    assert block.get() == second
    assert second not in why + said + semicolon + empty + confirm


async def test_without_prefects_server_the_token_is_not_asked_for(world: World, terminal: Terminal) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        away = await terminal.run(*connecting(world), typed=TOKEN)
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        unset = await terminal.run(*connecting(world), typed=TOKEN)

    assert away == (2, "Prefect's server at http://127.0.0.1:9/api does not answer. Look at PREFECT_API_URL.\n")
    assert unset == (2, "Set PREFECT_API_URL to Prefect's server, such as http://127.0.0.1:4200/api.\n")


async def test_the_token_is_not_shown_while_it_is_typed(world: World, prefect_server: str) -> None:
    """On a real terminal, in a process of its own."""
    await world.disconnect()

    code, seen = await asyncio.to_thread(_type_token, connecting(world), prefect_server)

    assert code == 0, seen
    assert TOKEN not in seen
    assert "Token stored in Secret block credly-northwind" in seen


def _type_token(arguments: list[str], api: str) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    seen = b""
    with subprocess.Popen(
        [sys.executable, "-m", "scripts.configure", *arguments],
        cwd=ROOT,
        env=os.environ | {"PREFECT_API_URL": api},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        with suppress(OSError):  # the other end is closed when the process ends
            while some := os.read(ours, 1000):
                seen += some
                if b"not shown" in some:
                    os.write(ours, f"{TOKEN}\n".encode())
    os.close(ours)
    return process.returncode, seen.decode()
