"""What a run did, in detail: by portal and achievement, which badges were not issued, which calls were slow."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from heapq import nlargest

from rules.facts import IssuanceFacts
from rules.outcome import Outcome
from rules.reasons import Reason
from rules.states import IssuanceState

NAMED = 50
SLOWEST = 5

Cell = tuple[str, str, IssuanceState]
"""Portal, achievement, state."""


@dataclass(frozen=True, order=True)
class SlowCall:
    """One call, by how long it took."""

    duration: timedelta
    issuance_id: int
    kind: str
    outcome: str


@dataclass(frozen=True, order=True)
class Named:
    """A badge that was not issued, by its ids."""

    issuance_id: int
    achievement_id: str
    user_id: str
    portal_id: str


@dataclass
class Details:
    """Counts of a run, and of what was not issued up to `NAMED` ids for each reason. Grows while the run works."""

    cells: Counter[Cell] = field(default_factory=Counter)
    named: dict[tuple[IssuanceState, Reason], list[Named]] = field(default_factory=dict)
    slowest: list[SlowCall] = field(default_factory=list)

    def note(self, facts: IssuanceFacts, outcome: Outcome) -> None:
        """Count what became of one issuance."""
        self.cells[facts.portal_id, facts.achievement_id, outcome.state] += 1
        if outcome.reason is not None:
            names = self.named.setdefault((outcome.state, outcome.reason), [])
            if len(names) < NAMED:
                names.append(Named(facts.issuance_id, facts.achievement_id, facts.user_id, facts.portal_id))

    def note_calls(self, calls: Iterable[SlowCall]) -> None:
        """Keep the slowest calls."""
        for call in calls:
            if len(self.slowest) < SLOWEST or call.duration > self.slowest[-1].duration:
                self.slowest = nlargest(SLOWEST, [*self.slowest, call])

    def __add__(self, other: "Details") -> "Details":
        keys = {**self.named, **other.named}
        return Details(
            cells=self.cells + other.cells,
            named={key: (self.named.get(key, []) + other.named.get(key, []))[:NAMED] for key in keys},
            slowest=nlargest(SLOWEST, self.slowest + other.slowest),
        )

    def by_achievement(self) -> list[tuple[str, str, dict[IssuanceState, int]]]:
        """Return portal, achievement and the counts by state, in order."""
        found: dict[tuple[str, str], dict[IssuanceState, int]] = {}
        for (portal, achievement, state), count in sorted(self.cells.items()):
            found.setdefault((portal, achievement), {})[state] = count
        return [(portal, achievement, counts) for (portal, achievement), counts in found.items()]
