"""Pause Credly on an achievement."""

from prefect import State, flow

from rules.choices import OperatorId, PlatformId
from tasks.enabling import pause
from tasks.people import tell_form
from tasks.runtime.run import run_context


@flow(name="pause-credly", flow_run_name="pause {achievement}", persist_result=False)
async def pause_credly(achievement: PlatformId, operator: OperatorId = "") -> State[None]:
    """Pause Credly on an achievement.

    Nothing is issued while it is paused, and nothing is lost: what comes due waits until resume-credly.

    Args:
        achievement: The achievement's id on the platform.
        operator: Your own id, kept in the history. No e-mail address.
    """
    async with run_context() as run:
        return await tell_form(run, operator, pause(run, achievement, paused=True), key="pause-credly")
