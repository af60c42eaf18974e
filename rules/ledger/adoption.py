"""Which badge at Credly an issuance adopts after a lost response (Credly API notes, section 10)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from credly.wire import Badge, BadgeRequest
from rules.ledger.outcome import LIVE_STATES


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The badge that an earlier call may have made. Personal data is not shown in `repr`."""

    badge_template_id: str
    issuer_earner_id: str
    recipient_email: str | None = field(default=None, repr=False)
    issued_at: datetime | None = None


CLOCKS_DIFFER = timedelta(minutes=10)  # the largest difference between our clock and Credly's


def own_badges(badges: Iterable[Badge], *, request: BadgeRequest | Expected, sent_at: datetime) -> list[Badge]:
    """Return the badges that this request can have made, the oldest first.

    Of the same template and earner id. A badge without an earner id counts if it was made since the request was first
    sent (`sent_at`, UTC) or, where Credly gives no moment of making, has the request's `issued_at`. Another earner's
    badge never counts, whatever its address. Nor do revoked, rejected and replaced badges (section 4.2).
    """
    own = [each for each in badges if _is_live(each, request) and _is_of_request(each, request, sent_at)]
    return sorted(own, key=lambda badge: (badge.created_at is None, badge.created_at, badge.id))


def leaves_open(badges: Iterable[Badge], *, request: BadgeRequest | Expected) -> bool:
    """Whether one of these may be the request's, but has neither an earner id nor a date of creation or issue."""
    return any(
        _is_live(each, request) and not each.issuer_earner_id and each.created_at is None and each.issued_at is None
        for each in badges
    )


def names_another(badge: Badge, request: BadgeRequest | Expected) -> bool:
    """Whether the response to a request has another earner or template; a missing one does not count."""
    return bool(
        (badge.issuer_earner_id and badge.issuer_earner_id != request.issuer_earner_id)
        or (badge.badge_template_id and badge.badge_template_id != request.badge_template_id)
    )


def has_another_address(badge: Badge, request: BadgeRequest) -> bool:
    """Whether the badge was sent to another address than the request's; case does not count."""
    return bool(badge.recipient_email and badge.recipient_email.lower() != request.recipient_email.lower())


def _is_live(badge: Badge, request: BadgeRequest | Expected) -> bool:
    live = badge.state in LIVE_STATES and badge.replacement_badge_id is None
    return live and badge.badge_template_id == request.badge_template_id


def _is_of_request(badge: Badge, request: BadgeRequest | Expected, sent_at: datetime) -> bool:
    if badge.issuer_earner_id:
        return badge.issuer_earner_id == request.issuer_earner_id
    # Without an earner id the time decides: a badge from before the request was sent is not its own.
    if badge.created_at is not None:
        return badge.created_at >= sent_at - CLOCKS_DIFFER
    # Credly keeps whole seconds.
    return request.issued_at is not None and badge.issued_at == request.issued_at.replace(microsecond=0)
