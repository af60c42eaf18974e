"""Brings a set-up of Laurel up to date: `python -m scripts.setup_deployment [NOTIFICATION-BLOCK]`. Safe to run again.

Laurel's tables, the work pool, the deployments of prefect.yaml and the automations, in this order. LAUREL_DATABASE_URL
and PREFECT_API_URL say where. With a notification block, such as slack-webhook/operators, messages go there.
"""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Sequence

from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings

from automations.__main__ import main as apply_automations
from models.database import open_configured
from models.migrate import migrate
from rules.choices import Mistake
from settings import ROOT

POOL = "badges"
SERVER_WITHIN_SECONDS = 180.0


class SetupError(Exception):
    """Something that ends the setup with one clear sentence and no traceback."""


async def set_up(block: str = "") -> int:
    """Do all of it, one step after the other, and return the exit code."""
    if not get_current_settings().api.url:
        raise SetupError("Set PREFECT_API_URL to the address of Prefect's server, such as http://127.0.0.1:4200/api.")
    print("Laurel's tables ...", flush=True)
    await _migrate()
    print("Prefect's server ...", flush=True)
    async with get_client() as client:
        await _wait_for(client)
        print("The work pool and the deployments ...", flush=True)
        if not await _has_pool(client):
            await _prefect("work-pool", "create", POOL, "--type", "process")
    await _prefect("--no-prompt", "deploy", "--all")
    print("The automations ...", flush=True)
    code = await apply_automations(block)
    if code == 0:
        print("Laurel is set up. Now: python -m flows.check", flush=True)
    return code


async def _migrate() -> None:
    try:
        async with open_configured() as database:
            await migrate(database)
    except Mistake as mistake:
        raise SetupError(str(mistake)) from None


async def _wait_for(client: PrefectClient) -> None:
    deadline = time.monotonic() + SERVER_WITHIN_SECONDS
    while (error := await client.api_healthcheck()) is not None:
        if time.monotonic() > deadline:
            raise SetupError(f"Prefect's server at {client.api_url} does not answer: {error}")
        await asyncio.sleep(1)


async def _has_pool(client: PrefectClient) -> bool:
    try:
        await client.read_work_pool(POOL)
    except ObjectNotFound:
        return False
    except PrefectHTTPStatusError as error:
        if error.response.status_code == 401:
            raise SetupError("Prefect's server refuses PREFECT_API_AUTH_STRING: it has another one.") from error
        raise
    return True


async def _prefect(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "prefect", *command, cwd=ROOT, stdout=PIPE, stderr=STDOUT
    )
    said, _ = await process.communicate()
    if process.returncode != 0:
        raise SetupError(f"{said.decode(errors='replace')}\n`prefect {' '.join(command)}` failed: see above.")


def main(arguments: Sequence[str]) -> int:
    """Set up, and say what is wrong in a sentence where it is known."""
    try:
        return asyncio.run(set_up(*arguments[:1]))
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
