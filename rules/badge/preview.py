"""What a run would do with each award, computed without calls to Credly."""

from dataclasses import dataclass
from datetime import datetime

from rules.badge.issuance_data import IssuanceFacts
from rules.badge.masking import mask_user
from rules.badge.request import Prepared, prepare_request
from rules.ledger.outcome import not_sendable
from rules.ledger.reasons import Reason
from rules.ledger.states import is_ahead


@dataclass(frozen=True, kw_only=True)
class Preview:
    """One badge in a preview: what would be sent, or why nothing would. Names and addresses are masked."""

    achievement_id: str
    user_id: str
    award_id: str | None
    verdict: str
    recipient: str = ""
    issued_at: datetime | None = None
    evidence: str = ""
    left_out: str = ""


def preview(facts: IssuanceFacts, *, now: datetime, verdict: str = "") -> Preview:
    """Return what a run at `now` (UTC) would do with this award; `verdict` is what it would do if it may be sent."""
    # In the order in which a run decides: the first that applies is what its operator would see.
    if facts.awarded_at is not None and is_ahead(facts.awarded_at, now):
        return _withheld(facts, f"wait: {Reason.AWARDED_IN_FUTURE.sentence}")
    if not facts.connected:
        return _withheld(facts, f"block: {Reason.PORTAL_NOT_CONNECTED.sentence}")
    prepared = prepare_request(facts, now=now)
    if isinstance(prepared, Reason):
        return _withheld(facts, f"{not_sendable(prepared).state}: {prepared.sentence}")
    return _sendable(facts, prepared, verdict=_stopped(facts) or verdict or "issue")


def _stopped(facts: IssuanceFacts) -> str:
    if facts.held:
        return "hold: Until release-credly is run."
    return "wait: Until resume-credly is run." if facts.paused else ""


def _withheld(facts: IssuanceFacts, verdict: str) -> Preview:
    return Preview(achievement_id=facts.achievement_id, user_id=facts.user_id, award_id=facts.award_id, verdict=verdict)


def _sendable(facts: IssuanceFacts, prepared: Prepared, *, verdict: str) -> Preview:
    request = prepared.request
    return Preview(
        achievement_id=facts.achievement_id,
        user_id=facts.user_id,
        award_id=facts.award_id,
        verdict=verdict,
        recipient=mask_user(request.issued_to_first_name, request.issued_to_last_name, request.recipient_email),
        issued_at=request.issued_at,
        evidence=", ".join(prepared.kinds),
        left_out=" ".join(f"{kind}: {why.sentence}" for kind, why in prepared.left_out),
    )
