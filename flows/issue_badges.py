"""Issue badges to a list of users by hand."""

from typing import Annotated

from prefect import State, flow

from rules.forms.inputs import OperatorId, PathText, free_text
from tasks.forms.bulk_issue import issue_list
from tasks.forms.run_form import finish_form, run_form
from tasks.runtime.run import run_context


@flow(name="issue-badges", flow_run_name="issue a list", persist_result=False)
async def issue_badges(
    rows: Annotated[str, free_text(200_000)] = "",
    path: PathText = "",
    reason: Annotated[str, free_text(500)] = "",
    preview: bool = False,
    operator: OperatorId = "",
) -> State[None]:
    """Issue badges to a list of users, row by row. Bad rows are reported and skipped, the good ones are issued.

    Safe to run again with the same list: nobody gets a second badge.

    Args:
        rows: Lines of user id and achievement id, separated by a comma, with or without a header line
            "user,achievement". Ids only, no addresses: what is pasted here is kept in the run history.
        path: Instead of rows: a CSV file with the columns user and achievement, on the machine of the worker, in the
            folder of the setting LAUREL_LISTS_FOLDER.
        reason: Why these are issued by hand; kept with each badge. Do not name people here.
        preview: Check the list and show what would be issued, and issue nothing.
        operator: Your own id, kept in the history. No e-mail address.
    """
    async with run_context() as run:
        work = issue_list(run, rows=rows, path=path, reason=reason, preview=preview)
        if preview:
            return await finish_form(work, key="issue-badges")
        return await run_form(run, operator, work, key="issue-badges")
