"""Exporting all data about one user to a file."""

from uuid import uuid4

from models.operations import erasure
from models.operations.user_data import kept_of
from models.platform.people import user_exists
from reports.files import path_within
from reports.one_user import write_user
from rules.forms.inputs import InvalidInput
from rules.markdown import code
from rules.wording import FormResult
from tasks.operations.runs_of_user import runs_of_user
from tasks.runtime.run import Run


async def export_user(run: Run, user: str, folder: str) -> FormResult:
    """Write the file. The run shows its path and none of its content.

    Raises:
        InvalidInput: there is no such user, the user was erased, or the folder is not one to write to.
    """
    where = path_within(folder, run.settings.reports_folder, field="folder")
    await run.database.read(erasure.refuse_erased, user)
    kept = await run.database.read(kept_of, user)
    if not kept and not await run.platform.read(user_exists, user):
        raise InvalidInput("user: neither the platform nor the ledger has a user with this id.")
    runs = [
        {"id": str(each.id), "name": each.name, "started_at": each.start_time.isoformat() if each.start_time else ""}
        for each in await runs_of_user(user)
    ]
    moment = run.now()
    name = f"{moment:%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}"
    path = write_user(user, kept, runs, folder=str(where), now=moment, name=name)
    page = "\n\n".join(
        [
            "# One user's data",
            f"File on the machine of the worker: {code(str(path), longest=500)}",
            "**It holds personal data.** Only its owner can read it; pass it on to the user alone, and delete it then.",
        ]
    )
    return FormResult(sentence=f"Written to {path.name}", page=page)
