"""The states of an issuance. The transitions between them are in transitions.py."""

from datetime import UTC, datetime
from enum import StrEnum

# In place of a moment on the platform that Python does not have, or a value that is no moment. Python has it in every
# time zone.
NO_MOMENT = datetime(9999, 12, 30, tzinfo=UTC)


def is_ahead(moment: datetime, now: datetime) -> bool:
    """Whether the moment is in the future; not if it is none (`NO_MOMENT`)."""
    return now < moment != NO_MOMENT


class IssuanceState(StrEnum):
    """The state of an issuance. `sentence` is shown to analysts and operators."""

    PENDING = "pending"
    ISSUING = "issuing"
    ISSUED = "issued"
    BLOCKED = "blocked"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def sentence(self) -> str:
        return _SENTENCES[self]


_SENTENCES = {
    IssuanceState.PENDING: "Waits to be issued, at the moment in its column not_before or later.",
    IssuanceState.ISSUING: "Claimed by a run; a call to Credly may be under way.",
    IssuanceState.ISSUED: "Credly has the badge, and its id is recorded.",
    IssuanceState.BLOCKED: "Waits for the portal, its token or the badge template; issued automatically afterwards.",
    IssuanceState.FAILED: "Refused, or its data cannot be sent; the cause has to be removed.",
    IssuanceState.CANCELLED: "No longer eligible, revoked, or its user erased.",
}

WAITING = (IssuanceState.PENDING, IssuanceState.ISSUING, IssuanceState.BLOCKED)
QUEUED = (IssuanceState.PENDING, IssuanceState.BLOCKED)  # what waits and no run has claimed


class Origin(StrEnum):
    """The origin of an issuance."""

    AWARD = "award"
    BY_HAND = "by_hand"

    @property
    def sentence(self) -> str:
        return "An award on the platform." if self is Origin.AWARD else "A request of an operator."
