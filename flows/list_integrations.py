"""Show what is configured."""

from prefect import State, flow

from rules.choices import PlatformId
from tasks.listing import list_everything
from tasks.people import tell
from tasks.runtime.run import run_context


@flow(name="list-integrations", persist_result=False)
async def list_integrations(portal: PlatformId = "") -> State[None]:
    """Show which portals are connected, and for each achievement its template, evidence, counts and last badge.

    Args:
        portal: Only this portal (its id). Leave empty for all.
    """
    async with run_context() as run:
        return await tell(list_everything(run, portal), key="integrations")
