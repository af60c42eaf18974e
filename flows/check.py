"""Look at everything that badges will need, before learners notice that something is missing."""

from prefect import State, flow

from rules.choices import PlatformId
from tasks.nightly_check import check_everything
from tasks.people import tell
from tasks.resources import open_database


@flow(name="check", persist_result=False)
async def check(portal: PlatformId = "") -> State[None]:
    """Look at every connection, token, badge template and evidence link, and say what will not work.

    Asks Credly, issues nothing and changes nothing.

    Args:
        portal: Only this portal (its id). Leave empty for all.
    """
    async with open_database():
        return await tell(check_everything(portal), key="check")
