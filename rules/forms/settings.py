"""The settings of a portal's connection and of an achievement's integration, as an operator gives them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from rules.badge.issuance_data import LONGEST_EXPIRY, Expiry
from rules.forms.inputs import (
    BlockName,
    CredlyId,
    EarnedAgain,
    Environment,
    EvidenceChoices,
    Locale,
    PastMoment,
    WhenDataChanges,
    free_text,
)


class ConnectionForm(BaseModel):
    """What `connect-portal` and a file of settings say of a portal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    organization_id: CredlyId
    token_block: BlockName
    environment: Environment = Environment.PRODUCTION
    base_url: Annotated[str, free_text(255)] = ""
    calls_per_second: float = Field(default=3.0, ge=0.1, le=1000)
    missing_name: Annotated[str, free_text(100)] = ""
    deletion_withdraws: bool = False
    renew_token: bool = False


class IntegrationForm(BaseModel):
    """What `enable-credly` and a file of settings say of an achievement.

    A field is named as its column in credly_integrations; an alias is its name for operators.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    badge_template_id: CredlyId
    issue_since: PastMoment = None
    suppress_notification: bool = Field(default=False, alias="suppress_credly_email")
    expiry: Expiry = Expiry.TEMPLATE_DEFAULT
    expires_after_days: int = Field(default=0, ge=0, le=LONGEST_EXPIRY)
    locale: Locale = Locale.UNSET
    earned_again: EarnedAgain = EarnedAgain.REFUSE
    when_data_changes: WhenDataChanges = WhenDataChanges.LEAVE
    revoke_when_withdrawn: bool = False
    revoke_reason: Annotated[str, free_text(255)] = ""
    evidence: EvidenceChoices = EvidenceChoices()
    hold_above: int = Field(default=100, ge=0)
