"""The ledger: one row for each badge to be issued to a user, and one for each call made for it.

Constraints here limit which rows may be stored; transitions.py defines how a row's state changes.
"""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, false, text

from models.base import Field, LaurelTable
from models.columns import LONGEST_KEY, UtcDateTime, enum_by_value, own_id
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState, Origin
from rules.ledger.transitions import Transition

UNIQUE_ISSUANCE = "uq_badge_issuances_achievement_user_template"

LONGEST_STATE = 20  # of a badge at Credly


class AttemptKind(StrEnum):
    """The kind of a call."""

    ISSUE = "issue"
    LOOK_UP = "look_up"
    REPLACE = "replace"
    REVOKE = "revoke"


class AttemptOutcome(StrEnum):
    """The result of a call."""

    ISSUED = "issued"
    FOUND = "found"
    NOT_FOUND = "not_found"
    REFUSED = "refused"
    THROTTLED = "throttled"
    NOT_SENT = "not_sent"
    UNCLEAR = "unclear"
    NOT_CONNECTED = "not_connected"
    REVOKED = "revoked"


class BadgeIssuance(LaurelTable, table=True):
    """One badge for one user. rules/ledger/states.py and rules/ledger/reasons.py explain its state and reason.

    `transition` is the last one, `moves` their number. `sent_to` is the organization of an outstanding call, and
    `issued_by` that of the badge: rows of `credly_organizations`. A badge from before migration 0015 has none.
    `former`: a row of an earlier template, from when a user and an achievement had one row for each template.
    """

    __tablename__ = "badge_issuances"
    __table_args__ = (
        UniqueConstraint("achievement_id", "user_id", "badge_template_id", name=UNIQUE_ISSUANCE),
        CheckConstraint(
            "(state = 'issued') = (credly_badge_id IS NOT NULL AND recorded_at IS NOT NULL)", name="issued"
        ),
        CheckConstraint("(state = 'issuing') = (claim IS NOT NULL AND lease_until IS NOT NULL)", name="issuing"),
        CheckConstraint(
            "(state IN ('blocked', 'failed', 'cancelled') AND reason IS NOT NULL)"
            " OR (state IN ('issued', 'issuing') AND reason IS NULL) OR state = 'pending'",
            name="reason_given",
        ),
        CheckConstraint("attempts >= 0", name="attempts"),
        Index("ix_badge_issuances_award", "award_id"),
        Index("ix_badge_issuances_state", "state", "reason", "portal_id"),
        Index("ix_badge_issuances_user", "user_id"),
    )
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    achievement_id: str = Field(max_length=LONGEST_KEY)
    user_id: str = Field(max_length=LONGEST_KEY)
    badge_template_id: str = Field(max_length=64)
    portal_id: str = Field(max_length=LONGEST_KEY)
    award_id: str | None = Field(default=None, max_length=LONGEST_KEY)
    awarded_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    company_id: str | None = Field(default=None, max_length=LONGEST_KEY)
    project_id: str | None = Field(default=None, max_length=LONGEST_KEY)
    origin: Origin = Field(sa_type=enum_by_value(Origin, name="origin"))
    state: IssuanceState = Field(sa_type=enum_by_value(IssuanceState, name="state"))
    transition: str = Field(
        default=Transition.UNKNOWN, max_length=40, sa_column_kwargs={"server_default": Transition.UNKNOWN}
    )
    moves: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    former: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    reason: Reason | None = Field(
        default=None,
        sa_type=enum_by_value(Reason, name="reason"),
    )
    credly_message: str | None = Field(default=None, max_length=500)
    not_before: datetime = Field(sa_type=UtcDateTime)
    claim: str | None = Field(default=None, max_length=36)
    lease_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    unclear_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    sent_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    sent_to: int | None = Field(default=None, sa_type=own_id())
    looked_again_at: datetime = Field(sa_type=UtcDateTime)
    attempts: int = 0
    credly_badge_id: str | None = Field(default=None, unique=True, max_length=64)
    replaces_badge_id: str | None = Field(default=None, max_length=64)
    issued_by: int | None = Field(default=None, sa_type=own_id())
    badge_url: str | None = Field(default=None, max_length=500)
    adopted: bool = False
    name_digest: str | None = Field(default=None, max_length=16)
    former_address: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    revoked_badge_id: str | None = Field(default=None, max_length=64)
    credly_state: str | None = Field(default=None, max_length=LONGEST_STATE)
    audited_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    issued_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    recorded_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    evidence_sent: str = ""
    evidence_left_out: str = ""
    request_fingerprint: str | None = Field(default=None, max_length=64)
    requested_by: str = Field(default="", max_length=255, sa_column_kwargs={"server_default": ""})
    request_reason: str = Field(default="", max_length=500, sa_column_kwargs={"server_default": ""})
    planned_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    flow_run_id: str | None = Field(default=None, max_length=36)
    task_run_id: str | None = Field(default=None, max_length=36)


class IssuanceAttempt(LaurelTable, table=True):
    """One call made to Credly for an issuance, and its result. Contains no personal data."""

    __tablename__ = "issuance_attempts"
    __table_args__ = (Index("ix_issuance_attempts_issuance", "issuance_id", "started_at"),)
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    issuance_id: int = Field(foreign_key="badge_issuances.id", sa_type=own_id())
    kind: AttemptKind = Field(sa_type=enum_by_value(AttemptKind, name="kind"))
    outcome: AttemptOutcome = Field(sa_type=enum_by_value(AttemptOutcome, name="outcome"))
    started_at: datetime = Field(sa_type=UtcDateTime)
    duration_ms: int
    status: int | None = None
    code: str | None = Field(default=None, max_length=60)
    credly_message: str | None = Field(default=None, max_length=500)
    request_id: str | None = Field(default=None, max_length=64)
    credly_request_id: str | None = Field(default=None, max_length=64)
    request_fingerprint: str | None = Field(default=None, max_length=64)
    field_names: str = ""
    flow_run_id: str | None = Field(default=None, max_length=36)
    task_run_id: str | None = Field(default=None, max_length=36)
