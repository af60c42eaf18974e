"""Export all data about one user to a file."""

from prefect import State, flow

from rules.forms.inputs import PathText, UserId
from tasks.forms.export_user import export_user as export
from tasks.forms.run_form import finish_form
from tasks.runtime.run import run_context


@flow(name="export-user", persist_result=False)
async def export_user(user: UserId, folder: PathText = "") -> State[None]:
    """Export all data about one user to a JSON file: issuances, calls to Credly, history, runs.

    The file is on the machine of the worker, and only its owner can read it. The run shows only its path.

    Args:
        user: The user's id on the platform. Not an e-mail address: what is typed here is kept in the run history.
        folder: A folder in that of the setting LAUREL_REPORTS_FOLDER, created if missing. Leave empty for that one.
    """
    async with run_context() as run:
        return await finish_form(export(run, user, folder), key="export-user")
