"""Resume Credly on an achievement that is paused."""

from prefect import State, flow

from rules.choices import OperatorId, PlatformId
from tasks.enabling import pause
from tasks.people import tell_form
from tasks.runtime.run import run_context


@flow(name="resume-credly", flow_run_name="resume {achievement}", persist_result=False)
async def resume_credly(achievement: PlatformId, operator: OperatorId = "") -> State[None]:
    """Resume Credly on an achievement that is paused.

    What came due meanwhile goes out with the next run of reconcile.

    Args:
        achievement: The achievement's id on the platform.
        operator: Your own id, kept in the history. No e-mail address.
    """
    async with run_context() as run:
        return await tell_form(run, operator, pause(run, achievement, paused=False), key="resume-credly")
