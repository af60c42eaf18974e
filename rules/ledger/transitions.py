"""The transitions of an issuance: every way in which its state may change, by name.

models/ledger/transitions.py writes them, and nothing else writes a state. A CHECK on the history refuses all others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from rules.ledger.states import IssuanceState

_PENDING, _ISSUING, _ISSUED = IssuanceState.PENDING, IssuanceState.ISSUING, IssuanceState.ISSUED
_BLOCKED, _FAILED, _CANCELLED = IssuanceState.BLOCKED, IssuanceState.FAILED, IssuanceState.CANCELLED
_OPEN = (_PENDING, _BLOCKED, _FAILED)


class Transition(StrEnum):
    """A change of an issuance's state. Stored in the ledger and its history by value."""

    ENQUEUE = "enqueue"
    CLAIM = "claim"
    TAKE_OVER = "take_over"
    RELEASE = "release"
    ISSUE = "issue"
    DEFER = "defer"
    FAIL = "fail"
    BLOCK = "block"
    UNBLOCK = "unblock"
    CANCEL = "cancel"
    REVIVE = "revive"
    REQUEST = "request"
    RETRY = "retry"
    REPLACE = "replace"
    RESTORE = "restore"
    REVOKE = "revoke"
    CHANGE_TEMPLATE = "change_template"
    TRANSFER = "transfer"
    ABANDON = "abandon"
    ERASE = "erase"
    UNKNOWN = "unknown"

    @property
    def rule(self) -> "Rule":
        return RULES[self]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """From which states a transition leads to which, when it happens, and which steps of a run or forms make it.

    `enters`: it makes a new row. `targets` is empty where the state stays as it is. `in_history`: whether it is
    written into the history; what only begins or gives back a call is not, since the attempts have the calls.
    """

    sources: tuple[IssuanceState, ...]
    targets: tuple[IssuanceState, ...]
    sentence: str
    by: str
    in_history: bool = True
    enters: bool = False

    def moves(self) -> Iterator[tuple[IssuanceState | None, IssuanceState]]:
        """Yield each pair of states, before and after; before is None for a new row."""
        for source in (*self.sources, *((None,) if self.enters else ())):
            if source is not None and not self.targets:
                yield source, source
            yield from ((source, target) for target in self.targets)


RULES: dict[Transition, Rule] = {
    Transition.ENQUEUE: Rule(
        sources=(),
        targets=(_PENDING, _BLOCKED),
        sentence="An eligible award became an issuance.",
        by="planning",
        enters=True,
    ),
    Transition.CLAIM: Rule(
        sources=(_PENDING,), targets=(_ISSUING,), sentence="A run put a lease on it.", by="issuing", in_history=False
    ),
    Transition.TAKE_OVER: Rule(
        sources=(_ISSUING,),
        targets=(_ISSUING,),
        sentence="The lease of an earlier run had ended; another run has it.",
        by="issuing",
    ),
    Transition.RELEASE: Rule(
        sources=(_ISSUING,),
        targets=(_PENDING,),
        sentence="Given back; nothing was sent.",
        by="issuing",
        in_history=False,
    ),
    Transition.ISSUE: Rule(
        sources=(_ISSUING,), targets=(_ISSUED,), sentence="Credly has the badge; its id was recorded.", by="issuing"
    ),
    Transition.DEFER: Rule(
        sources=(_ISSUING, _FAILED), targets=(_PENDING,), sentence="To be tried again after a wait.", by="issuing"
    ),
    Transition.FAIL: Rule(
        sources=(_ISSUING,), targets=(_FAILED,), sentence="Refused, or the data cannot be sent.", by="issuing"
    ),
    Transition.BLOCK: Rule(
        sources=(_PENDING, _BLOCKED, _ISSUING),
        targets=(_BLOCKED,),
        sentence="The portal, its token or the badge template cannot be used.",
        by="planning, preflight, issuing, disconnect-portal",
    ),
    Transition.UNBLOCK: Rule(
        sources=(_BLOCKED,), targets=(_PENDING,), sentence="What blocked it is gone.", by="planning, preflight"
    ),
    Transition.CANCEL: Rule(
        sources=(*_OPEN, _ISSUING),
        targets=(_CANCELLED,),
        sentence="The integration or the award is gone, and no badge was made.",
        by="planning, issuing, disable-credly",
    ),
    Transition.REVIVE: Rule(
        sources=(_CANCELLED,),
        targets=(_PENDING, _BLOCKED),
        sentence="Eligible again: awarded or enabled again.",
        by="planning",
    ),
    Transition.REQUEST: Rule(
        sources=(*_OPEN, _CANCELLED),
        targets=(_PENDING,),
        sentence="Requested by an operator.",
        by="issue-badge, issue-badges",
        enters=True,
    ),
    Transition.RETRY: Rule(
        sources=(_FAILED,),
        targets=(_PENDING,),
        sentence="Its data was corrected, or retry-failed included it.",
        by="planning, retry-failed, issue-badge, issue-badges",
    ),
    Transition.REPLACE: Rule(
        sources=(_ISSUED,),
        targets=(_PENDING,),
        sentence="To be issued again in place of its badge.",
        by="planning, issue-badge, issue-badges",
    ),
    Transition.RESTORE: Rule(
        sources=(*_OPEN, _CANCELLED),
        targets=(_ISSUED,),
        sentence="Not replaced after all; its badge stays.",
        by="planning",
    ),
    Transition.REVOKE: Rule(
        sources=(_ISSUED,),
        targets=(_CANCELLED,),
        sentence="The award was withdrawn and the badge revoked.",
        by="revoke-withdrawn",
    ),
    Transition.CHANGE_TEMPLATE: Rule(
        sources=(*_OPEN, _CANCELLED),
        targets=(),
        sentence="Not sent yet: it has the integration's new template.",
        by="planning, enable-credly",
    ),
    Transition.TRANSFER: Rule(
        sources=(*_OPEN, _ISSUED),
        targets=(),
        sentence="The platform moved its award to another user.",
        by="planning, issue-badge, issue-badges",
    ),
    Transition.ABANDON: Rule(
        sources=_OPEN,
        targets=(),
        sentence="An operator gave up a call that cannot be settled any more.",
        by="abandon-calls",
    ),
    Transition.ERASE: Rule(
        sources=tuple(state for state in IssuanceState if state is not _ISSUING),
        targets=(_ISSUED, _CANCELLED),
        sentence="Everything that identifies the user was erased.",
        by="erase-user",
    ),
    Transition.UNKNOWN: Rule(
        sources=(),
        targets=(),
        sentence="From before the history was kept, or written by an earlier version.",
        by="a migration",
    ),
}


def legal_moves() -> dict[tuple[IssuanceState | None, IssuanceState], set[Transition]]:
    """Return, for each pair of states before and after, the transitions that lead there."""
    moves: dict[tuple[IssuanceState | None, IssuanceState], set[Transition]] = {}
    for transition, rule in RULES.items():
        for move in rule.moves():
            moves.setdefault(move, set()).add(transition)
    return moves
