"""Why has she no badge? One user and one achievement: what happened, what happens next, what a person can do.

On this machine's terminal: `python -m flows.explain --user U --achievement A [--show-personal-data]`.
"""

import argparse
import asyncio
import sys

from prefect import State, flow

from rules.choices import Mistake, PlatformId, UserId
from tasks.people import tell
from tasks.runtime.run import run_context
from tasks.story import explain_badge, story_of, text


@flow(name="explain", flow_run_name="explain {achievement} of {user}", persist_result=False)
async def explain(user: UserId, achievement: PlatformId) -> State[None]:
    """Tell why a user has the badge of an achievement or has it not, and everything known about it in order.

    Changes nothing and does not call Credly. Personal values are masked.

    Args:
        user: The user's id on the platform. Not an e-mail address: what is typed here is kept in the run history.
        achievement: The achievement's id on the platform.
    """
    async with run_context() as run:
        return await tell(explain_badge(run, user, achievement), key="explain")


async def on_terminal(*, user: str, achievement: str, masked: bool) -> int:
    """Write the story to standard output, or what was wrong to standard error; return the exit code."""
    try:
        async with run_context() as run:
            sys.stdout.write(text(await story_of(run, user, achievement), masked=masked))
    except Mistake as mistake:
        sys.stderr.write(f"{mistake}\n")
        return 1
    return 0


def main() -> int:
    """Read the command line. Nothing of it reaches Prefect."""
    parser = argparse.ArgumentParser(prog="python -m flows.explain", description="Why has she no badge?")
    parser.add_argument("--user", required=True, help="the user's id on the platform")
    parser.add_argument("--achievement", required=True, help="the achievement's id on the platform")
    parser.add_argument("--show-personal-data", action="store_true", help="names and addresses in full, here only")
    given = parser.parse_args()
    masked = not given.show_personal_data
    return asyncio.run(on_terminal(user=given.user, achievement=given.achievement, masked=masked))


if __name__ == "__main__":
    sys.exit(main())
