"""Counting what a run did, and saying it in a sentence."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from rules.outcome import Outcome
from rules.reasons import Reason
from rules.states import IssuanceState


@dataclass(frozen=True)
class Tally:
    """How many issuances ended a run in which state and for which reason. Adopted ones count as issued too."""

    states: Counter[IssuanceState] = field(default_factory=Counter)
    reasons: Counter[tuple[IssuanceState, Reason]] = field(default_factory=Counter)
    adopted: int = 0

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> "Tally":
        """Count these outcomes."""
        outcomes = list(outcomes)
        return cls(
            states=Counter(o.state for o in outcomes),
            reasons=Counter((o.state, o.reason) for o in outcomes if o.reason is not None),
            adopted=sum(o.adopted for o in outcomes),
        )

    @classmethod
    def of_many(cls, state: IssuanceState, reason: Reason, *, count: int) -> "Tally":
        """Count issuances that moved together."""
        return cls(states=Counter({state: count}), reasons=Counter({(state, reason): count}))

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            states=self.states + other.states,
            reasons=self.reasons + other.reasons,
            adopted=self.adopted + other.adopted,
        )

    @property
    def needs_a_person(self) -> bool:
        """Whether something will not mend itself: a refused badge, or a token, organization or template."""
        causes = {reason for (state, reason), count in self.reasons.items() if count and state in _NOT_BY_ITSELF}
        return bool(causes - {Reason.PORTAL_NOT_CONNECTED})

    @property
    def sentence(self) -> str:
        """What happened, in counts: `212 issued (3 of them found at Credly) · 4 failed`."""
        parts = [f"{self.states[state]} {words}" for state, words in _WORDS.items() if self.states[state]]
        if self.adopted:
            parts[0] += f" ({self.adopted} of them found at Credly)"
        return " · ".join(parts) or "nothing to do"


_NOT_BY_ITSELF = (IssuanceState.FAILED, IssuanceState.BLOCKED)
_WORDS = {
    IssuanceState.ISSUED: "issued",
    IssuanceState.FAILED: "failed",
    IssuanceState.BLOCKED: "blocked",
    IssuanceState.PENDING: "waiting",
    IssuanceState.CANCELLED: "cancelled",
}
