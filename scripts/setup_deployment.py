"""Brings a set-up of Laurel up to date: `python -m scripts.setup_deployment [NOTIFICATION-BLOCK]`. Safe to run again.

Laurel's tables, the work pool, the deployments of prefect.yaml with the menus of their forms, and the automations, in
this order. LAUREL_DATABASE_URL and PREFECT_API_URL choose database and server. A notification block, such as
slack-webhook/operators, gets the alerts; it is kept until another is given.

Changes made on Prefect's pages are kept: schedules of deployments that are there already, unless they are an earlier
version's default, and automations that were switched off.
"""

import asyncio
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import yaml
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName, FlowFilter, FlowFilterName
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings

from automations.__main__ import main as apply_automations
from models.database import open_configured
from models.migrate import migrate
from rules.forms.inputs import InvalidInput
from rules.monitoring.schedule import NEXT_RUNS, next_runs
from settings import ROOT
from tasks.menus.refresh import refresh
from tasks.operations.schedule import wait_until_planned
from tasks.runtime.run import run_context

POOL = "badges"
SERVER_WITHIN_SECONDS = 180.0
PLANNED_WITHIN_SECONDS = 30.0
# Schedules of earlier versions: one that nobody has changed is replaced by the present default.
EARLIER_DEFAULTS = {"reconcile": ["*/15 * * * * UTC"]}


class SetupError(Exception):
    """Something that ends the setup with one clear sentence and no traceback."""


async def set_up(block: str = "") -> int:
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
        await _deploy(client)
        print("The menus of the forms ...", flush=True)
        await _refresh_menus()
        print("The automations ...", flush=True)
        if await apply_automations(block) != 0:
            return 1
        print(f"Laurel is set up. {NEXT_RUNS}")
        deployments = await wait_until_planned(client, within_seconds=PLANNED_WITHIN_SECONDS)
        for line in next_runs(deployments, now=datetime.now(UTC)):
            print(f"  {line}")
        print("What is still missing: python -m flows.check", flush=True)
    return 0


async def _deploy(client: PrefectClient) -> None:
    """Apply prefect.yaml, without the schedules of deployments that exist: Prefect leaves those as they are."""
    wanted = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    names = [each["name"] for each in wanted["deployments"]]
    # Each flow has one deployment of the same name. Others may use the server, too.
    flows = FlowFilter(name=FlowFilterName(any_=names))
    named = DeploymentFilter(name=DeploymentFilterName(any_=names))
    there = {each.name: each for each in await client.read_deployments(flow_filter=flows, deployment_filter=named)}
    for each in wanted["deployments"]:
        known, default = there.get(each["name"]), each.get("schedules", [])
        if known is None or not (known.schedules or default):
            continue
        now = [_describe(one.model_dump()["schedule"], one.active) for one in known.schedules]
        if now == EARLIER_DEFAULTS.get(each["name"]):
            continue
        each.pop("schedules", None)
        if now != [_describe(one) for one in default]:
            print(f"  {each['name']}: its schedule stays as it was changed: {'; '.join(now) or 'none'}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prefect.yaml"
        file.write_text(yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True), encoding="utf-8")
        await _prefect("--no-prompt", "deploy", "--all", "--prefect-file", str(file))


def _describe(schedule: dict[str, object], active: bool = True) -> str:
    keys = ("cron", "interval", "rrule", "timezone")
    words = " ".join(str(schedule[key]) for key in keys if schedule.get(key) is not None)
    return words if active else f"{words}, switched off"


async def _migrate() -> None:
    try:
        async with open_configured() as database:
            await migrate(database)
    except InvalidInput as mistake:
        raise SetupError(str(mistake)) from None


async def _refresh_menus() -> None:
    try:
        async with run_context() as run:
            print(f"  {(await refresh(run)).sentence}", flush=True)
    except InvalidInput as unusable:
        print(f"  The menus of the forms stay empty until refresh-menus has run: {unusable}")


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
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise SetupError(f"{output.decode(errors='replace')}\n`prefect {' '.join(command)}` failed: see above.")


def main(arguments: Sequence[str]) -> int:
    try:
        return asyncio.run(set_up(*arguments[:1]))
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
