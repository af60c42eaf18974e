"""What a withdrawal needs before it is acted on: a source that is whole, and not more badges at once than expected."""

from dataclasses import dataclass

LOST_AT_LEAST = 10
_ONE_IN = 10


@dataclass(frozen=True, kw_only=True)
class Revocable:
    """How many badges of an achievement are to be revoked."""

    portal_id: str
    achievement_id: str
    badges: int


@dataclass(frozen=True, kw_only=True)
class Loss:
    """How many of the awards behind a portal's issuances are missing from the platform."""

    portal_id: str
    missing: int
    awards: int

    @property
    def is_large(self) -> bool:
        """Whether it looks like a table or view that is not whole, and not like single awards that were deleted."""
        return self.missing >= LOST_AT_LEAST and self.missing * _ONE_IN > self.awards
