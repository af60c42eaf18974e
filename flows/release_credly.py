"""Let go what enable-credly holds back."""

from prefect import State, flow

from rules.choices import OperatorId, PlatformId
from tasks.enabling import release
from tasks.people import tell_form
from tasks.runtime.run import run_context


@flow(name="release-credly", flow_run_name="release {achievement}", persist_result=False)
async def release_credly(achievement: PlatformId, operator: OperatorId = "") -> State[None]:
    """Let go what enable-credly holds back.

    Where enabling reached so far back that many badges would go out at once, they are held until this is run. Look at
    them first with reconcile and its preview.

    Args:
        achievement: The achievement's id on the platform.
        operator: Your own id, kept in the history. No e-mail address.
    """
    async with run_context() as run:
        return await tell_form(run, operator, release(run, achievement), key="release-credly")
