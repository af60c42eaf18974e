"""Limits of withdrawal: a platform that is missing many awards, or more badges to revoke than expected."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rules.wording import counted

LOST_AT_LEAST = 10
_ONE_IN = 10
HELD_ADVICE = "Check the list, then run revoke-withdrawn for that portal with a higher hold_above"


@dataclass(frozen=True, kw_only=True)
class Loss:
    """How many of the awards behind a portal's issuances are missing from the platform."""

    portal_id: str
    missing: int
    awards: int

    @property
    def is_large(self) -> bool:
        """Whether it looks like an incomplete table or view rather than single deleted awards."""
        # Both: a small portal may lose one of two awards, and a large one a dozen, by ordinary deletions.
        return self.missing >= LOST_AT_LEAST and self.missing * _ONE_IN > self.awards

    @property
    def sentence(self) -> str:
        awards = f"{self.missing} of the {counted(self.awards, 'award')} behind the badges of portal {self.portal_id}"
        return f"{awards} are missing from the platform"

    @property
    def advice(self) -> str:
        return (
            "Check whether the platform's table or view of awards is complete; until then none of these awards counts "
            "as withdrawn. An award that is to be withdrawn keeps its row, with the moment in withdrawn_at."
        )


@dataclass(frozen=True, kw_only=True)
class Revocable:
    """How many badges of an achievement are to be revoked."""

    portal_id: str
    achievement_id: str
    badges: int


@dataclass(frozen=True, kw_only=True)
class HeldBack:
    """A portal with more badges to revoke than a run may revoke, by achievement."""

    portal_id: str
    achievements: tuple[Revocable, ...]
    above: int

    @property
    def badges(self) -> int:
        return sum(each.badges for each in self.achievements)

    @property
    def sentence(self) -> str:
        count = counted(self.badges, "badge")
        return f"portal {self.portal_id} has {count} to revoke, more than {self.above}, so none of them is"


def held_back(revocable: Sequence[Revocable], *, above: int) -> list[HeldBack]:
    """Return the portals with more badges to revoke than `above`; `revocable` is sorted by portal."""
    portals = [
        HeldBack(portal_id=portal, achievements=tuple(achievements), above=above)
        for portal, achievements in groupby(revocable, key=lambda each: each.portal_id)
    ]
    return [each for each in portals if each.badges > above]
