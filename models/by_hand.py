"""Requests by hand: they enter the same ledger row that an award would, before the award or after a failure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from models.database import Database
from models.facts import Subject, facts_of_subjects
from models.ledger.tables import BadgeIssuance
from models.planning.deletions import Deletions
from models.planning.pairs import rows_of, setup_of
from models.planning.writing import new_row, to_be_replaced
from models.platform.awards import Key, awards_of
from models.tables import table
from rules.facts import IssuanceFacts
from rules.ledger.eligibility import Action, Award, Decision, Issuance, Pair
from rules.ledger.manual import award_for, decide_manual, keeps_its_moment, row_for
from rules.states import IssuanceState, Origin

issuances = table(BadgeIssuance)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asks for. `project_id` and `company_id` are for a user without an award."""

    achievement_id: str
    user_id: str
    portal_id: str
    badge_template_id: str
    project_id: str | None = None
    company_id: str | None = None
    requested_by: str = ""
    reason: str = ""
    replace: bool = False

    @property
    def key(self) -> Key:
        """Its achievement and user."""
        return self.achievement_id, self.user_id


async def pair_of(database: Database, key: Key, *, now: datetime) -> Pair:
    """Return a user and an achievement, with the awards and the rows that there are now (`now` is UTC)."""
    awards = await database.platform.read(awards_of, [key], now=now)
    rows = await database.read(rows_of, [key])
    deletions = Deletions(database, await database.read(setup_of), now=now)
    return Pair(awards=awards[key], rows=rows[key], deletions_count=await deletions.counting(rows, awards))


def issuance_of(connection: Connection, request: Request, *, held: bool = False) -> BadgeIssuance | None:
    """Return the ledger's row for the badge that is asked for, if there is one (`rules.ledger.manual.row_for`).

    With `held`, in a write transaction, it is the row as others leave it who are changing it at this moment.
    """
    rows = rows_of(connection, [request.key], held=held)[request.key]
    row = row_for(Pair(rows=rows), request.badge_template_id)
    return None if row is None else _stored(connection, row.issuance_id)


def _stored(connection: Connection, issuance_id: int) -> BadgeIssuance:
    found = connection.execute(select(issuances).where(issuances.c.id == issuance_id)).one()
    return BadgeIssuance(**found._mapping)


async def enter(database: Database, request: Request, *, now: datetime) -> BadgeIssuance:
    """Make the badge due at once, and return its row as it is then.

    A new row, or the one that is there: pending, blocked, failed and cancelled ones become due. An issued one stays
    unless it is to be replaced; one that is being issued stays. `issued_at` will be the award's moment if there is
    an award, else `now` (UTC), which is kept as the row's `awarded_at`.
    """
    pair = await pair_of(database, request.key, now=now)
    return await database.write(_enter, request, pair.awards, pair.deletions_count, now=now)


def _enter(
    connection: Connection,
    request: Request,
    awards: Collection[Award],
    deletions_count: Collection[str],
    *,
    now: datetime,
) -> BadgeIssuance:
    rows = rows_of(connection, [request.key], held=True)[request.key]
    pair = Pair(awards=list(awards), rows=rows, deletions_count=deletions_count)
    decision = decide_manual(pair, request.badge_template_id, replace=request.replace)
    asked = _asked(request, decision.award, now)
    if decision.row is None:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        new = dialect.insert(issuances).values(**_new_row(request, now=now) | asked)
        connection.execute(new.on_conflict_do_nothing())  # somebody else asks for it at the same moment
    elif decision.changes:
        _change(connection, decision.row, request, _values_for(pair, decision, now=now) | asked)
    row = issuance_of(connection, request)
    if row is None:
        raise AssertionError
    return row


def _asked(request: Request, award: Award | None, now: datetime) -> dict[str, Any]:
    asked = {"requested_by": request.requested_by, "request_reason": request.reason, "updated_at": now}
    if award is not None:
        asked |= {"award_id": award.award_id, "awarded_at": award.awarded_at}
    given = {"project_id": request.project_id, "company_id": request.company_id}
    return asked | {name: value for name, value in given.items() if value is not None}


def _change(connection: Connection, found: Issuance, request: Request, values: dict[str, Any]) -> None:
    """Change the row, if it is still as it was found, and give it the template that is asked for.

    Another row of the user with that template takes the earlier one in exchange; it never became a badge.
    """
    wanted, earlier = request.badge_template_id, found.badge_template_id
    of_user = and_(issuances.c.achievement_id == request.achievement_id, issuances.c.user_id == request.user_id)
    if wanted != earlier:
        _rename(connection, of_user, wanted, _ASIDE)
    unchanged = and_(issuances.c.id == found.issuance_id, issuances.c.state == found.state)
    changed = update(issuances).where(unchanged).values(**values, badge_template_id=wanted)
    done = connection.execute(changed).rowcount == 1
    if wanted != earlier:
        _rename(connection, of_user, _ASIDE, earlier if done else wanted)


def _rename(connection: Connection, of_user: ColumnElement[bool], template: str, other: str) -> None:
    rows = and_(of_user, issuances.c.badge_template_id == template)
    connection.execute(update(issuances).where(rows).values(badge_template_id=other))


_ASIDE = ""  # no template's id: where a row stands while two exchange theirs


def _values_for(pair: Pair, decision: Decision, *, now: datetime) -> dict[str, Any]:
    row = decision.row
    if row is None:
        raise AssertionError
    values: dict[str, Any] = to_be_replaced(row, now=now)
    if decision.action is not Action.REPLACE:
        values = {
            "state": IssuanceState.PENDING,
            "origin": Origin.BY_HAND,
            "reason": None,
            "credly_message": None,
            "attempts": 0,
            "not_before": now,
        }
    if decision.award is None and not keeps_its_moment(pair, row):
        values |= {"award_id": None, "awarded_at": now, "origin": Origin.BY_HAND}
    return values


def _new_row(request: Request, *, now: datetime) -> dict[str, Any]:
    return {
        **new_row(
            request.key,
            badge_template_id=request.badge_template_id,
            portal_id=request.portal_id,
            origin=Origin.BY_HAND,
            now=now,
        ),
        "awarded_at": now,
        "state": IssuanceState.PENDING,
        "not_before": now,
    }


async def facts_of_request(database: Database, request: Request, *, now: datetime) -> IssuanceFacts:
    """Return what is known of a badge that a person asks for, as issuing it now would find it: for a preview."""
    pair = await pair_of(database, request.key, now=now)
    known = row_for(pair, request.badge_template_id)
    row = await database.read(_stored, known.issuance_id) if known is not None else None
    award = award_for(pair, known)
    kept = known.awarded_at if known is not None and keeps_its_moment(pair, known) else None
    subject = Subject(
        achievement_id=request.achievement_id,
        user_id=request.user_id,
        portal_id=request.portal_id,
        badge_template_id=request.badge_template_id,
        award_id=award.award_id if award else None,
        awarded_at=award.awarded_at if award else kept,
        project_id=request.project_id or (row.project_id if row else None),
        company_id=request.company_id or (row.company_id if row else None),
    )
    (facts,) = await facts_of_subjects(database, [subject], now=now)
    return facts
