"""The states of an issuance; rules/ledger/transitions.py has what leads from one to another."""

from enum import StrEnum


class IssuanceState(StrEnum):
    """Where an issuance stands. `sentence` is what an analyst reads."""

    PENDING = "pending"
    ISSUING = "issuing"
    ISSUED = "issued"
    BLOCKED = "blocked"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def sentence(self) -> str:
        """What this state means, in words."""
        return _SENTENCES[self]


_SENTENCES = {
    IssuanceState.PENDING: "To be issued from its not_before moment on.",
    IssuanceState.ISSUING: "Claimed by a run; a call to Credly may be under way.",
    IssuanceState.ISSUED: "Credly has the badge and its id is kept.",
    IssuanceState.BLOCKED: "Waits for the portal, its token or the badge template; goes out by itself.",
    IssuanceState.FAILED: "Refused for a reason that a person must act on.",
    IssuanceState.CANCELLED: "No longer owed: the integration or the award went away first.",
}

WAITING = (IssuanceState.PENDING, IssuanceState.ISSUING, IssuanceState.BLOCKED)


class Origin(StrEnum):
    """What asked for an issuance."""

    AWARD = "award"
    BY_HAND = "by_hand"

    @property
    def sentence(self) -> str:
        """What this origin means, in words."""
        return "An award on the platform." if self is Origin.AWARD else "A person, by hand."
