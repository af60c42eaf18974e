"""Decides what happens with one user and one achievement, from awards, settings and ledger, without a database.

The one source of this decision for planning, the sweep, the preview, `issue-badge` and `explain`. The reason is in
docs/decisions/0011; tests/unit/test_eligibility.py has the table of cases.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from rules.badge.names import is_corrected
from rules.ledger.reasons import MOMENT_REASONS, Reason
from rules.ledger.states import QUEUED, IssuanceState, Origin, is_ahead
from rules.ledger.withdrawal import is_withdrawn, lost_its_award

OPEN = frozenset({IssuanceState.PENDING, IssuanceState.BLOCKED, IssuanceState.FAILED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Award:
    """An award on the platform. `withdrawn`: the moment of its withdrawal has come.

    `withdrawn_at` is None as well where the platform's moment is outside Python's range.
    """

    award_id: str
    awarded_at: datetime
    withdrawn: bool = False
    withdrawn_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """The settings of an integration that decide: its template, and which awards it covers.

    `replaces`: a later award replaces the badge. `follows_names`: a corrected name does.
    """

    badge_template_id: str
    covers_from: datetime
    replaces: bool = False
    follows_names: bool = False


@dataclass(frozen=True, kw_only=True)
class Issuance:
    """The fields of a row of the ledger that decide.

    `outstanding`: a call for it was made whose outcome is not known. `former`: a row of an earlier template, from when
    a pair had one for each; it is not sent any more.
    """

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
    name_digest: str | None = field(default=None, repr=False)
    outstanding: bool = False
    former: bool = False

    @property
    def is_made(self) -> bool:
        """Whether a badge may exist: it was issued, is being issued, or is to be replaced."""
        made = (IssuanceState.ISSUED, IssuanceState.ISSUING)
        return self.state in made or self.replaces_badge_id is not None


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A user and an achievement: the awards, the oldest first, the rows of the ledger, and the settings.

    `portal_id` is None where the platform has no such achievement. `deleted` are the ids of the issuances whose award
    has no row on the platform any more, where that counts as a withdrawal. `moved` is another user's row for the award
    that this user holds now: the platform has merged two accounts. `names` are digests of the user's present name by
    issuance, where it was read.
    """

    awards: Sequence[Award] = ()
    rows: Sequence[Issuance] = ()
    portal_id: str | None = None
    coverage: Coverage | None = None
    connected: Collection[str] = field(default=frozenset(), repr=False)
    deleted: Collection[int] = field(default=frozenset(), repr=False)
    moved: Issuance | None = None
    names: Mapping[int, str] = field(default_factory=dict, repr=False)

    @property
    def valid_awards(self) -> list[Award]:
        return [award for award in self.awards if not award.withdrawn]

    @property
    def covered_awards(self) -> list[Award]:
        if self.coverage is None:
            return []
        return [award for award in self.valid_awards if award.awarded_at >= self.coverage.covers_from]

    def is_of_present_template(self, row: Issuance) -> bool:
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
    RETRY = "retry"
    CHANGE_TEMPLATE = "change_template"
    CHANGE_PORTAL = "change_portal"
    TRANSFER = "transfer"  # another user's row becomes this user's
    REDATE = "redate"  # the award's moment was corrected


BEGINNING = (Action.ENQUEUE, Action.REVIVE)  # unless the award is another user's row


class Ground(StrEnum):
    """The ground of a decision."""

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
    OUTSTANDING = "outstanding"
    NEW_TEMPLATE = "new_template"
    NEW_PORTAL = "new_portal"  # the platform moved the achievement
    AWARD_MOVED = "award_moved"
    AWARD_REDATED = "award_redated"
    NAME_CORRECTED = "name_corrected"
    ASKED_FOR = "asked_for"  # by an operator
    AS_IT_IS = "as_it_is"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """An action and its ground, with the row that changes and the award that it is for afterwards.

    `state`, `reason`, `badge_template_id` and `portal_id` are those of the row afterwards, where the action gives it
    some.
    """

    action: Action
    ground: Ground
    row: Issuance | None = None
    award: Award | None = None
    state: IssuanceState | None = None
    reason: Reason | None = None
    badge_template_id: str | None = None
    portal_id: str | None = None

    @property
    def changes(self) -> bool:
        return self.action not in (Action.NOTHING, Action.WAIT)


def decide(pair: Pair, *, now: datetime) -> list[Decision]:
    """Return what is to happen with each row of the pair, and with the pair where it has none. `now` is UTC.

    A badge of an earlier template counts: nobody gets a second badge for an achievement whose template has changed.
    """
    # Nothing changes on a row that a run holds (`issuing`) or whose call is outstanding. The call is looked up first,
    # with the template and the organization that it was made for.
    decided = [_of_former(row) if row.former else _at_present_portal(pair, row, now) for row in pair.rows]
    formers = [row for row in pair.rows if row.former and (row.is_made or row.outstanding)]
    # One badge for a pair: beside a badge of an earlier template no other row is revived or added.
    if formers:
        decided = [_beside_another(each) for each in decided]
    elif not any(not row.former for row in pair.rows):
        decided.append(_of_new(pair, now))
    return decided


def _of_former(row: Issuance) -> Decision:
    if row.outstanding and row.state in OPEN:
        return _looked_up_first(row)
    if row.replaces_badge_id is not None and not row.outstanding and row.state in (*OPEN, IssuanceState.CANCELLED):
        return _restore(row, Ground.ANOTHER_ROW)
    if row.state in QUEUED:
        return _cancel(row, Ground.ANOTHER_ROW, Reason.INTEGRATION_REMOVED)
    return Decision(action=Action.NOTHING, ground=Ground.AS_IT_IS, row=row)


def _beside_another(decision: Decision) -> Decision:
    if decision.action is not Action.REVIVE:
        return decision
    return Decision(action=Action.NOTHING, ground=Ground.ANOTHER_ROW, row=decision.row)


def _of_new(pair: Pair, now: datetime) -> Decision:
    if not pair.covered_awards or pair.portal_id is None:
        return Decision(action=Action.NOTHING, ground=_why_not_covered(pair))
    award = pair.covered_awards[0]
    # The platform merged two accounts: a new row beside the moved one would issue the badge twice.
    if pair.moved is not None and pair.moved.state is not IssuanceState.CANCELLED:
        return transfer(pair.moved)
    state, reason = _first_state(pair, pair.portal_id, award.awarded_at, now)
    ground = Ground.AWARDED_IN_FUTURE if is_ahead(award.awarded_at, now) else Ground.AWARDED
    template = pair.coverage.badge_template_id if pair.coverage else None
    return Decision(
        action=Action.ENQUEUE, ground=ground, award=award, state=state, reason=reason, badge_template_id=template
    )


def transfer(moved: Issuance) -> Decision:
    """Return what happens with another user's row whose award this user now holds."""
    if moved.outstanding and moved.state is IssuanceState.FAILED:
        pending = IssuanceState.PENDING
        return Decision(action=Action.RETRY, ground=Ground.OUTSTANDING, row=moved, state=pending)
    if moved.outstanding or moved.state is IssuanceState.ISSUING:
        return Decision(action=Action.WAIT, ground=Ground.OUTSTANDING)
    return Decision(
        action=Action.TRANSFER,
        ground=Ground.AWARD_MOVED,
        row=moved,
        state=moved.state,
        reason=moved.reason,
        badge_template_id=moved.badge_template_id,
    )


def _why_not_covered(pair: Pair) -> Ground:
    if not pair.valid_awards:
        return Ground.AWARD_WITHDRAWN if pair.awards else Ground.NO_AWARD
    return Ground.NOT_ENABLED if pair.coverage is None else Ground.BEFORE_COVERAGE


def _first_state(
    pair: Pair, portal_id: str, moment: datetime | None, now: datetime
) -> tuple[IssuanceState, Reason | None]:
    if portal_id not in pair.connected:
        return IssuanceState.BLOCKED, Reason.PORTAL_NOT_CONNECTED
    future = moment is not None and is_ahead(moment, now)
    return IssuanceState.PENDING, Reason.AWARDED_IN_FUTURE if future else None


def follows_portal(row: Issuance, portal_id: str | None) -> bool:
    """Whether a row belongs to this portal, its achievement's, from now on: one that was sent stays where it is."""
    return portal_id not in (None, row.portal_id) and not (row.outstanding or row.is_made)


def _at_present_portal(pair: Pair, row: Issuance, now: datetime) -> Decision:
    if pair.coverage is None or pair.portal_id is None or not follows_portal(row, pair.portal_id):
        return _of_row(pair, row, now)
    decision = replace(_of_row(pair, replace(row, portal_id=pair.portal_id), now), row=row)
    if decision.changes and decision.action is not Action.CANCEL:
        return replace(decision, portal_id=pair.portal_id)
    if decision.changes or row.state is IssuanceState.CANCELLED:
        return decision
    return Decision(
        action=Action.CHANGE_PORTAL,
        ground=Ground.NEW_PORTAL,
        row=row,
        state=row.state,
        reason=row.reason,
        portal_id=pair.portal_id,
    )


def _of_row(pair: Pair, row: Issuance, now: datetime) -> Decision:
    if row.state is IssuanceState.CANCELLED:
        return _of_cancelled(pair, row, now)
    if row.state is IssuanceState.ISSUED:
        return _of_issued(pair, row, now)
    if row.state in OPEN:
        return _of_open(pair, row, now)
    return Decision(action=Action.NOTHING, ground=Ground.AS_IT_IS, row=row)


def _of_cancelled(pair: Pair, row: Issuance, now: datetime) -> Decision:
    if row.replaces_badge_id is not None and not row.outstanding:
        return _restore(row, Ground.AS_IT_IS)
    if pair.coverage is None or not pair.covered_awards:
        return Decision(action=Action.NOTHING, ground=_why_not_covered(pair), row=row)
    if pair.moved is not None and pair.moved.state is not IssuanceState.CANCELLED:
        return Decision(action=Action.NOTHING, ground=Ground.AWARD_MOVED, row=row)
    award = pair.covered_awards[0]
    state, reason = _first_state(pair, row.portal_id, award.awarded_at, now)
    ground = Ground.AWARDED_IN_FUTURE if is_ahead(award.awarded_at, now) else Ground.AWARDED_AGAIN
    if row.outstanding and state is IssuanceState.BLOCKED:  # looked up first, where the call went to
        state, reason, ground = IssuanceState.PENDING, None, Ground.OUTSTANDING
    return Decision(
        action=Action.REVIVE,
        ground=ground,
        row=row,
        award=award,
        state=state,
        reason=reason,
        badge_template_id=row.badge_template_id if row.outstanding else pair.coverage.badge_template_id,
    )


def _of_issued(pair: Pair, row: Issuance, now: datetime) -> Decision:
    if pair.coverage is not None and pair.coverage.replaces and pair.is_of_present_template(row):
        before = row.awarded_at or now
        later = [award for award in pair.covered_awards if before < award.awarded_at <= now]
        if later:
            award = max(later, key=lambda each: each.awarded_at)  # of several at that moment the first
            pending = IssuanceState.PENDING
            return Decision(action=Action.REPLACE, ground=Ground.AWARDED_AGAIN, row=row, award=award, state=pending)
    if _shows_another_name(pair, row):
        ground, reason = Ground.NAME_CORRECTED, Reason.NAME_CORRECTED
        return Decision(action=Action.REPLACE, ground=ground, row=row, state=IssuanceState.PENDING, reason=reason)
    return Decision(action=Action.NOTHING, ground=Ground.AS_IT_IS, row=row)


def _shows_another_name(pair: Pair, row: Issuance) -> bool:
    # Only if the replacement could be issued: otherwise the badge would be restored and found again in every round.
    follows = pair.coverage is not None and pair.coverage.follows_names and pair.is_of_present_template(row)
    if not follows or row.portal_id not in pair.connected or lost_its_award(pair, row):
        return False
    return is_corrected(row.name_digest, pair.names.get(row.issuance_id))


def _of_open(pair: Pair, row: Issuance, now: datetime) -> Decision:
    if row.outstanding:
        return _looked_up_first(row)
    withdrawn = is_withdrawn(pair, row)
    if row.replaces_badge_id is not None and (withdrawn or not pair.is_of_present_template(row)):
        return _restore(row, Ground.AWARD_WITHDRAWN if withdrawn else Ground.INTEGRATION_REMOVED)
    if withdrawn:
        return _cancel(row, Ground.AWARD_WITHDRAWN, Reason.AWARD_WITHDRAWN)
    if row.reason is Reason.NAME_CORRECTED and pair.coverage is not None and not pair.coverage.follows_names:
        return _restore(row, Ground.AS_IT_IS)
    # Failed rows stay: their reason is shown to operators, and enabling again may correct it.
    if row.state in QUEUED and pair.coverage is None:
        return _cancel(row, Ground.INTEGRATION_REMOVED, Reason.INTEGRATION_REMOVED)
    stays = Decision(action=Action.NOTHING, ground=Ground.AS_IT_IS, row=row)
    decision = _of_waiting(pair, row, now) if row.state in QUEUED else stays
    decision = _with_present_template(pair, row, decision)
    return decision if decision.changes else _with_moment_of_award(pair, row, decision)


def _with_moment_of_award(pair: Pair, row: Issuance, decision: Decision) -> Decision:
    award = next((each for each in pair.valid_awards if each.award_id == row.award_id), None)
    if row.reason not in MOMENT_REASONS or award is None or award.awarded_at == row.awarded_at:
        return decision
    ground = Ground.AWARD_REDATED
    return Decision(action=Action.REDATE, ground=ground, row=row, award=award, state=row.state, reason=row.reason)


def _with_present_template(pair: Pair, row: Issuance, decision: Decision) -> Decision:
    if pair.coverage is None or pair.is_of_present_template(row):
        return decision
    template = pair.coverage.badge_template_id
    if decision.changes:
        return replace(decision, badge_template_id=template)
    return Decision(
        action=Action.CHANGE_TEMPLATE,
        ground=Ground.NEW_TEMPLATE,
        row=row,
        state=row.state,
        reason=row.reason,
        badge_template_id=template,
    )


def _of_waiting(pair: Pair, row: Issuance, now: datetime) -> Decision:
    state, reason = _first_state(pair, row.portal_id, row.awarded_at, now)
    if row.state is IssuanceState.PENDING and state is IssuanceState.BLOCKED:
        return Decision(action=Action.BLOCK, ground=Ground.NOT_CONNECTED, row=row, state=state, reason=reason)
    if row.reason is Reason.PORTAL_NOT_CONNECTED and state is IssuanceState.PENDING:
        return Decision(action=Action.UNBLOCK, ground=Ground.CONNECTED, row=row, state=state, reason=reason)
    return Decision(action=Action.WAIT, ground=Ground.AS_IT_IS, row=row)


def _looked_up_first(row: Issuance) -> Decision:
    # Even if the portal is no longer connected: the call went to the organization that is kept with it.
    if row.state is IssuanceState.BLOCKED and row.reason is Reason.PORTAL_NOT_CONNECTED:
        pending = IssuanceState.PENDING
        return Decision(action=Action.UNBLOCK, ground=Ground.OUTSTANDING, row=row, state=pending)
    waits = row.state in QUEUED
    return Decision(action=Action.WAIT if waits else Action.NOTHING, ground=Ground.OUTSTANDING, row=row)


def _restore(row: Issuance, ground: Ground) -> Decision:
    return Decision(action=Action.RESTORE, ground=ground, row=row, state=IssuanceState.ISSUED)


def _cancel(row: Issuance, ground: Ground, reason: Reason) -> Decision:
    return Decision(action=Action.CANCEL, ground=ground, row=row, state=IssuanceState.CANCELLED, reason=reason)
