"""Check everything that badges will need. `python -m flows.check` does the same without a run, on the terminal."""

import asyncio
import sys
from argparse import ArgumentParser

from prefect import State, flow
from rich.console import Console
from rich.markdown import Markdown

from rules.forms.inputs import InvalidInput, PortalId
from tasks.forms.run_form import finish_form
from tasks.operations.health_check import run_health_check
from tasks.runtime.run import run_context


@flow(name="check", persist_result=False)
async def check(portal: PortalId = "") -> State[None]:
    """Check the database, the schedule, and every connection, token, template and evidence link.

    Calls Credly, but issues nothing and changes nothing.

    Args:
        portal: Only this portal. Leave empty for all.
    """
    async with run_context(any_revision=True) as run:
        return await finish_form(run_health_check(run, portal), key="check")


async def _print() -> int:
    try:
        async with run_context(any_revision=True) as run:
            result = await run_health_check(run, "")
    except InvalidInput as invalid:
        sys.stderr.write(f"{invalid}\n")
        return 2
    Console().print(Markdown(result.page))
    return 1 if result.needs_attention else 0


if __name__ == "__main__":
    description = "Check the database, the schedule, and every connection, token, template and evidence link."
    ArgumentParser(prog="python -m flows.check", description=description).parse_args()
    sys.exit(asyncio.run(_print()))
