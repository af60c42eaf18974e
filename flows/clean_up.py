"""Remove calls and runs that are older than they are kept."""

from prefect import State, flow

from tasks.keeping import remove_what_is_old
from tasks.people import tell
from tasks.runtime.run import run_context


@flow(name="clean-up", persist_result=False)
async def clean_up() -> State[None]:
    """Remove what is older than it is kept: calls to Credly from the database, and Laurel's own runs from Prefect.

    How long is in the settings LAUREL_KEEP_ATTEMPTS and LAUREL_KEEP_RUNS, in days; 0 keeps for good. The ledger, which
    says for each badge where it stands, is never touched, nor are calls for badges that are not issued yet.
    """
    async with run_context() as run:
        return await tell(remove_what_is_old(run), key="clean-up")
