"""Requeue many failed badges."""

from typing import Annotated

from prefect import State, flow
from pydantic import Field

from rules.forms.inputs import AchievementId, Day, FailedReason, OperatorId, PortalId
from tasks.forms.retry_failed import AT_MOST, RetryForm, preview_retry, retry
from tasks.forms.run_form import finish_form, run_form
from tasks.runtime.run import run_context


@flow(name="retry-failed", flow_run_name="retry failed", persist_result=False)
async def retry_failed(
    achievement: AchievementId = "",
    portal: PortalId = "",
    reason: FailedReason = FailedReason.ANY,
    since: Day = None,
    until: Day = None,
    at_most: Annotated[int, Field(ge=1, le=AT_MOST)] = 200,
    preview: bool = True,
    operator: OperatorId = "",
) -> State[None]:
    """Make many failed badges due again after their cause is gone. The next run of reconcile issues them.

    Enter an achievement, a portal, a reason or a period; badges that match all of them are retried, the oldest first.
    Nobody gets a second badge: after an unclear answer, Credly is asked first whether the badge exists. If the user's
    data was the cause, no retry is needed: reconcile issues the badge once the data is corrected.

    Args:
        achievement: Only badges of this achievement. Leave empty for all.
        portal: Only badges of this portal. Leave empty for all.
        reason: Only badges that failed for this reason; docs/reference/reasons.md explains each.
        since: Only badges that failed on this day or later, in UTC.
        until: Only badges that failed on this day or before, in UTC.
        at_most: Make at most so many due. If more match, the result says how many are left; run it again for these.
        preview: Show which badges match, and change nothing. Switch it off to make them due.
        operator: Your own id, kept in the history. No e-mail address.
    """
    form = RetryForm(achievement=achievement, portal=portal, reason=reason, days=(since, until), at_most=at_most)
    async with run_context() as run:
        if preview:
            return await finish_form(preview_retry(run, form), key="retry-failed")
        return await run_form(run, operator, retry(run, form), key="retry-failed")
