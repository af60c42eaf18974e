"""Resume Credly on a paused achievement."""

from prefect import State, flow

from rules.forms.inputs import AchievementId, OperatorId
from tasks.forms.pausing import pause
from tasks.forms.run_form import run_form
from tasks.runtime.run import run_context


@flow(name="resume-credly", flow_run_name="resume {achievement}", persist_result=False)
async def resume_credly(achievement: AchievementId, operator: OperatorId = "") -> State[None]:
    """Resume Credly on a paused achievement.

    Badges that became due in the meantime are issued with the next run of reconcile.

    Args:
        achievement: Choose the achievement, or enter its id on the platform.
        operator: Your own id, kept in the history. No e-mail address.
    """
    async with run_context() as run:
        return await run_form(
            run, operator, pause(run, achievement, paused=False), key="resume-credly", changes_menus=True
        )
