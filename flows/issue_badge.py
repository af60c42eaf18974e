"""Issue one badge to one user by hand."""

from typing import Annotated

from prefect import State, flow

from rules.forms.inputs import AchievementId, CompanyId, IfBadgeExists, OperatorId, ProjectId, UserId, free_text
from tasks.forms.manual_issue import ManualIssueForm, issue_manually, preview_manual_issue
from tasks.forms.run_form import finish_form, run_form
from tasks.runtime.run import run_context


@flow(name="issue-badge", flow_run_name="issue {achievement} to {user}", persist_result=False)
async def issue_badge(
    user: UserId,
    achievement: AchievementId,
    project: ProjectId = "",
    company: CompanyId = "",
    reason: Annotated[str, free_text(500)] = "",
    if_badge_exists: IfBadgeExists = IfBadgeExists.LEAVE,
    date_now: bool = False,
    preview: bool = False,
    operator: OperatorId = "",
) -> State[None]:
    """Issue one badge to one user by hand, also before the award or after a failure.

    Safe to run again: the user gets no second badge, now or when the award follows later. The badge has the date of the
    award if there is one, otherwise the current date. An award dated in the future is refused unless date_now is on.

    Args:
        user: The user's id on the platform. Not an e-mail address: what is typed here is kept in the run history.
        achievement: Choose the achievement, or enter its id. Credly must be enabled on it.
        project: A project, as evidence for a user without an award. Leave empty otherwise.
        company: A company, as evidence for a user without an award. Leave empty otherwise.
        reason: Why it is issued by hand; kept with the badge. Do not name people here.
        if_badge_exists: Keep an existing badge, or replace it by one with the current data.
        date_now: Give the badge the current date where the award is dated in the future or has no usable date.
        preview: Show what would be sent (masked), and do nothing.
        operator: Your own id, kept in the history. No e-mail address.
    """
    form = ManualIssueForm(
        user=user,
        achievement=achievement,
        project=project,
        company=company,
        reason=reason,
        if_badge_exists=if_badge_exists,
        date_now=date_now,
    )
    async with run_context() as run:
        if preview:
            return await finish_form(preview_manual_issue(run, form), key="issue-badge")
        return await run_form(run, operator, issue_manually(run, form), key="issue-badge")
