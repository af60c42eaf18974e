"""Connections of portals to Credly, and integrations: which achievement issues which badge with which evidence."""

from datetime import datetime

from sqlalchemy import CheckConstraint, false

from models.base import Field, LaurelTable
from models.columns import LONGEST_KEY, UtcDateTime, enum_by_value, own_id
from rules.badge.issuance_data import Expiry
from rules.forms.inputs import EarnedAgain, WhenDataChanges


class CredlyConnection(LaurelTable, table=True):
    """A portal's Credly organization. The token itself is in the Prefect Secret block `token_block`."""

    __tablename__ = "credly_connections"
    __table_args__ = (
        CheckConstraint("calls_per_second > 0 AND calls_per_second <= 1000", name="pace"),
        CheckConstraint("token_block <> ''", name="token_block"),
        CheckConstraint("organization_id <> ''", name="organization"),
    )
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    portal_id: str = Field(unique=True, max_length=LONGEST_KEY)
    organization_id: str = Field(max_length=64)
    token_block: str = Field(max_length=255)
    base_url: str = Field(max_length=500)
    token_ends_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    calls_per_second: float = 3.0
    missing_name: str = Field(default="", max_length=100)
    deletion_withdraws: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    renew_token: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    renewal_tried_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    connected_at: datetime = Field(sa_type=UtcDateTime)
    planned_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class CredlyIntegration(LaurelTable, table=True):
    """An achievement's Credly settings, at most one row each. Disabling deletes the row."""

    __tablename__ = "credly_integrations"
    __table_args__ = (
        CheckConstraint("badge_template_id <> ''", name="badge_template"),
        CheckConstraint("(expiry = 'after_days') = (expires_after_days IS NOT NULL)", name="expires_after_days"),
        CheckConstraint("expires_after_days IS NULL OR expires_after_days > 0", name="days_positive"),
    )
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    achievement_id: str = Field(unique=True, max_length=LONGEST_KEY)
    badge_template_id: str = Field(max_length=64)
    enabled_at: datetime = Field(sa_type=UtcDateTime)
    issue_since: datetime | None = Field(default=None, sa_type=UtcDateTime)
    planned_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    paused_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    held_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    earned_again: EarnedAgain = Field(
        default=EarnedAgain.REFUSE,
        sa_type=enum_by_value(EarnedAgain, name="earned_again"),
        sa_column_kwargs={"server_default": EarnedAgain.REFUSE},
    )
    when_data_changes: WhenDataChanges = Field(
        default=WhenDataChanges.LEAVE,
        sa_type=enum_by_value(WhenDataChanges, name="when_data_changes"),
        sa_column_kwargs={"server_default": WhenDataChanges.LEAVE},
    )
    revoke_when_withdrawn: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    revoke_reason: str = Field(default="", max_length=255, sa_column_kwargs={"server_default": ""})
    suppress_notification: bool = False
    locale: str = Field(default="", max_length=10)
    expiry: Expiry = Field(
        default=Expiry.TEMPLATE_DEFAULT,
        sa_type=enum_by_value(Expiry, name="expiry"),
    )
    expires_after_days: int | None = None
    user_evidence: bool = False
    user_evidence_name: str = ""
    user_evidence_description: str = ""
    company_evidence: bool = False
    company_evidence_name: str = ""
    company_evidence_description: str = ""
    project_evidence: bool = False
    project_evidence_name: str = ""
    project_evidence_description: str = ""
    portal_evidence: bool = False
    portal_evidence_name: str = ""
    portal_evidence_description: str = ""
