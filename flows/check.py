"""Look at everything that badges will need, before learners notice that something is missing.

`python -m flows.check` does the same without a run, and prints what it found.
"""

import asyncio
import sys

from prefect import State, flow
from rich.console import Console
from rich.markdown import Markdown

from rules.choices import Mistake, PlatformId
from tasks.nightly_check import check_everything
from tasks.people import tell
from tasks.runtime.run import run_context


@flow(name="check", persist_result=False)
async def check(portal: PlatformId = "") -> State[None]:
    """Look at the database, every connection, token, template and evidence link, and say what will not work.

    Asks Credly, issues nothing and changes nothing.

    Args:
        portal: Only this portal (its id). Leave empty for all.
    """
    async with run_context() as run:
        return await tell(check_everything(run, portal), key="check")


async def _print() -> int:
    try:
        async with run_context() as run:
            told = await check_everything(run, "")
    except Mistake as mistake:
        sys.stderr.write(f"{mistake}\n")
        return 2
    Console().print(Markdown(told.page))
    return 1 if told.needs_a_person else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_print()))
