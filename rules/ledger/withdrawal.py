"""Which awards are withdrawn or missing, and the limits where a platform misses many, or many badges are revoked."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from rules.ledger.states import Origin
from rules.wording import counted

if TYPE_CHECKING:
    from rules.ledger.eligibility import Issuance, Pair

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


def is_withdrawn(pair: "Pair", row: "Issuance") -> bool:
    """Whether the award of a row is withdrawn, and the user holds no other of the achievement."""
    return row.origin is Origin.AWARD and not pair.valid_awards and lost_its_award(pair, row)


def lost_its_award(pair: "Pair", row: "Issuance") -> bool:
    """Whether the award of a row is withdrawn, or deleted where that counts, whatever the origin of the row."""
    return row.issuance_id in pair.deleted or _own_is_withdrawn(pair, row)


def is_missing(pair: "Pair", row: "Issuance") -> bool:
    """Whether the platform has no row of the award that an issuance was entered for, nor of another one."""
    return row.origin is Origin.AWARD and holds_no_award(pair, row)


def holds_no_award(pair: "Pair", row: "Issuance") -> bool:
    """Whether the user holds no award, and that of the issuance is not among the withdrawn ones."""
    return not pair.valid_awards and not _own_is_withdrawn(pair, row)


def _own_is_withdrawn(pair: "Pair", row: "Issuance") -> bool:
    # By the moment as well: a platform that loads its awards again may give them other ids.
    return any(
        award.withdrawn and (row.award_id in (None, award.award_id) or row.awarded_at == award.awarded_at)
        for award in pair.awards
    )
