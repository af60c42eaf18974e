"""Why does this user have no badge? What happened, what happens next, and what you can do.

On this machine's terminal: `python -m flows.explain --user U --achievement A [--show-personal-data]`.
"""

import argparse
import asyncio
import sys

from prefect import State, flow

from rules.forms.inputs import AchievementId, InvalidInput, UserId
from tasks.forms.explain import diagnose, explain_badge, text
from tasks.forms.run_form import finish_form
from tasks.runtime.run import run_context


@flow(name="explain", flow_run_name="explain {achievement} of {user}", persist_result=False)
async def explain(user: UserId, achievement: AchievementId) -> State[None]:
    """Explain why a user has the badge of an achievement or not, with the whole history in order.

    Changes nothing and does not call Credly. Personal values are masked.

    Args:
        user: The user's id on the platform. Not an e-mail address: what is typed here is kept in the run history.
        achievement: Choose the achievement, or enter its id on the platform.
    """
    async with run_context() as run:
        return await finish_form(explain_badge(run, user, achievement), key="explain")


async def on_terminal(*, user: str, achievement: str, masked: bool) -> int:
    try:
        async with run_context() as run:
            sys.stdout.write(text(await diagnose(run, user, achievement), masked=masked))
    except InvalidInput as invalid:
        sys.stderr.write(f"{invalid}\n")
        return 1
    return 0


def main() -> int:
    # Without a flow run, so that personal data never reaches Prefect.
    parser = argparse.ArgumentParser(prog="python -m flows.explain", description="Why does a user have no badge?")
    parser.add_argument("--user", required=True, help="the user's id on the platform")
    parser.add_argument("--achievement", required=True, help="the achievement's id on the platform")
    parser.add_argument("--show-personal-data", action="store_true", help="names and addresses in full, here only")
    given = parser.parse_args()
    masked = not given.show_personal_data
    return asyncio.run(on_terminal(user=given.user, achievement=given.achievement, masked=masked))


if __name__ == "__main__":
    sys.exit(main())
