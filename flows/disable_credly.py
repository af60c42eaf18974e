"""Disable Credly on an achievement."""

from prefect import State, flow

from rules.choices import PlatformId
from tasks.enabling import disable
from tasks.people import tell
from tasks.runtime.run import run_context


@flow(name="disable-credly", flow_run_name="disable {achievement}", persist_result=False)
async def disable_credly(achievement: PlatformId) -> State[None]:
    """Disable Credly on an achievement.

    Its settings are deleted and what waits is cancelled. Badges that were issued stay, at Credly and in the ledger.

    Args:
        achievement: The achievement's id on the platform.
    """
    async with run_context() as run:
        return await tell(disable(run, achievement), key="disable-credly")
