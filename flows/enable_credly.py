"""Enable Credly on an achievement, or change its settings."""

from typing import Annotated

from prefect import State, flow
from pydantic import Field

from rules.badge.issuance_data import LONGEST_EXPIRY, Expiry
from rules.forms.inputs import (
    AchievementId,
    EarnedAgain,
    EvidenceChoices,
    Locale,
    OperatorId,
    PastMoment,
    TemplateId,
    WhenDataChanges,
    free_text,
)
from rules.forms.settings import IntegrationForm
from tasks.forms.integrations import enable
from tasks.forms.run_form import run_form
from tasks.runtime.run import run_context


@flow(name="enable-credly", flow_run_name="enable {achievement}", persist_result=False)
async def enable_credly(
    achievement: AchievementId,
    badge_template_id: TemplateId,
    evidence: EvidenceChoices = EvidenceChoices(),  # noqa: B008 - frozen; Prefect's form reads its defaults
    issue_since: PastMoment = None,
    suppress_credly_email: bool = False,
    expiry: Expiry = Expiry.TEMPLATE_DEFAULT,
    expires_after_days: Annotated[int, Field(ge=0, le=LONGEST_EXPIRY)] = 0,
    locale: Locale = Locale.UNSET,
    earned_again: EarnedAgain = EarnedAgain.REFUSE,
    when_data_changes: WhenDataChanges = WhenDataChanges.LEAVE,
    revoke_when_withdrawn: bool = False,
    revoke_reason: Annotated[str, free_text(255)] = "",
    hold_above: Annotated[int, Field(ge=0)] = 100,
    operator: OperatorId = "",
) -> State[None]:
    """Issue a Credly badge for an achievement from now on, or change its settings.

    The portal must be connected, and the badge template must be active in its organization. The result shows exactly
    what would be sent for the latest award. Evidence is public: everyone who sees the badge sees it.

    Args:
        achievement: Choose the achievement, or enter its id on the platform.
        badge_template_id: Choose the badge template, or enter its id or the address of its page at Credly.
        evidence: Which evidence goes on the badge; each kind is left out where it does not apply to an award.
        issue_since: None covers awards made from now on. A date-time also covers awards made since then.
        suppress_credly_email: Send no e-mail from Credly to the earner, and no reminders.
        expiry: When badges expire: as the template says, never, or after a number of days.
        expires_after_days: Only for the expiry after_days.
        locale: The language of Credly's e-mail. Leave empty for English.
        earned_again: What happens when somebody earns the achievement again: nothing, or the badge is replaced.
        when_data_changes: What happens when the earner's name is corrected: nothing, or the badge is replaced.
        revoke_when_withdrawn: Revoke the badge at Credly when its award is withdrawn. This cannot be undone.
        revoke_reason: The reason in Credly's message to the earner. Leave empty for "The achievement was withdrawn."
        hold_above: If issue_since makes more badges due at once than this, they wait until release-credly is run.
        operator: Your own id, kept in the history. No e-mail address.
    """
    form = IntegrationForm(
        badge_template_id=badge_template_id,
        evidence=evidence,
        issue_since=issue_since,
        suppress_credly_email=suppress_credly_email,
        expiry=expiry,
        expires_after_days=expires_after_days,
        locale=locale,
        earned_again=earned_again,
        when_data_changes=when_data_changes,
        revoke_when_withdrawn=revoke_when_withdrawn,
        revoke_reason=revoke_reason,
        hold_above=hold_above,
    )
    async with run_context() as run:
        return await run_form(run, operator, enable(run, achievement, form), key="enable-credly", changes_menus=True)
