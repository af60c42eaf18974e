"""The results of runs and the open issuances after them: counted in the ledger, summarized in one sentence."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from rules.ledger.reasons import REFUSED_REASONS, Reason
from rules.ledger.states import IssuanceState

NAMED = 50
SLOWEST = 5
Counts = Counter[tuple[IssuanceState, Reason | None]]


@dataclass(frozen=True, kw_only=True)
class Results:
    """The number of issuances of an achievement that a flow run left in a state; `adopted`: found at Credly."""

    flow_run_id: str
    portal_id: str
    achievement_id: str
    state: IssuanceState
    reason: Reason | None = None
    count: int
    adopted: int = 0


@dataclass(frozen=True, order=True)
class SlowCall:
    """One call, by how long it took."""

    duration: timedelta
    issuance_id: int
    kind: str
    outcome: str


@dataclass(frozen=True, order=True)
class IssuanceRef:
    """A badge that was not issued, by its ids."""

    issuance_id: int
    achievement_id: str
    user_id: str
    portal_id: str

    @property
    def form_fields(self) -> dict[str, str]:
        """The fields of `issue-badge` for this badge."""
        return {"user": self.user_id, "achievement": self.achievement_id}


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """The results of one or several flow runs, each issuance with its last one.

    `named` has up to `NAMED` ids for each reason. `open` counts what the ledger holds as waiting, blocked or failed
    now, from these runs or earlier ones. `stopped`: why calls to organizations were stopped.
    """

    results: Sequence[Results] = ()
    named: Mapping[tuple[IssuanceState, Reason], Sequence[IssuanceRef]] = field(default_factory=dict, repr=False)
    slowest: Sequence[SlowCall] = field(default=(), repr=False)
    open: Counts = field(default_factory=Counter)
    stopped: Sequence[Reason] = ()

    def of_runs(
        self, flow_run_ids: Collection[str], *, open_now: Counts, portal_ids: Collection[str] | None = None
    ) -> "RunSummary":
        """Return the counts of some of the runs alone, of all portals or some, without ids and calls."""
        return RunSummary(
            results=[
                each
                for each in self.results
                if each.flow_run_id in flow_run_ids and (portal_ids is None or each.portal_id in portal_ids)
            ],
            open=open_now,
        )

    @property
    def done(self) -> Counts:
        counts: Counts = Counter()
        for each in self.results:
            counts[each.state, each.reason] += each.count
        return counts

    @property
    def by_achievement(self) -> list[tuple[str, str, dict[IssuanceState, int]]]:
        achievements: dict[tuple[str, str], Counter[IssuanceState]] = {}
        for each in self.results:
            achievements.setdefault((each.portal_id, each.achievement_id), Counter())[each.state] += each.count
        return [(portal, achievement, dict(counts)) for (portal, achievement), counts in sorted(achievements.items())]

    @property
    def issued(self) -> int:
        """How many badges were issued, the adopted ones included."""
        return _in_state(self.done, IssuanceState.ISSUED)

    @property
    def failed(self) -> int:
        """How many badges were refused, by Credly or by our own check."""
        return _in_state(self.done, IssuanceState.FAILED)

    @property
    def needs_action(self) -> bool:
        """Whether an operator has to act: on a badge refused in these runs, or a token or template not usable."""
        # Not for a portal that is not connected yet, which is its administrator's choice, nor for a badge refused in an
        # earlier run, which that run's state shows: both would mark every later run.
        blocked = {reason for (state, reason), count in self.open.items() if state is IssuanceState.BLOCKED and count}
        refused = any(reason in REFUSED_REASONS for reason in self.stopped)
        return bool(self.failed or blocked - {Reason.PORTAL_NOT_CONNECTED} or refused)

    @property
    def title(self) -> str:
        """The counts at the end of a run's name: `212 issued · 4 failed · 20 blocked` (blocked now)."""
        counts = ((self.failed, "failed"), (_in_state(self.open, IssuanceState.BLOCKED), "blocked"))
        return " · ".join([f"{self.issued} issued", *(f"{count} {words}" for count, words in counts if count)])

    @property
    def sentence(self) -> str:
        """The counts in one line: `212 issued, 3 of them found at Credly · 4 failed · now 20 blocked, 5 waiting`."""
        adopted = sum(each.adopted for each in self.results)
        done = [f"{self.issued} issued" + (f", {adopted} of them found at Credly" if adopted else "")]
        if self.failed:
            done.append(f"{self.failed} failed")
        if cancelled := _in_state(self.done, IssuanceState.CANCELLED):
            done.append(f"{cancelled} cancelled")
        blocked = _in_state(self.open, IssuanceState.BLOCKED)
        waiting = _in_state(self.open, IssuanceState.PENDING) + _in_state(self.open, IssuanceState.ISSUING)
        left = ", ".join(f"{count} {words}" for count, words in ((blocked, "blocked"), (waiting, "waiting")) if count)
        return " · ".join([*done, *([f"now {left}"] if left else [])])


def _in_state(counts: Counts, state: IssuanceState) -> int:
    return sum(count for (each, _), count in counts.items() if each is state)
