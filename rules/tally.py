"""Counting what a run did and what it left, and saying both in a sentence."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from rules.details import Details
from rules.outcome import Outcome
from rules.reasons import REFUSED_REASONS, Reason
from rules.states import IssuanceState

Counts = Counter[tuple[IssuanceState, Reason | None]]


@dataclass(frozen=True)
class Tally:
    """What a run did with issuances, and what stands open after it.

    `done` counts outcomes, `open` what the ledger still holds as waiting, blocked or failed, from this run or
    earlier ones. Adopted badges count as issued too. `stopped` says why an organization's work was stopped.
    """

    done: Counts = field(default_factory=Counter)
    open: Counts = field(default_factory=Counter)
    adopted: int = 0
    details: Details = field(default_factory=Details, repr=False)
    stopped: Reason | None = None

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> "Tally":
        """Count these outcomes."""
        outcomes = list(outcomes)
        return cls(done=Counter((o.state, o.reason) for o in outcomes), adopted=sum(o.adopted for o in outcomes))

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            done=self.done + other.done,
            open=self.open + other.open,
            adopted=self.adopted + other.adopted,
            details=self.details + other.details,
            stopped=self.stopped or other.stopped,
        )

    @property
    def issued(self) -> int:
        """How many badges were issued, the adopted ones included."""
        return _in_state(self.done, IssuanceState.ISSUED)

    @property
    def failed(self) -> int:
        """How many badges were refused, by Credly or by our own check."""
        return _in_state(self.done, IssuanceState.FAILED)

    @property
    def needs_a_person(self) -> bool:
        """Whether something will not mend itself: a badge refused in this run, or a token or template not usable.

        A portal that is not connected yet is its administrator's choice, and a refusal is told by the run that
        met it: neither makes every later run cry.
        """
        blocked = {reason for (state, reason), count in self.open.items() if state is IssuanceState.BLOCKED and count}
        return bool(self.failed or blocked - {Reason.PORTAL_NOT_CONNECTED} or self.stopped in REFUSED_REASONS)

    @property
    def sentence(self) -> str:
        """What happened, in counts: `212 issued, 3 of them found at Credly · 4 failed · now 20 blocked, 5 waiting`."""
        done = [f"{self.issued} issued" + (f", {self.adopted} of them found at Credly" if self.adopted else "")]
        if self.failed:
            done.append(f"{self.failed} failed")
        if withdrawn := _in_state(self.done, IssuanceState.CANCELLED):
            done.append(f"{withdrawn} cancelled")
        blocked = _in_state(self.open, IssuanceState.BLOCKED)
        waiting = _in_state(self.open, IssuanceState.PENDING) + _in_state(self.open, IssuanceState.ISSUING)
        left = ", ".join(f"{count} {words}" for count, words in ((blocked, "blocked"), (waiting, "waiting")) if count)
        return " · ".join([*done, *([f"now {left}"] if left else [])])


def _in_state(counts: Counts, state: IssuanceState) -> int:
    return sum(count for (found, _), count in counts.items() if found is state)
