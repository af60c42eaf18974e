"""Resume Credly on an achievement that is paused."""

from prefect import State, flow

from rules.choices import PlatformId
from tasks.enabling import pause
from tasks.people import tell
from tasks.runtime.run import run_context


@flow(name="resume-credly", flow_run_name="resume {achievement}", persist_result=False)
async def resume_credly(achievement: PlatformId) -> State[None]:
    """Resume Credly on an achievement that is paused.

    What came due meanwhile goes out with the next run of reconcile.

    Args:
        achievement: The achievement's id on the platform.
    """
    async with run_context() as run:
        return await tell(pause(run, achievement, paused=False), key="resume-credly")
