"""Which badge at Credly an issuance takes as its own after an answer that got lost (Credly API notes, section 10)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from credly.wire import Badge, BadgeRequest
from rules.outcome import LIVE_STATES


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What is known of a badge that an earlier call may have made. Not shown in `repr`: it names a person."""

    badge_template_id: str
    issuer_earner_id: str
    recipient_email: str | None = field(default=None, repr=False)
    issued_at: datetime | None = None


CLOCKS_DIFFER = timedelta(minutes=10)  # by at most so much from Credly's


def own_badges(found: Iterable[Badge], *, request: BadgeRequest | Expected, sent_at: datetime) -> list[Badge]:
    """Return those of the badges that this request can have made, the oldest first.

    Of the same template and earner id. A badge without an earner id counts if it was made since the request was first
    sent (`sent_at`, UTC) or, where Credly gives no moment of making, has the request's `issued_at`. Another earner's
    badge never does, whatever address it has. Revoked, rejected and replaced badges do not stand (section 4.2).
    """
    own = [each for each in found if _stands(each, request) and _is_of_request(each, request, sent_at)]
    return sorted(own, key=lambda badge: (badge.created_at is None, badge.created_at, badge.id))


def leaves_open(found: Iterable[Badge], *, request: BadgeRequest | Expected) -> bool:
    """Say whether one of these may be the request's, but says neither whose it is nor when it was made or dated."""
    return any(
        _stands(each, request) and not each.issuer_earner_id and each.created_at is None and each.issued_at is None
        for each in found
    )


def names_another(badge: Badge, request: BadgeRequest | Expected) -> bool:
    """Say whether the answer to a request is about another earner or template; what is left out says nothing."""
    return bool(
        (badge.issuer_earner_id and badge.issuer_earner_id != request.issuer_earner_id)
        or (badge.badge_template_id and badge.badge_template_id != request.badge_template_id)
    )


def has_another_address(badge: Badge, request: BadgeRequest) -> bool:
    """Say whether the badge went to another address than the request's, in lower case."""
    return bool(badge.recipient_email and badge.recipient_email.lower() != request.recipient_email.lower())


def _stands(badge: Badge, request: BadgeRequest | Expected) -> bool:
    is_live = badge.state in LIVE_STATES and badge.replacement_badge_id is None
    return is_live and badge.badge_template_id == request.badge_template_id


def _is_of_request(badge: Badge, request: BadgeRequest | Expected, sent_at: datetime) -> bool:
    if badge.issuer_earner_id:
        return badge.issuer_earner_id == request.issuer_earner_id
    if badge.created_at is not None:
        return badge.created_at >= sent_at - CLOCKS_DIFFER
    return request.issued_at is not None and badge.issued_at == request.issued_at.replace(microsecond=0)
