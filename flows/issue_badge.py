"""Issue one badge to one user by hand."""

from typing import Annotated

from prefect import State, flow
from pydantic import Field

from rules.choices import IfBadgeExists, OperatorId, PlatformId, UserId, WithoutAddress
from tasks.by_hand import Asked, issue_by_hand, preview_by_hand
from tasks.people import tell, tell_form
from tasks.runtime.run import run_context


@flow(name="issue-badge", flow_run_name="issue {achievement} to {user}", persist_result=False)
async def issue_badge(
    user: UserId,
    achievement: PlatformId,
    project: PlatformId = "",
    company: PlatformId = "",
    reason: Annotated[WithoutAddress, Field(max_length=500)] = "",
    if_badge_exists: IfBadgeExists = IfBadgeExists.LEAVE,
    preview: bool = False,
    operator: OperatorId = "",
) -> State[None]:
    """Issue one badge to one user by hand, also before the award or after a failure.

    It goes the same way as a scheduled run and is safe to run again: nobody gets a second badge, now or when the award
    comes later. The badge carries the moment of the award if there is one, else the present moment.

    Args:
        user: The user's id on the platform. Not an e-mail address: what is typed here is kept in the run history.
        achievement: The achievement's id on the platform. Credly must be enabled on it.
        project: A project's id, as evidence for a user without an award. Leave empty otherwise.
        company: A company's id, as evidence for a user without an award. Leave empty otherwise.
        reason: Why it is issued by hand; kept with the badge. Do not name people here.
        if_badge_exists: Leave the badge that the user has, or replace it by one with the present data.
        preview: Show what would be sent (masked), and do nothing.
        operator: Your own id, kept in the history. No e-mail address.
    """
    asked = Asked(
        user=user,
        achievement=achievement,
        project=project,
        company=company,
        reason=reason,
        if_badge_exists=if_badge_exists,
    )
    async with run_context() as run:
        if preview:
            return await tell(preview_by_hand(run, asked), key="issue-badge")
        return await tell_form(run, operator, issue_by_hand(run, asked), key="issue-badge")
