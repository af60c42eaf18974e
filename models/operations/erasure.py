"""Erases what identifies a user, and records that no badge may be issued to that user again.

What remains of an issuance is anonymous: portal, achievement, template, state and moments, which the counts need.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, or_, select, text, update

from models.base import Field, LaurelTable
from models.columns import UtcDateTime, insert_into, own_id
from models.ledger.conditions import is_outstanding
from models.ledger.tables import BadgeIssuance, IssuanceAttempt
from models.ledger.transitions import flow_run_of, move
from models.planning.progress import PlanningProgress
from models.setup.calls import CredlyCall
from models.tables import table
from rules.forms.inputs import InvalidInput
from rules.ledger.erasure import UserErased, anonymous, badge_digest, user_digest
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from rules.ledger.transitions import Transition


class ErasedUser(LaurelTable, table=True):
    """A user who was erased: a digest of the id, when, why, and who requested it."""

    __tablename__ = "erased_users"
    id: int | None = Field(default=None, primary_key=True, sa_type=own_id())
    digest: str = Field(unique=True, max_length=64)
    erased_at: datetime = Field(sa_type=UtcDateTime)
    reason: str = Field(default="", max_length=500, sa_column_kwargs={"server_default": ""})
    requested_by: str = Field(default="", max_length=255, sa_column_kwargs={"server_default": ""})
    flow_run_id: str | None = Field(default=None, max_length=36)


class ErasedBadge(LaurelTable, table=True):
    """A badge of an erased user that Credly still has, as a digest of its id, so that audits do not report it.

    Nothing links it to the user or to the issuance.
    """

    __tablename__ = "erased_badges"
    digest: str = Field(primary_key=True, max_length=64)


issuances, attempts, calls = table(BadgeIssuance), table(IssuanceAttempt), table(CredlyCall)
users, badges, cursors = table(ErasedUser), table(ErasedBadge), table(PlanningProgress)
NOT_ERASED: ColumnElement[bool] = issuances.c.transition != Transition.ERASE
# Not if Credly has answered that the user has the badge elsewhere: that never changes by itself.
_OUTSTANDING = or_(
    issuances.c.state == IssuanceState.ISSUING,
    and_(is_outstanding(), issuances.c.reason.is_distinct_from(Reason.DUPLICATE_ELSEWHERE)),
)
_IDENTIFYING: dict[str, Any] = {
    "award_id": None,
    "company_id": None,
    "project_id": None,
    "credly_message": None,
    "replaces_badge_id": None,
    "revoked_badge_id": None,
    "badge_url": None,
    "request_fingerprint": None,
    "name_digest": None,
    "requested_by": "",
    "request_reason": "",
    "unclear_at": None,
    "sent_to": None,
}


@dataclass(frozen=True, kw_only=True, repr=False)
class Erasable:
    """What the erasure of an issuance needs; `badge_ids` are its badges at Credly, `issued_by` an organization."""

    issuance_id: int
    portal_id: str
    badge_template_id: str
    state: IssuanceState
    standing: str | None
    issued_by: int | None
    badge_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, repr=False)
class UserRecords:
    """What the ledger has of a user: the issuances, whether a call is outstanding, and when it was erased."""

    issuances: tuple[Erasable, ...]
    attempts: int = field(compare=False)  # clean-up may delete some at any moment
    outstanding: bool
    erased_at: datetime | None

    @property
    def badge_ids(self) -> set[str]:
        """The ids of the user's badges at Credly, including those that were replaced or revoked."""
        return {badge_id for each in self.issuances for badge_id in each.badge_ids}


def erased_digests(connection: Connection) -> frozenset[str]:
    return frozenset(connection.execute(select(users.c.digest)).scalars())


def refuse_erased(connection: Connection, user_id: str) -> None:
    """Raise an error if the user was erased.

    Raises:
        UserErased: the user was.
    """
    erased_at = _erased_at(connection, user_id)
    if erased_at is not None:
        raise UserErased(erased_at)


def erased_badges(connection: Connection, badge_ids: Collection[str]) -> set[str]:
    """Return those of Credly's badges that belonged to an erased user."""
    digests = {badge_digest(badge_id): badge_id for badge_id in badge_ids}
    found = connection.execute(select(badges.c.digest).where(badges.c.digest.in_(list(digests)))).scalars()
    return {digests[digest] for digest in found}


def of_user(connection: Connection, user_id: str, *, lock: bool = False) -> UserRecords:
    """Return what the ledger has of a user; with `lock`, in a write transaction, the rows are locked."""
    query = select(issuances, _OUTSTANDING.label("outstanding")).where(issuances.c.user_id == user_id)
    rows = connection.execute(
        query.order_by(issuances.c.id).with_for_update() if lock else query.order_by(issuances.c.id)
    ).all()
    of_rows = attempts.c.issuance_id.in_([row.id for row in rows])
    return UserRecords(
        issuances=tuple(_erasable(row) for row in rows),
        attempts=connection.execute(select(func.count()).select_from(attempts).where(of_rows)).scalar_one(),
        outstanding=any(row.outstanding for row in rows),
        erased_at=_erased_at(connection, user_id),
    )


def erase(
    connection: Connection,
    user_id: str,
    *,
    found: UserRecords,
    at_credly: dict[str, str],
    reason: str,
    requested_by: str,
    now: datetime,
) -> None:
    """Erase everything that identifies the user, and record that no badge may be issued to that user again.

    Args:
        connection: an open transaction.
        user_id: the user's id on the platform.
        found: what the ledger had when the erasure was decided.
        at_credly: the results of this erasure for the user's badges at Credly, by badge id.
        reason: why, without personal data.
        requested_by: who started it.
        now: the moment (UTC).

    Raises:
        InvalidInput: the user's issuances have changed since; nothing is erased.
    """
    if connection.dialect.name == "postgresql":
        # Waits for transactions that have read that the user is not erased and are about to insert an issuance: row
        # locks do not cover rows that do not exist yet.
        connection.execute(text("LOCK TABLE badge_issuances IN EXCLUSIVE MODE"))
    else:
        # Otherwise the overwritten values remain in free pages of the file.
        connection.execute(text("PRAGMA secure_delete = ON"))
    if of_user(connection, user_id, lock=True) != found:
        raise InvalidInput("user: an issuance of this user has changed meanwhile. Nothing was erased; run it again.")
    for each in found.issuances:
        _erase_issuance(connection, each, at_credly, now=now)
    _erase_elsewhere(connection, user_id, found)
    left = [badge_id for badge_id in found.badge_ids if at_credly.get(badge_id) != "deleted"]
    if left:
        connection.execute(
            insert_into(connection, badges).on_conflict_do_nothing(),
            [{"digest": badge_digest(badge_id)} for badge_id in left],
        )
    erased = insert_into(connection, users).values(
        digest=user_digest(user_id),
        erased_at=now,
        reason=reason,
        requested_by=requested_by,
        flow_run_id=flow_run_of(connection),
    )
    connection.execute(erased.on_conflict_do_nothing())


def _erase_issuance(connection: Connection, each: Erasable, at_credly: dict[str, str], *, now: datetime) -> None:
    mine, values = issuances.c.id == each.issuance_id, _IDENTIFYING | {"user_id": anonymous(each.issuance_id)}
    target = IssuanceState.ISSUED if each.standing else IssuanceState.CANCELLED
    if each.standing:
        values |= {"credly_badge_id": anonymous(each.issuance_id), "reason": None}
        if (state := at_credly.get(each.standing)) is not None:
            values["credly_state"] = state
    if each.state is not target:
        values |= {"recorded_at": now} if each.standing else {"reason": Reason.USER_ERASED}
        move(connection, Transition.ERASE, mine, now=now, to=target, **values)
        return
    before = connection.execute(
        select(issuances.c.updated_at, issuances.c.flow_run_id, issuances.c.task_run_id).where(mine)
    ).one()
    move(connection, Transition.ERASE, mine, now=now, to=target, **values)
    # Restored, because counts by period and by run use them: the badge was issued or cancelled then, not now.
    connection.execute(update(issuances).where(mine).values(**before._mapping))


def _erase_elsewhere(connection: Connection, user_id: str, found: UserRecords) -> None:
    of_rows = attempts.c.issuance_id.in_([each.issuance_id for each in found.issuances])
    erased = {"credly_message": None, "request_id": None, "credly_request_id": None, "request_fingerprint": None}
    connection.execute(update(attempts).where(of_rows).values(**erased))
    for badge_id in found.badge_ids:
        # Calls without an issuance have no user id, but Credly's messages may name a badge.
        of_badge = calls.c.credly_message.contains(badge_id, autoescape=True)
        connection.execute(update(calls).where(of_badge).values(credly_message=None))
    # A cursor of a scan contains the id of the last user it read.
    connection.execute(update(cursors).where(cursors.c.after_user == user_id).values(after_user=""))


def _erased_at(connection: Connection, user_id: str) -> datetime | None:
    query = select(users.c.erased_at).where(users.c.digest == user_digest(user_id))
    return connection.execute(query).scalar_one_or_none()


def _erasable(row: Row[Any]) -> Erasable:
    badge_ids: Sequence[str | None] = (row.credly_badge_id, row.replaces_badge_id, row.revoked_badge_id)
    return Erasable(
        issuance_id=row.id,
        portal_id=row.portal_id,
        badge_template_id=row.badge_template_id,
        state=row.state,
        standing=row.credly_badge_id or row.replaces_badge_id,
        issued_by=row.issued_by,
        badge_ids=tuple(dict.fromkeys(each for each in badge_ids if each is not None)),
    )
