"""Manual requests: they use the same ledger row as an award would, before the award or after a failure."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, select

from models.columns import insert_into
from models.database import Database
from models.ledger.issuance_data import Subject, facts_of_subjects
from models.ledger.tables import BadgeIssuance
from models.ledger.transitions import move, new_row
from models.operations.erasure import refuse_erased
from models.planning.deletions import Deletions
from models.planning.moved import moved_to
from models.planning.pairs import lock_again, rows_of, setup_of, vacate_template
from models.platform.awards import Key, awards_of
from models.tables import table
from rules.badge.issuance_data import IssuanceFacts
from rules.ledger.eligibility import Action, Award, Decision, Pair, follows_portal
from rules.ledger.manual import award_for, decide_manual, keeps_its_moment, row_for
from rules.ledger.states import IssuanceState, Origin
from rules.ledger.transitions import Transition

issuances = table(BadgeIssuance)


@dataclass(frozen=True, kw_only=True)
class ManualIssue:
    """What an operator requests. `project_id` and `company_id` are for a user without an award.

    `date_now`: an award whose moment has not come, or is none, gets the present one.
    """

    achievement_id: str
    user_id: str
    portal_id: str
    badge_template_id: str
    project_id: str | None = None
    company_id: str | None = None
    requested_by: str = ""
    reason: str = ""
    replace: bool = False
    date_now: bool = False

    @property
    def key(self) -> Key:
        return self.achievement_id, self.user_id


async def pair_of(database: Database, key: Key, *, now: datetime) -> Pair:
    """Return the awards and rows of an achievement and a user at `now` (UTC)."""
    awards = await database.platform.read(awards_of, [key], now=now)
    rows = await database.read(rows_of, [key])
    deletions = Deletions(database, await database.read(setup_of), now=now)
    pair = Pair(awards=awards[key], rows=rows[key], deleted=await deletions.deleted(rows, awards))
    moved = await moved_to(database, awards, [key], now=now)
    return replace(pair, moved=moved.get(key))


def issuance_of(connection: Connection, request: ManualIssue, *, lock: bool = False) -> BadgeIssuance | None:
    """Return the ledger's row for the requested badge, if there is one (`rules.ledger.manual.row_for`).

    With `lock`, in a write transaction, the row is locked; a transaction that is changing it is waited for.
    """
    row = row_for(Pair(rows=rows_of(connection, [request.key], lock=lock)[request.key]))
    return None if row is None else _stored(connection, row.issuance_id)


def _stored(connection: Connection, issuance_id: int) -> BadgeIssuance:
    found = connection.execute(select(issuances).where(issuances.c.id == issuance_id)).one()
    return BadgeIssuance(**found._mapping)


async def enter(database: Database, request: ManualIssue, *, now: datetime) -> BadgeIssuance | None:
    """Make the badge due at once, and return its row afterwards.

    Creates a row, or makes an existing pending, blocked, failed or cancelled one due. An issued row changes only if the
    badge is to be replaced, a row in `issuing` never. The badge's `issued_at` will be the moment of the award, or `now`
    (UTC) without an award, which becomes the row's `awarded_at`. Returns None if the award was transferred from another
    user for whom a call is outstanding.

    Raises:
        UserErased: the user was erased.
    """
    pair = await pair_of(database, request.key, now=now)
    return await database.write(_write_request, request, pair, now=now)


def _write_request(connection: Connection, request: ManualIssue, pair: Pair, *, now: datetime) -> BadgeIssuance | None:
    rows = rows_of(connection, [request.key], lock=True)[request.key]
    refuse_erased(connection, request.user_id)  # after the rows are locked, as in planning
    # Decided again on the locked rows: they may have changed since `pair` was read.
    moved = lock_again(connection, {} if pair.moved is None else {request.key: pair.moved})
    pair = replace(pair, rows=rows, moved=moved.get(request.key))
    decision = decide_manual(pair, request.badge_template_id, replace=request.replace)
    requested = _requested_values(request, decision.award, now)
    if decision.action is Action.ENQUEUE:
        vacate_template(connection, [(pair, decision)])
        new = insert_into(connection, issuances).values(**_new_row(connection, request, now=now) | requested)
        connection.execute(new.on_conflict_do_nothing())  # another request may insert the same row at this moment
    elif decision.row is not None and decision.changes:
        _change_row(connection, pair, decision, request, requested, now=now)
    return issuance_of(connection, request)


def _moment_of(request: ManualIssue, award: Award, now: datetime) -> datetime:
    return now if request.date_now and award.awarded_at > now else award.awarded_at


def _requested_values(request: ManualIssue, award: Award | None, now: datetime) -> dict[str, Any]:
    requested: dict[str, Any] = {"requested_by": request.requested_by, "request_reason": request.reason}
    if award is not None:
        requested |= {"award_id": award.award_id, "awarded_at": _moment_of(request, award, now)}
    given = {"project_id": request.project_id, "company_id": request.company_id}
    return requested | {name: value for name, value in given.items() if value is not None}


def _change_row(
    connection: Connection,
    pair: Pair,
    decision: Decision,
    request: ManualIssue,
    requested: dict[str, Any],
    *,
    now: datetime,
) -> None:
    row = decision.row
    if row is None:
        raise AssertionError(f"A decision to {decision.action} a row came without the row.")
    unchanged = and_(issuances.c.id == row.issuance_id, issuances.c.state == row.state)
    vacate_template(connection, [(pair, decision)])
    if decision.action is Action.TRANSFER:
        move(connection, Transition.TRANSFER, unchanged, now=now, user_id=request.user_id)
        return
    if decision.action is Action.RETRY:
        move(connection, Transition.RETRY, unchanged, now=now, not_before=now)
        return
    values = requested | {"not_before": now, "badge_template_id": decision.badge_template_id}
    if decision.action is Action.REVIVE:
        values["origin"] = Origin.BY_HAND
    if follows_portal(row, request.portal_id):
        values["portal_id"] = request.portal_id
    if decision.award is None and not keeps_its_moment(pair, row):
        values |= {"award_id": None, "awarded_at": now, "origin": Origin.BY_HAND}
    transition = Transition.REPLACE if decision.action is Action.REPLACE else Transition.REQUEST
    move(connection, transition, unchanged, now=now, **values)


def _new_row(connection: Connection, request: ManualIssue, *, now: datetime) -> dict[str, Any]:
    return {
        **new_row(connection, Transition.REQUEST, state=IssuanceState.PENDING, now=now),
        "achievement_id": request.achievement_id,
        "user_id": request.user_id,
        "badge_template_id": request.badge_template_id,
        "portal_id": request.portal_id,
        "origin": Origin.BY_HAND,
        "awarded_at": now,
        "not_before": now,
    }


async def facts_of_request(database: Database, request: ManualIssue, *, now: datetime) -> IssuanceFacts:
    """Return the facts of a requested badge as issuing it now would read them: for a preview."""
    pair = await pair_of(database, request.key, now=now)
    known = row_for(pair)
    row = await database.read(_stored, known.issuance_id) if known is not None else None
    award = award_for(pair, known)
    kept = known.awarded_at if known is not None and keeps_its_moment(pair, known) else None
    subject = Subject(
        achievement_id=request.achievement_id,
        user_id=request.user_id,
        portal_id=request.portal_id,
        badge_template_id=request.badge_template_id,
        award_id=award.award_id if award else None,
        awarded_at=_moment_of(request, award, now) if award else kept,
        project_id=request.project_id or (row.project_id if row else None),
        company_id=request.company_id or (row.company_id if row else None),
    )
    (facts,) = await facts_of_subjects(database, [subject], now=now)
    return facts
