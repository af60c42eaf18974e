"""Writing what was decided on pairs: new rows, and rows that change. The decisions are made on what is stored then."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, update
from sqlalchemy.dialects import postgresql, sqlite

from models.by_key import portions
from models.ledger.tables import BadgeIssuance
from models.planning.pairs import Setup, rows_of, setup_of
from models.platform.awards import Key
from models.tables import table
from rules.ledger.eligibility import Action, Award, Decision, Issuance, Pair, decide
from rules.states import IssuanceState, Origin

issuances = table(BadgeIssuance)
_ROWS_AT_ONCE = 500


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
    rows: Mapping[Key, Sequence[Issuance]], of_platform: OfPlatform, setup: Setup, *, deletions_count: Collection[str]
) -> dict[Key, Pair]:
    """Put together what platform and ledger have of each pair."""
    return {
        key: Pair(
            awards=of_platform.awards.get(key, ()),
            rows=of_key,
            portal_id=of_platform.portals.get(key[0]),
            coverage=setup.coverages.get(key[0]),
            connected=setup.connected,
            deletions_count=deletions_count,
        )
        for key, of_key in rows.items()
    }


def apply_decisions(
    connection: Connection,
    keys: Collection[Key],
    of_platform: OfPlatform,
    *,
    deletions_count: Collection[str],
    now: datetime,
) -> PlanCounts:
    """Decide on these pairs by what the ledger has in this transaction, and write it; return what changed."""
    setup = setup_of(connection, {achievement_id for achievement_id, _ in keys})
    rows = rows_of(connection, sorted(keys), held=True)
    pairs = pairs_of(rows, of_platform, setup, deletions_count=deletions_count)
    decided = [(key, each) for key, pair in pairs.items() for each in decide(pair, now=now) if each.changes]
    by_action: dict[Action, list[tuple[Key, Decision]]] = {}
    for key, each in decided:
        by_action.setdefault(each.action, []).append((key, each))
    entered = _enter(connection, by_action.pop(Action.ENQUEUE, []), pairs, now)
    for of_action in by_action.values():
        _change(connection, [(each.row.issuance_id, _values(each, now)) for _, each in of_action if each.row])
    count = {action: len(of_action) for action, of_action in by_action.items()}
    return PlanCounts(
        entered=entered,
        taken_up_again=count.get(Action.REVIVE, 0) + count.get(Action.REPLACE, 0),
        cancelled=count.get(Action.CANCEL, 0),
        unblocked=count.get(Action.UNBLOCK, 0),
    )


def _change(connection: Connection, rows: Sequence[tuple[int, dict[str, Any]]]) -> None:
    """Change rows, each to its own values; all have values for the same columns."""
    new: dict[str, Any] = {name: bindparam(f"new_{name}") for name in rows[0][1]}
    statement = update(issuances).where(issuances.c.id == bindparam("row_id")).values(new)
    given = [{f"new_{name}": value for name, value in values.items()} for _, values in rows]
    connection.execute(statement, [each | {"row_id": row_id} for each, (row_id, _) in zip(given, rows, strict=True)])


def _values(decision: Decision, now: datetime) -> dict[str, Any]:
    """Return what a row has afterwards."""
    row, award = decision.row, decision.award
    values: dict[str, Any] = {"state": decision.state, "reason": decision.reason, "updated_at": now}
    match decision.action:
        case Action.RESTORE if row is not None:
            badge = {"credly_badge_id": row.replaces_badge_id, "replaces_badge_id": None, "recorded_at": now}
            return values | badge
        case Action.REPLACE if row is not None and award is not None:
            return values | _of_award(award) | to_be_replaced(row, now=now)
        case Action.REVIVE if award is not None:
            return values | _of_award(award) | {"origin": Origin.AWARD, "not_before": award.awarded_at}
        case _:
            return values


def _of_award(award: Award) -> dict[str, Any]:
    return {"award_id": award.award_id, "awarded_at": award.awarded_at}


def to_be_replaced(row: Issuance, *, now: datetime) -> dict[str, Any]:
    """Return what makes an issued row due again, to be issued in place of the badge that it has."""
    return {
        "state": IssuanceState.PENDING,
        "replaces_badge_id": row.credly_badge_id,
        "credly_badge_id": None,
        "recorded_at": None,
        "attempts": 0,
        "not_before": now,
        "updated_at": now,
    }


def _enter(
    connection: Connection, decided: Sequence[tuple[Key, Decision]], pairs: Mapping[Key, Pair], now: datetime
) -> int:
    """Enter new rows, and return how many; another run may have entered some at the same moment."""
    if not decided:
        return 0
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(issuances).on_conflict_do_nothing().returning(issuances.c.id)
    return sum(
        len(connection.execute(insert, [_new_row(key, each, pairs[key], now) for key, each in part]).all())
        for part in portions(decided, _ROWS_AT_ONCE)
    )


def _new_row(key: Key, decision: Decision, pair: Pair, now: datetime) -> dict[str, Any]:
    award, coverage = decision.award, pair.coverage
    if award is None or coverage is None or pair.portal_id is None or decision.state is None:
        raise AssertionError
    return {
        **new_row(
            key, badge_template_id=coverage.badge_template_id, portal_id=pair.portal_id, origin=Origin.AWARD, now=now
        ),
        **_of_award(award),
        "state": decision.state,
        "reason": decision.reason,
        "not_before": max(award.awarded_at, now),
    }


def new_row(key: Key, *, badge_template_id: str, portal_id: str, origin: Origin, now: datetime) -> dict[str, Any]:
    """Return what every new row begins with."""
    return {
        "achievement_id": key[0],
        "user_id": key[1],
        "badge_template_id": badge_template_id,
        "portal_id": portal_id,
        "origin": origin,
        "attempts": 0,
        "adopted": False,
        "evidence_sent": "",
        "evidence_left_out": "",
        "looked_again_at": now,
        "planned_at": now,
        "updated_at": now,
    }
