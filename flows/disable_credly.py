"""Disable Credly on an achievement."""

from prefect import State, flow

from rules.forms.inputs import AchievementId, OperatorId
from tasks.forms.pausing import disable
from tasks.forms.run_form import run_form
from tasks.runtime.run import run_context


@flow(name="disable-credly", flow_run_name="disable {achievement}", persist_result=False)
async def disable_credly(achievement: AchievementId, operator: OperatorId = "") -> State[None]:
    """Disable Credly on an achievement.

    Deletes its settings and cancels its waiting badges. Issued badges stay at Credly and in the ledger.

    Args:
        achievement: Choose the achievement, or enter its id on the platform.
        operator: Your own id, kept in the history. No e-mail address.
    """
    async with run_context() as run:
        return await run_form(run, operator, disable(run, achievement), key="disable-credly", changes_menus=True)
