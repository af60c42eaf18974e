"""Release the badges that enable-credly holds."""

from prefect import State, flow

from rules.forms.inputs import AchievementId, OperatorId
from tasks.forms.integrations import release
from tasks.forms.run_form import run_form
from tasks.runtime.run import run_context


@flow(name="release-credly", flow_run_name="release {achievement}", persist_result=False)
async def release_credly(achievement: AchievementId, operator: OperatorId = "") -> State[None]:
    """Release the badges that enable-credly holds.

    If enabling makes many earlier awards due at once, their badges are held until you run this. Check them first with
    the preview of reconcile.

    Args:
        achievement: Choose the achievement, or enter its id on the platform.
        operator: Your own id, kept in the history. No e-mail address.
    """
    async with run_context() as run:
        return await run_form(run, operator, release(run, achievement), key="release-credly", changes_menus=True)
