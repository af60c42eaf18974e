"""Writing what was decided on pairs: new rows, and rows that change. The decisions are made on what is stored then."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from models.ledger.erasure import erased_digests
from models.ledger.tables import BadgeIssuance
from models.ledger.transitions import move_each, new_row
from models.planning.pairs import Setup, held_again, rows_of, set_aside, setup_of
from models.platform.awards import Key
from models.tables import table
from rules.erasure import is_erased
from rules.ledger.eligibility import Action, Award, Decision, Issuance, Pair, decide
from rules.ledger.transitions import Transition
from rules.states import IssuanceState, Origin

issuances = table(BadgeIssuance)
_ROWS_AT_ONCE = 500
_BEGINS = (IssuanceState.PENDING, IssuanceState.BLOCKED)


@dataclass(frozen=True, kw_only=True)
class PlanCounts:
    """How many issuances planning entered, took up again, cancelled and unblocked."""

    entered: int = 0
    taken_up_again: int = 0
    cancelled: int = 0
    unblocked: int = 0

    def __add__(self, other: "PlanCounts") -> "PlanCounts":
        return PlanCounts(**{name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True)
class OfPlatform:
    """What the platform has of some pairs: their awards, and the portal of each achievement."""

    awards: Mapping[Key, Sequence[Award]]
    portals: Mapping[str, str]


def pairs_of(
    rows: Mapping[Key, Sequence[Issuance]], of_platform: OfPlatform, setup: Setup, *, deleted: Collection[int]
) -> dict[Key, Pair]:
    """Put together what platform and ledger have of each pair."""
    return {
        key: Pair(
            awards=of_platform.awards.get(key, ()),
            rows=of_key,
            portal_id=of_platform.portals.get(key[0]),
            coverage=setup.coverages.get(key[0]),
            connected=setup.connected,
            deleted=deleted,
        )
        for key, of_key in rows.items()
    }


def apply_decisions(
    connection: Connection,
    keys: Collection[Key],
    of_platform: OfPlatform,
    *,
    deleted: Collection[int],
    moved: Mapping[Key, Issuance],
    now: datetime,
) -> PlanCounts:
    """Decide on these pairs by what the ledger has in this transaction, and write it; return what changed."""
    setup = setup_of(connection, {achievement_id for achievement_id, _ in keys})
    rows = rows_of(connection, sorted(keys), held=True)
    erased = erased_digests(connection)  # read after the rows are held: an erasure waits for that, or is seen here
    rows = {key: of_key for key, of_key in rows.items() if not is_erased(key[1], erased)}
    pairs = pairs_of(rows, of_platform, setup, deleted=deleted)
    pairs |= {key: replace(pairs[key], moved=row) for key, row in held_again(connection, moved).items() if key in pairs}
    decided = _decisions(pairs, now)
    set_aside(connection, [(pairs[key], each) for key, each in decided if each.badge_template_id is not None])
    entered = _enter(connection, [(key, each) for key, each in decided if each.action is Action.ENQUEUE], pairs, now)
    alike: dict[tuple[Transition, IssuanceState | None, bool], list[tuple[int, dict[str, Any]]]] = {}
    for key, each in decided:
        if each.row is not None:
            state = None if each.action in _AS_IT_IS else each.state
            which = _TRANSITIONS[each.action], state, each.badge_template_id is not None
            alike.setdefault(which, []).append((each.row.issuance_id, _values(key, each, now)))
    for (transition, state, _), changed in alike.items():
        move_each(connection, transition, changed, now=now, to=state)
    count = Counter(each.action for _, each in decided)
    return PlanCounts(
        entered=entered,
        taken_up_again=count[Action.REVIVE] + count[Action.REPLACE],
        cancelled=count[Action.CANCEL],
        unblocked=count[Action.UNBLOCK],
    )


_TRANSITIONS = {
    Action.REVIVE: Transition.REVIVE,
    Action.REPLACE: Transition.REPLACE,
    Action.RESTORE: Transition.RESTORE,
    Action.CANCEL: Transition.CANCEL,
    Action.BLOCK: Transition.BLOCK,
    Action.UNBLOCK: Transition.UNBLOCK,
    Action.RETRY: Transition.RETRY,
    Action.CHANGE_TEMPLATE: Transition.CHANGE_TEMPLATE,
    Action.TRANSFER: Transition.TRANSFER,
}
_AS_IT_IS = (Action.CHANGE_TEMPLATE, Action.TRANSFER)


def _decisions(pairs: Mapping[Key, Pair], now: datetime) -> list[tuple[Key, Decision]]:
    return [(key, each) for key, pair in pairs.items() for each in decide(pair, now=now) if each.changes]


def _values(key: Key, decision: Decision, now: datetime) -> dict[str, Any]:
    """Return what a row has afterwards, besides what its transition sets."""
    award = decision.award
    match decision.action:
        case Action.RESTORE:
            return {"recorded_at": now}
        case Action.REPLACE if award is not None:
            return _of_award(award) | {"not_before": now}
        case Action.REVIVE if award is not None:
            revived = {"origin": Origin.AWARD, "not_before": award.awarded_at, "reason": decision.reason}
            return _of_award(award) | revived | _template(decision)
        case Action.CHANGE_TEMPLATE:
            return _template(decision)
        case Action.TRANSFER:
            return {"user_id": key[1]}
        case Action.RETRY:
            return {"not_before": now}
        case _:
            return {"reason": decision.reason} | _template(decision)


def _template(decision: Decision) -> dict[str, Any]:
    return {"badge_template_id": decision.badge_template_id} if decision.badge_template_id else {}


def _of_award(award: Award) -> dict[str, Any]:
    return {"award_id": award.award_id, "awarded_at": award.awarded_at}


def _enter(
    connection: Connection, decided: Sequence[tuple[Key, Decision]], pairs: Mapping[Key, Pair], now: datetime
) -> int:
    """Enter new rows, and return how many; another run may have entered some at the same moment."""
    if not decided:
        return 0
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(issuances).on_conflict_do_nothing().returning(issuances.c.id)
    common: dict[IssuanceState | None, dict[str, Any]] = {
        state: new_row(connection, Transition.ENQUEUE, state=state, now=now) for state in _BEGINS
    }
    rows = [common[each.state] | _new_row(key, each, pairs[key], now) for key, each in decided]
    parts = (rows[start : start + _ROWS_AT_ONCE] for start in range(0, len(rows), _ROWS_AT_ONCE))
    return sum(len(connection.execute(insert, part).all()) for part in parts)


def _new_row(key: Key, decision: Decision, pair: Pair, now: datetime) -> dict[str, Any]:
    award, coverage = decision.award, pair.coverage
    if award is None or coverage is None or pair.portal_id is None or decision.state is None:
        raise AssertionError
    return {
        "achievement_id": key[0],
        "user_id": key[1],
        "badge_template_id": coverage.badge_template_id,
        "portal_id": pair.portal_id,
        "origin": Origin.AWARD,
        **_of_award(award),
        "reason": decision.reason,
        "not_before": max(award.awarded_at, now),
    }
