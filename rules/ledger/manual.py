"""Decides on a manual issue. It uses the rows of planning, whether the integration covers the award or not."""

from rules.ledger.eligibility import Action, Award, Decision, Ground, Issuance, Pair, transfer
from rules.ledger.states import IssuanceState
from rules.ledger.withdrawal import lost_its_award


def row_for(pair: Pair) -> Issuance | None:
    """Return the row of the requested badge, if there is one."""
    # A row with a badge comes first, whatever its template and even if it is to be replaced: nobody gets a second badge
    # for the same achievement.
    candidates = [row for row in pair.rows if row.is_made or not row.former]
    return min(candidates, key=lambda row: (not row.is_made, row.former, row.issuance_id), default=None)


def award_for(pair: Pair, row: Issuance | None) -> Award | None:
    """Return the award that the badge is issued for: the row's, unless it is withdrawn, else the first valid one."""
    of_row = [award for award in pair.valid_awards if row is not None and award.award_id == row.award_id]
    return next(iter([*of_row, *pair.valid_awards]), None)


def keeps_its_moment(pair: Pair, row: Issuance) -> bool:
    """Whether a row without a valid award keeps its moment: not if the award that it has was withdrawn."""
    return row.award_id is None or not lost_its_award(pair, row)


def decide_manual(pair: Pair, badge_template_id: str, *, replace: bool) -> Decision:
    """Return what happens with the row; an issued badge stays unless `replace` is set."""
    row, pending = row_for(pair), IssuanceState.PENDING
    award = award_for(pair, row)
    if row is None and pair.moved is not None and pair.moved.state is not IssuanceState.CANCELLED:
        return transfer(pair.moved)
    if row is None:
        return Decision(
            action=Action.ENQUEUE,
            ground=Ground.ASKED_FOR,
            award=award,
            state=pending,
            badge_template_id=badge_template_id,
        )
    if row.state is IssuanceState.CANCELLED and pair.moved is not None and pair.moved.is_made:
        return Decision(action=Action.NOTHING, ground=Ground.AWARD_MOVED, row=row, award=award)
    if row.state is IssuanceState.ISSUING or (row.state is IssuanceState.ISSUED and not replace):
        return Decision(action=Action.NOTHING, ground=Ground.AS_IT_IS, row=row, award=award)
    return Decision(
        action=Action.REPLACE if row.state is IssuanceState.ISSUED else Action.REVIVE,
        ground=Ground.ASKED_FOR,
        row=row,
        award=award,
        state=pending,
        # An outstanding call is looked up with the template that it was made for.
        badge_template_id=row.badge_template_id if row.outstanding else badge_template_id,
    )
