"""Let go what enable-credly holds back."""

from prefect import State, flow

from rules.choices import PlatformId
from tasks.enabling import release
from tasks.people import tell
from tasks.runtime.run import run_context


@flow(name="release-credly", flow_run_name="release {achievement}", persist_result=False)
async def release_credly(achievement: PlatformId) -> State[None]:
    """Let go what enable-credly holds back.

    Where enabling reached so far back that many badges would go out at once, they are held until this is run. Look at
    them first with reconcile and its preview.

    Args:
        achievement: The achievement's id on the platform.
    """
    async with run_context() as run:
        return await tell(release(run, achievement), key="release-credly")
