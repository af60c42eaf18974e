"""The transitions of an issuance: what the database lets through, and what its history then has; on both engines."""

from itertools import product
from typing import Any

import pytest
from sqlalchemy import Connection, true, update
from sqlalchemy.exc import IntegrityError

from models.database import Database
from models.ledger import transitions
from models.ledger.history import IssuanceTransition
from models.ledger.tables import BadgeIssuance
from models.tables import table
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from rules.ledger.transitions import RULES, Transition, legal_moves
from tests.support.factories import NOW, an_issuance, do, rows_of, the_row_of

issuances = table(BadgeIssuance)
_OF_STATE: dict[IssuanceState, dict[str, Any]] = {
    IssuanceState.ISSUING: {"claim": "run-1", "lease_until": NOW},
    IssuanceState.ISSUED: {"recorded_at": NOW, "credly_badge_id": "badge-1"},
    IssuanceState.BLOCKED: {"reason": Reason.TOKEN_REFUSED},
    IssuanceState.FAILED: {"reason": Reason.NAME_MISSING},
    IssuanceState.CANCELLED: {"reason": Reason.INTEGRATION_REMOVED},
}
_NONE: dict[str, Any] = dict.fromkeys(("claim", "lease_until", "recorded_at", "credly_badge_id", "reason"))


async def changed(database: Database, transition: str, target: IssuanceState, *, named: bool = True) -> None:
    """As a statement that is not Laurel's own would."""
    name = {"transition": transition, "moves": issuances.c.moves + 1} if named else {}
    await do(database, update(issuances).values(_NONE | _OF_STATE.get(target, {}) | {"state": target} | name))


@pytest.mark.parametrize("source", IssuanceState)
async def test_the_database_refuses_every_transition_that_the_rules_do_not_have(
    database: Database, source: IssuanceState
) -> None:
    legal = legal_moves()
    wrong = []
    for transition, target in product([*RULES], IssuanceState):
        if transition in (Transition.CLAIM, Transition.RELEASE, Transition.UNKNOWN):
            continue
        await do(database, table(IssuanceTransition).delete())
        await do(database, issuances.delete())
        await an_issuance(database, state=source)
        try:
            await changed(database, transition, target)
        except IntegrityError:
            passed = False
        else:
            passed = True
        unseen = (source, target) == (IssuanceState.PENDING, IssuanceState.ISSUING)  # a claim, which is no history
        if passed != (unseen or transition in legal.get((source, target), ())):
            wrong.append((transition, target, passed))

    assert wrong == []


async def test_what_is_changed_without_a_name_is_in_the_history_as_not_known(database: Database) -> None:
    """By a worker of an earlier version, or in SQL; a move that no transition makes is refused then as well."""
    await an_issuance(database)

    await changed(database, "", IssuanceState.BLOCKED, named=False)
    with pytest.raises(IntegrityError):
        await changed(database, "", IssuanceState.ISSUING, named=False)

    (entered, blocked) = await rows_of(database, IssuanceTransition)
    assert (entered.transition, entered.from_state) == (Transition.UNKNOWN, None)
    assert (blocked.transition, blocked.from_state, blocked.to_state) == (Transition.UNKNOWN, "pending", "blocked")


async def test_a_transition_leaves_rows_alone_that_it_does_not_lead_from(database: Database) -> None:
    await an_issuance(database, state=IssuanceState.ISSUED)
    before = await the_row_of(database, BadgeIssuance)

    def cancel(connection: Connection) -> int:
        return transitions.move(connection, Transition.CANCEL, true(), now=NOW, reason=Reason.INTEGRATION_REMOVED)

    assert await database.write(cancel) == 0
    assert await the_row_of(database, BadgeIssuance) == before


async def test_a_transition_is_in_the_history_with_its_run_and_reason(database: Database) -> None:
    await an_issuance(database)
    database.flow_run = lambda: "run-7"

    def block(connection: Connection) -> int:
        return transitions.move(connection, Transition.BLOCK, true(), now=NOW, reason=Reason.TOKEN_REFUSED)

    await database.write(block)

    entry = (await rows_of(database, IssuanceTransition))[-1]
    row = await the_row_of(database, BadgeIssuance)
    assert (entry.transition, entry.from_state, entry.to_state) == ("block", "pending", "blocked")
    assert (entry.reason, entry.flow_run_id, entry.at) == ("token_refused", "run-7", NOW)
    assert (row.state, row.transition, row.moves, row.flow_run_id) == ("blocked", "block", 1, "run-7")


def test_a_transition_that_leads_to_several_states_has_to_be_told_which() -> None:
    with pytest.raises(ValueError, match="leads to one of"):
        transitions._statement(Transition.REVIVE, None)
    with pytest.raises(ValueError, match="leads to one of"):
        transitions._statement(Transition.CANCEL, IssuanceState.ISSUED)
