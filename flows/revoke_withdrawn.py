"""Revoke the badges of withdrawn awards."""

from prefect import State, flow

from rules.choices import PlatformId
from tasks.people import tell
from tasks.revoke import revoke_all
from tasks.runtime.run import run_context


@flow(name="revoke-withdrawn", persist_result=False)
async def revoke_withdrawn(portal: PlatformId = "") -> State[None]:
    """Revoke badges whose awards were withdrawn, of achievements that were enabled with `revoke_when_withdrawn`.

    There is no way back at Credly. A new award makes the badge due again. All other badges of withdrawn awards stay;
    the audit names them.

    Args:
        portal: Only this portal's badges (the portal's id). Leave empty for all.
    """
    async with run_context():
        return await tell(revoke_all(portal), key="revoke-withdrawn")
