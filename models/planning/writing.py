"""Writes the decisions of planning: new rows, and changes of rows. They are made again on the locked rows."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, update

from models.columns import insert_into
from models.ledger.tables import BadgeIssuance
from models.ledger.transitions import flow_run_of, move_each, new_row
from models.operations.erasure import erased_digests
from models.planning.pairs import Setup, lock_again, rows_of, setup_of, vacate_template
from models.platform.awards import Key
from models.tables import table
from rules.ledger.eligibility import Action, Award, Decision, Ground, Issuance, Pair, decide
from rules.ledger.erasure import is_erased
from rules.ledger.reasons import UnusableAward
from rules.ledger.states import NO_MOMENT, IssuanceState, Origin
from rules.ledger.transitions import Transition

issuances = table(BadgeIssuance)
_ROWS_PER_STATEMENT = 500
_INITIAL_STATES = (IssuanceState.PENDING, IssuanceState.BLOCKED)


@dataclass(frozen=True, kw_only=True)
class PlanCounts:
    """How many issuances planning created, revived, cancelled and unblocked.

    `renamed` of those revived are to be replaced for a corrected name, `held_names` are not, since they are too many.
    `unusable` are awards that it read and that the ledger cannot have, `unread` sentences on what it could not read.
    """

    entered: int = 0
    revived: int = 0
    cancelled: int = 0
    unblocked: int = 0
    renamed: int = 0
    held_names: int = 0
    unusable: frozenset[UnusableAward] = frozenset()
    unread: tuple[str, ...] = ()

    @property
    def wrote(self) -> bool:
        return any((self.entered, self.revived, self.cancelled, self.unblocked))

    def __add__(self, other: "PlanCounts") -> "PlanCounts":
        return PlanCounts(
            entered=self.entered + other.entered,
            revived=self.revived + other.revived,
            cancelled=self.cancelled + other.cancelled,
            unblocked=self.unblocked + other.unblocked,
            renamed=self.renamed + other.renamed,
            held_names=self.held_names + other.held_names,
            unusable=self.unusable | other.unusable,
            unread=(*self.unread, *(each for each in other.unread if each not in self.unread)),
        )


@dataclass(frozen=True, kw_only=True)
class PlatformRows:
    """The platform's part of some pairs: their awards, and the portal of each achievement.

    `names` are the digests of present names by issuance, where they were read.
    """

    awards: Mapping[Key, Sequence[Award]]
    portals: Mapping[str, str]
    names: Mapping[int, str] = field(default_factory=dict, repr=False)


def pairs_of(
    rows: Mapping[Key, Sequence[Issuance]], platform_rows: PlatformRows, setup: Setup, *, deleted: Collection[int]
) -> dict[Key, Pair]:
    return {
        key: Pair(
            awards=platform_rows.awards.get(key, ()),
            rows=of_key,
            portal_id=platform_rows.portals.get(key[0]),
            coverage=setup.coverages.get(key[0]),
            connected=setup.connected,
            deleted=deleted,
            names=platform_rows.names,
        )
        for key, of_key in rows.items()
    }


def apply_decisions(
    connection: Connection,
    keys: Collection[Key],
    platform_rows: PlatformRows,
    *,
    deleted: Collection[int],
    moved: Mapping[Key, Issuance],
    now: datetime,
) -> PlanCounts:
    """Decide on these pairs by the ledger's rows in this transaction and write the changes; return the counts."""
    setup = setup_of(connection, {achievement_id for achievement_id, _ in keys})
    rows = rows_of(connection, sorted(keys), lock=True)
    erased = erased_digests(connection)  # after the rows are locked: an erasure waits for them, or is visible here
    rows = {key: of_key for key, of_key in rows.items() if not is_erased(key[1], erased)}
    pairs = pairs_of(rows, platform_rows, setup, deleted=deleted)
    pairs |= {key: replace(pairs[key], moved=row) for key, row in lock_again(connection, moved).items() if key in pairs}
    decisions = _decisions(pairs, now)
    vacate_template(connection, [(pairs[key], each) for key, each in decisions if each.badge_template_id is not None])
    entered = _insert_rows(
        connection, [(key, each) for key, each in decisions if each.action is Action.ENQUEUE], pairs, now
    )
    # Rows with the same transition and columns are one executemany.
    batches: dict[tuple[Transition, IssuanceState | None, tuple[str, ...]], list[tuple[int, dict[str, Any]]]] = {}
    _redate(connection, [each for _, each in decisions if each.action is Action.REDATE], now)
    moved_only = (Action.CHANGE_PORTAL, Action.REDATE)
    _change_portal(connection, [each for _, each in decisions if each.portal_id and each.action in moved_only], now)
    for key, each in decisions:
        if each.row is not None and each.action in _TRANSITIONS:
            state = None if each.action in _KEEPS_STATE else each.state
            values = _values(key, each, now) | ({"portal_id": each.portal_id} if each.portal_id else {})
            batch = _TRANSITIONS[each.action], state, tuple(values)
            batches.setdefault(batch, []).append((each.row.issuance_id, values))
    for (transition, state, _), changed in batches.items():
        move_each(connection, transition, changed, now=now, to=state)
    count = Counter(each.action for _, each in decisions)
    return PlanCounts(
        entered=entered,
        revived=count[Action.REVIVE] + count[Action.REPLACE],
        cancelled=count[Action.CANCEL],
        unblocked=count[Action.UNBLOCK],
        renamed=sum(each.ground is Ground.NAME_CORRECTED for _, each in decisions),
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
_KEEPS_STATE = (Action.CHANGE_TEMPLATE, Action.TRANSFER)


def _decisions(pairs: Mapping[Key, Pair], now: datetime) -> list[tuple[Key, Decision]]:
    return [(key, each) for key, pair in pairs.items() for each in decide(pair, now=now) if each.changes]


def _values(key: Key, decision: Decision, now: datetime) -> dict[str, Any]:
    award = decision.award
    match decision.action:
        case Action.RESTORE:
            return {"recorded_at": now}
        case Action.REPLACE:
            return (_award_values(award) if award is not None else {}) | {"reason": decision.reason, "not_before": now}
        case Action.REVIVE if award is not None:
            revived = {"origin": Origin.AWARD, "not_before": _due_at(award, now), "reason": decision.reason}
            return _award_values(award) | revived | _template_values(decision)
        case Action.CHANGE_TEMPLATE:
            return _template_values(decision)
        case Action.TRANSFER:
            return {"user_id": key[1]}
        case Action.RETRY:
            return {"not_before": now}
        case _:
            return {"reason": decision.reason} | _template_values(decision)


def _template_values(decision: Decision) -> dict[str, Any]:
    return {"badge_template_id": decision.badge_template_id} if decision.badge_template_id else {}


def _award_values(award: Award) -> dict[str, Any]:
    return {"award_id": award.award_id, "awarded_at": award.awarded_at}


def _insert_rows(
    connection: Connection, decisions: Sequence[tuple[Key, Decision]], pairs: Mapping[Key, Pair], now: datetime
) -> int:
    if not decisions:
        return 0
    # Another run may insert the same pairs at this moment. Only the rows that RETURNING has are counted.
    insert = insert_into(connection, issuances).on_conflict_do_nothing().returning(issuances.c.id)
    common: dict[IssuanceState | None, dict[str, Any]] = {
        state: new_row(connection, Transition.ENQUEUE, state=state, now=now) for state in _INITIAL_STATES
    }
    rows = [common[each.state] | _new_row(key, each, pairs[key], now) for key, each in decisions]
    parts = (rows[start : start + _ROWS_PER_STATEMENT] for start in range(0, len(rows), _ROWS_PER_STATEMENT))
    return sum(len(connection.execute(insert, part).all()) for part in parts)


def _new_row(key: Key, decision: Decision, pair: Pair, now: datetime) -> dict[str, Any]:
    award, coverage = decision.award, pair.coverage
    if award is None or coverage is None or pair.portal_id is None or decision.state is None:
        raise AssertionError(f"A decision to enqueue {key} has no award, integration, portal or state.")
    return {
        "achievement_id": key[0],
        "user_id": key[1],
        "badge_template_id": coverage.badge_template_id,
        "portal_id": pair.portal_id,
        "origin": Origin.AWARD,
        **_award_values(award),
        "reason": decision.reason,
        "not_before": max(_due_at(award, now), now),
    }


def _due_at(award: Award, now: datetime) -> datetime:
    return now if award.awarded_at == NO_MOMENT else award.awarded_at


def _change_portal(connection: Connection, decisions: Sequence[Decision], now: datetime) -> None:
    rows = [{"row_id": each.row.issuance_id, "portal": each.portal_id} for each in decisions if each.row is not None]
    if rows:
        changed = update(issuances).where(issuances.c.id == bindparam("row_id"))
        run = flow_run_of(connection)
        connection.execute(changed.values(portal_id=bindparam("portal"), updated_at=now, flow_run_id=run), rows)


def _redate(connection: Connection, decisions: Sequence[Decision], now: datetime) -> None:
    rows = [
        {"row_id": each.row.issuance_id, "moment": each.award.awarded_at, "due_at": _due_at(each.award, now)}
        for each in decisions
        if each.row is not None and each.award is not None
    ]
    if rows:
        given = {name: bindparam(name, type_=issuances.c.not_before.type) for name in ("moment", "due_at")}
        redated = update(issuances).where(issuances.c.id == bindparam("row_id"))
        connection.execute(redated.values(awarded_at=given["moment"], not_before=given["due_at"]), rows)
