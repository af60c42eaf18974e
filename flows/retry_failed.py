"""Make many failed badges due again."""

from datetime import date
from typing import Annotated

from prefect import State, flow
from pydantic import Field

from rules.choices import FailedReason, OperatorId, PlatformId
from tasks.forms.retry_failed import AT_MOST, Chosen, preview_retry, retry
from tasks.people import tell, tell_form
from tasks.runtime.run import run_context


@flow(name="retry-failed", persist_result=False)
async def retry_failed(
    achievement: PlatformId = "",
    portal: PlatformId = "",
    reason: FailedReason = FailedReason.ANY,
    since: date | None = None,
    until: date | None = None,
    at_most: Annotated[int, Field(ge=1, le=AT_MOST)] = 200,
    preview: bool = True,
    operator: OperatorId = "",
) -> State[None]:
    """Make failed badges due again whose cause is gone, many at once; the next run of reconcile issues them.

    Give an achievement, a portal, a reason or a period; what matches all that is given is retried, the oldest first.
    Nobody gets a second badge: where an earlier answer of Credly was unclear, Credly is asked first. A cause in the
    user's data needs no retry: once the data is corrected, reconcile issues the badge by itself.

    Args:
        achievement: Only badges of this achievement (its id). Leave empty for all.
        portal: Only badges of this portal (its id). Leave empty for all.
        reason: Only badges that failed for this reason; docs/reasons.md explains each.
        since: Only badges that failed on this day or later, in UTC.
        until: Only badges that failed on this day or before, in UTC.
        at_most: Make at most so many due. If more match, the result says how many are left; run it again for these.
        preview: Show what would be made due, and change nothing. Switch it off to make them due.
        operator: Your own id, kept in the history. No e-mail address.
    """
    chosen = Chosen(achievement=achievement, portal=portal, reason=reason, days=(since, until), at_most=at_most)
    async with run_context() as run:
        if preview:
            return await tell(preview_retry(run, chosen), key="retry-failed")
        return await tell_form(run, operator, retry(run, chosen), key="retry-failed")
