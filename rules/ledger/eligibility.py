"""What is to happen with one user and one achievement: decided from awards, settings and ledger, without a database.

Planning, the sweep, the preview, `issue-badge` and `explain` ask this module and nothing else. docs/decisions/0011 says
why; tests/unit/test_eligibility.py has the table of cases.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from rules.reasons import Reason
from rules.states import IssuanceState, Origin

OPEN = frozenset({IssuanceState.PENDING, IssuanceState.BLOCKED, IssuanceState.FAILED})
_PLANNED = frozenset({IssuanceState.PENDING, IssuanceState.BLOCKED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Award:
    """An award on the platform. `withdrawn`: the moment of its withdrawal has come.

    `withdrawn_at` is None as well where the platform has a moment that Python has not.
    """

    award_id: str
    awarded_at: datetime
    withdrawn: bool = False
    withdrawn_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """What of an integration decides: its template, the moment from which it covers awards, what a later one does."""

    badge_template_id: str
    covers_from: datetime
    replaces: bool = False


@dataclass(frozen=True, kw_only=True)
class Issuance:
    """What of a row of the ledger decides."""

    issuance_id: int
    badge_template_id: str
    portal_id: str
    state: IssuanceState
    origin: Origin = Origin.AWARD
    reason: Reason | None = None
    award_id: str | None = None
    awarded_at: datetime | None = None
    credly_badge_id: str | None = None
    replaces_badge_id: str | None = None

    @property
    def is_made(self) -> bool:
        """Whether a badge may exist: it was issued, is being issued, or is to be replaced."""
        made = (IssuanceState.ISSUED, IssuanceState.ISSUING)
        return self.state in made or self.replaces_badge_id is not None


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A user and an achievement: the awards, the oldest first, the ledger's rows, and what is set up.

    `portal_id` is None where the platform has no such achievement. `deletions_count` names the portals in which an
    award whose row is gone counts as withdrawn.
    """

    awards: Sequence[Award] = ()
    rows: Sequence[Issuance] = ()
    portal_id: str | None = None
    coverage: Coverage | None = None
    connected: Collection[str] = field(default=frozenset(), repr=False)
    deletions_count: Collection[str] = field(default=frozenset(), repr=False)

    @property
    def valid_awards(self) -> list[Award]:
        """The awards that are not withdrawn."""
        return [award for award in self.awards if not award.withdrawn]

    @property
    def covered_awards(self) -> list[Award]:
        """The awards that the present integration covers, of those that are not withdrawn."""
        if self.coverage is None:
            return []
        return [award for award in self.valid_awards if award.awarded_at >= self.coverage.covers_from]

    def is_of_present_template(self, row: Issuance) -> bool:
        """Whether the integration would issue this row."""
        return self.coverage is not None and row.badge_template_id == self.coverage.badge_template_id


class Action(StrEnum):
    """What happens to an issuance, or to a pair that has none."""

    NOTHING = "nothing"
    ENQUEUE = "enqueue"  # a new row
    WAIT = "wait"
    REVIVE = "revive"  # a cancelled row becomes due again
    REPLACE = "replace"  # an issued badge is to be issued again in its place
    RESTORE = "restore"  # a badge that was to be replaced stays as it is
    CANCEL = "cancel"
    BLOCK = "block"
    UNBLOCK = "unblock"


class Ground(StrEnum):
    """Why."""

    NO_AWARD = "no_award"
    AWARD_WITHDRAWN = "award_withdrawn"
    NOT_ENABLED = "not_enabled"
    BEFORE_COVERAGE = "before_coverage"
    AWARDED = "awarded"
    AWARDED_IN_FUTURE = "awarded_in_future"
    AWARDED_AGAIN = "awarded_again"
    INTEGRATION_REMOVED = "integration_removed"
    NOT_CONNECTED = "not_connected"
    CONNECTED = "connected"
    ANOTHER_ROW = "another_row"
    ASKED_FOR = "asked_for"  # by a person
    AS_IT_IS = "as_it_is"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What is to happen, and why; with the row that changes and the award that it is then for.

    `state` and `reason` are those of the row afterwards, where the action gives it some.
    """

    action: Action
    ground: Ground
    row: Issuance | None = None
    award: Award | None = None
    state: IssuanceState | None = None
    reason: Reason | None = None

    @property
    def changes(self) -> bool:
        """Whether the ledger changes."""
        return self.action not in (Action.NOTHING, Action.WAIT)


def decide(pair: Pair, *, now: datetime) -> list[Decision]:
    """Return what is to happen with each row of the pair, and with the pair where it has none. `now` is UTC.

    Nothing is decided on a row that a run holds (`issuing`): what its call makes is settled first. A row of an
    earlier template counts: nobody gets a second badge for an achievement whose template has changed.
    """
    decided = {row.issuance_id: _of_row(pair, row, now) for row in pair.rows}
    active = [row for row in pair.rows if _is_active(decided[row.issuance_id])]
    if active:
        return [_beside_another(each, active) for each in decided.values()]
    of_present_template = any(pair.is_of_present_template(row) for row in pair.rows)
    return [*decided.values(), *([] if of_present_template else [_of_new(pair, now)])]


def _is_active(decision: Decision) -> bool:
    """Whether a row is there afterwards that is not cancelled; one that is only to be revived does not count."""
    if decision.row is None or decision.action in (Action.CANCEL, Action.REVIVE):
        return False
    return decision.row.state is not IssuanceState.CANCELLED or decision.action is Action.RESTORE


def _beside_another(decision: Decision, active: Sequence[Issuance]) -> Decision:
    row = decision.row
    if row is None or row.state is not IssuanceState.CANCELLED or row in active:
        return decision
    return Decision(action=Action.NOTHING, ground=Ground.ANOTHER_ROW, row=row)


def _of_new(pair: Pair, now: datetime) -> Decision:
    if not pair.covered_awards or pair.portal_id is None:
        return Decision(action=Action.NOTHING, ground=_why_not_covered(pair))
    award = pair.covered_awards[0]
    state, reason = _begins(pair, pair.portal_id, award.awarded_at, now)
    ground = Ground.AWARDED_IN_FUTURE if award.awarded_at > now else Ground.AWARDED
    return Decision(action=Action.ENQUEUE, ground=ground, award=award, state=state, reason=reason)


def _why_not_covered(pair: Pair) -> Ground:
    if not pair.valid_awards:
        return Ground.AWARD_WITHDRAWN if pair.awards else Ground.NO_AWARD
    return Ground.NOT_ENABLED if pair.coverage is None else Ground.BEFORE_COVERAGE


def _begins(pair: Pair, portal_id: str, moment: datetime | None, now: datetime) -> tuple[IssuanceState, Reason | None]:
    """Return state and reason of what is to be issued for an award of this moment."""
    if portal_id not in pair.connected:
        return IssuanceState.BLOCKED, Reason.PORTAL_NOT_CONNECTED
    future = moment is not None and moment > now
    return IssuanceState.PENDING, Reason.AWARDED_IN_FUTURE if future else None


def _of_row(pair: Pair, row: Issuance, now: datetime) -> Decision:
    if row.state is IssuanceState.CANCELLED:
        return _of_cancelled(pair, row, now)
    if row.state is IssuanceState.ISSUED:
        return _of_issued(pair, row, now)
    if row.state in OPEN:
        return _of_open(pair, row, now)
    return Decision(action=Action.NOTHING, ground=Ground.AS_IT_IS, row=row)


def _of_cancelled(pair: Pair, row: Issuance, now: datetime) -> Decision:
    if row.replaces_badge_id is not None:
        return _restore(row, Ground.AS_IT_IS)
    if not pair.is_of_present_template(row) or not pair.covered_awards:
        return Decision(action=Action.NOTHING, ground=_why_not_covered(pair), row=row)
    award = pair.covered_awards[0]
    state, reason = _begins(pair, row.portal_id, award.awarded_at, now)
    ground = Ground.AWARDED_IN_FUTURE if award.awarded_at > now else Ground.AWARDED_AGAIN
    return Decision(action=Action.REVIVE, ground=ground, row=row, award=award, state=state, reason=reason)


def _of_issued(pair: Pair, row: Issuance, now: datetime) -> Decision:
    if pair.coverage is not None and pair.coverage.replaces and pair.is_of_present_template(row):
        before = row.awarded_at or now
        later = [award for award in pair.covered_awards if before < award.awarded_at <= now]
        if later:
            award = max(later, key=lambda each: each.awarded_at)  # the first of those of that moment
            pending = IssuanceState.PENDING
            return Decision(action=Action.REPLACE, ground=Ground.AWARDED_AGAIN, row=row, award=award, state=pending)
    return Decision(action=Action.NOTHING, ground=Ground.AS_IT_IS, row=row)


def _of_open(pair: Pair, row: Issuance, now: datetime) -> Decision:
    withdrawn, present = is_withdrawn(pair, row), pair.is_of_present_template(row)
    if row.replaces_badge_id is not None and (withdrawn or not present):
        return _restore(row, Ground.AWARD_WITHDRAWN if withdrawn else Ground.INTEGRATION_REMOVED)
    if withdrawn:
        return _cancel(row, Ground.AWARD_WITHDRAWN, Reason.AWARD_WITHDRAWN)
    if row.state not in _PLANNED:
        return Decision(action=Action.NOTHING, ground=Ground.AS_IT_IS, row=row)
    if not present:
        return _cancel(row, Ground.INTEGRATION_REMOVED, Reason.INTEGRATION_REMOVED)
    state, reason = _begins(pair, row.portal_id, row.awarded_at, now)
    if row.state is IssuanceState.PENDING:
        if state is IssuanceState.BLOCKED:
            return Decision(action=Action.BLOCK, ground=Ground.NOT_CONNECTED, row=row, state=state, reason=reason)
        return Decision(action=Action.WAIT, ground=Ground.AS_IT_IS, row=row)
    if row.reason is Reason.PORTAL_NOT_CONNECTED and state is IssuanceState.PENDING:
        return Decision(action=Action.UNBLOCK, ground=Ground.CONNECTED, row=row, state=state, reason=reason)
    return Decision(action=Action.WAIT, ground=Ground.AS_IT_IS, row=row)


def settings_contradict(
    coverage: Coverage | None,
    *,
    badge_template_id: str,
    state: str,
    reason: str | None,
    connected: bool,
    to_be_replaced: bool,
) -> bool:
    """Say whether settings alone change an open row, whatever its awards: what `decide` says without reading those.

    A sweep asks it of 50 000 rows, and reads whole only those of which this is so or whose users hold no valid award.
    """
    present = coverage is not None and coverage.badge_template_id == badge_template_id
    if state == IssuanceState.FAILED:
        return to_be_replaced and not present
    if not present:
        return True
    return not connected if state == IssuanceState.PENDING else connected and reason == Reason.PORTAL_NOT_CONNECTED


def _restore(row: Issuance, ground: Ground) -> Decision:
    return Decision(action=Action.RESTORE, ground=ground, row=row, state=IssuanceState.ISSUED)


def _cancel(row: Issuance, ground: Ground, reason: Reason) -> Decision:
    return Decision(action=Action.CANCEL, ground=ground, row=row, state=IssuanceState.CANCELLED, reason=reason)


def is_withdrawn(pair: Pair, row: Issuance) -> bool:
    """Say whether a row was entered for an award that is withdrawn, and the user holds no other of the achievement."""
    return row.origin is Origin.AWARD and not pair.valid_awards and lost_its_award(pair, row)


def lost_its_award(pair: Pair, row: Issuance) -> bool:
    """Say whether the award that a row names is withdrawn, or gone where that counts, whoever asked for the badge."""
    return row.portal_id in pair.deletions_count or _own_is_withdrawn(pair, row)


def is_missing(pair: Pair, row: Issuance) -> bool:
    """Say whether the platform has no row of the award that an issuance was entered for, nor of another one."""
    return row.origin is Origin.AWARD and not pair.valid_awards and not _own_is_withdrawn(pair, row)


def _own_is_withdrawn(pair: Pair, row: Issuance) -> bool:
    # By its moment as well: a platform that loads its awards again may give them other ids.
    return any(
        award.withdrawn and (row.award_id in (None, award.award_id) or row.awarded_at == award.awarded_at)
        for award in pair.awards
    )
