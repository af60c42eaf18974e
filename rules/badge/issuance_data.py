"""The data of one issuance that decides how it goes on. Read for a batch, just before sending."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from rules.badge.evidence import EvidenceKind, EvidenceSetting, EvidenceSource
from rules.ledger.reasons import Reason

LONGEST_EXPIRY = 36_500  # days: a moment further away may be one that Python does not have


class Expiry(StrEnum):
    """When a badge expires."""

    TEMPLATE_DEFAULT = "template_default"
    NEVER = "never"
    AFTER_DAYS = "after_days"


@dataclass(frozen=True, kw_only=True)
class BadgeOptions:
    """The settings of an integration (and its portal's connection) for each of its badges.

    A field that is named like a column of credly_integrations is read from it.
    """

    evidence: Mapping[EvidenceKind, EvidenceSetting] = field(default_factory=dict)
    suppress_notification: bool = False
    locale: str = ""
    expiry: Expiry = Expiry.TEMPLATE_DEFAULT
    expires_after_days: int | None = None
    missing_name: str = ""


@dataclass(frozen=True, kw_only=True)
class IssuanceFacts:
    """One issuance with the user, award and integration behind it. Personal data stays out of `repr`.

    `connected_to` is the address and the id of the organization that its portal is connected to now, and
    `present_template_id` the template of its integration now.
    """

    issuance_id: int
    achievement_id: str
    user_id: str
    portal_id: str
    badge_template_id: str
    award_id: str | None = None
    connected: bool = True
    connected_to: tuple[str, str] | None = None
    present_template_id: str | None = None
    attempts: int = 0
    reason: Reason | None = None
    request_fingerprint: str | None = None
    replaces_badge_id: str | None = None
    issued_by: int | None = None
    unclear_at: datetime | None = None
    sent_at: datetime | None = None
    awarded_at: datetime | None = None
    company_id: str | None = None
    project_id: str | None = None
    integration_exists: bool = True
    award_withdrawn: bool = False
    held: bool = False
    paused: bool = False
    user_exists: bool = True
    first_name: str | None = field(default=None, repr=False)
    last_name: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    sources: Mapping[EvidenceKind, EvidenceSource | None] = field(default_factory=dict, repr=False)
    options: BadgeOptions = field(default_factory=BadgeOptions, repr=False)
