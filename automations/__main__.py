"""Applies the automations to Prefect's server: `python -m automations`. Safe to run again; it changes what is there."""

import asyncio
import sys

from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from automations.dead_runs import dead_runs


async def apply(automation: Automation) -> None:
    """Create the automation, or change the one of its name."""
    async with get_client() as client:
        there = await client.read_automations_by_name(automation.name)
    if there:
        automation.id = there[0].id
        await automation.aupdate()
    else:
        await automation.acreate()


async def main() -> int:
    """Apply all of them and return the exit code."""
    async with get_client() as client:
        try:
            reconcile = await client.read_deployment_by_name("reconcile/reconcile")
        except ObjectNotFound:
            print("There is no deployment reconcile: run `prefect --no-prompt deploy --all` first.", file=sys.stderr)
            return 1
    await apply(dead_runs(reconcile.id))
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
