"""Remove old calls and runs."""

from prefect import State, flow

from tasks.forms.run_form import finish_form
from tasks.operations.retention import remove_expired
from tasks.runtime.run import run_context


@flow(name="clean-up", persist_result=False)
async def clean_up() -> State[None]:
    """Remove old calls to Credly from the database, and Laurel's own old runs from Prefect.

    The settings LAUREL_KEEP_ATTEMPTS and LAUREL_KEEP_RUNS give the number of days; 0 keeps them permanently. The state
    of each badge is never removed, nor are calls for badges that are not issued yet. LAUREL_KEEP_ANSWERS clears links
    and messages of Credly in what is kept. LAUREL_ARCHIVE_AFTER moves old months of history and calls into files.
    """
    async with run_context() as run:
        return await finish_form(remove_expired(run), key="clean-up")
