"""Pause Credly on an achievement."""

from prefect import State, flow

from rules.forms.inputs import AchievementId, OperatorId
from tasks.forms.pausing import pause
from tasks.forms.run_form import run_form
from tasks.runtime.run import run_context


@flow(name="pause-credly", flow_run_name="pause {achievement}", persist_result=False)
async def pause_credly(achievement: AchievementId, operator: OperatorId = "") -> State[None]:
    """Pause Credly on an achievement.

    Nothing is issued while it is paused. Badges that become due wait until you run resume-credly.

    Args:
        achievement: Choose the achievement, or enter its id on the platform.
        operator: Your own id, kept in the history. No e-mail address.
    """
    async with run_context() as run:
        return await run_form(
            run, operator, pause(run, achievement, paused=True), key="pause-credly", changes_menus=True
        )
