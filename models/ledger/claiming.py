"""How one run takes issuances and gives them back: a lease on each row, under the token of the one who took it.

Short transactions: claim · (call Credly, no transaction open) · record, which is in models/ledger/recording.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    UpdateBase,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    union,
    union_all,
    update,
)

from models.integrations import CredlyConnection, CredlyIntegration
from models.ledger.tables import BadgeIssuance
from models.tables import table
from rules.reasons import BLOCKED_REASONS, TEMPLATE_REASONS, Reason
from rules.states import IssuanceState

issuances = table(BadgeIssuance)
connections = table(CredlyConnection)
integrations = table(CredlyIntegration)
_KEPT_BACK = or_(integrations.c.paused_at.is_not(None), integrations.c.held_at.is_not(None))


@dataclass(frozen=True, kw_only=True)
class DueOrganization:
    """A Credly organization with something due, reached through one token."""

    organization_id: str
    base_url: str
    token_block: str
    calls_per_second: float
    portal_ids: tuple[str, ...]
    due: int
    blocked: int = 0


def is_due(*, now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
    """Return the condition: pending and its moment has come, or claimed by a run whose lease has ended.

    What a person has paused or holds back is not due.
    """
    come = or_(
        and_(issuances.c.state == IssuanceState.PENDING, issuances.c.not_before <= now),
        and_(issuances.c.state == IssuanceState.ISSUING, issuances.c.lease_until <= now),
    )
    return and_(_is_in(IssuanceState.PENDING, IssuanceState.ISSUING), come, ~_integration_is(_KEPT_BACK))


def _is_in(*states: IssuanceState) -> ColumnElement[bool]:
    """The condition with the states written out, so that both engines see which partial index it means."""
    return issuances.c.state.in_(bindparam(None, states, expanding=True, literal_execute=True))


def _is_mendable() -> ColumnElement[bool]:
    return and_(_is_in(IssuanceState.BLOCKED), issuances.c.reason.in_(_MENDABLE))


def _integration_is(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(integrations.c.achievement_id == issuances.c.achievement_id, condition)


def due_organizations(
    connection: Connection, *, now: datetime, portal_ids: Sequence[str] | None = None
) -> list[DueOrganization]:
    """Return the organizations with something due, or blocked for a reason that may have been mended.

    Portals that share an organization and its token are taken together: the rate limit is theirs in common.
    """
    one, none = literal(1), literal(0)
    work = union_all(
        select(issuances.c.portal_id, one.label("due"), none.label("blocked")).where(is_due(now=now)),
        select(issuances.c.portal_id, none.label("due"), one.label("blocked")).where(_is_mendable()),
    ).subquery()
    own = [connections.c[name] for name in _CONNECTION_COLUMNS]
    query = (
        select(*own, func.sum(work.c.due).label("due"), func.sum(work.c.blocked).label("blocked"))
        .join(work, work.c.portal_id == connections.c.portal_id)
        .group_by(*own)
        .order_by(connections.c.organization_id, connections.c.portal_id)
    )
    if portal_ids is not None:
        query = query.where(connections.c.portal_id.in_(portal_ids))
    grouped: dict[tuple[str, str, str], list[Any]] = {}
    for row in connection.execute(query):
        grouped.setdefault((row.organization_id, row.base_url, row.token_block), []).append(row)
    return [
        DueOrganization(
            organization_id=organization_id,
            base_url=base_url,
            token_block=token_block,
            calls_per_second=min(row.calls_per_second for row in rows),
            portal_ids=tuple(row.portal_id for row in rows),
            due=sum(row.due for row in rows),
            blocked=sum(row.blocked for row in rows),
        )
        for (organization_id, base_url, token_block), rows in grouped.items()
    ]


def templates_with_work(connection: Connection, *, portal_ids: Sequence[str], now: datetime) -> list[str]:
    """Return the badge templates of what these portals have due or blocked by its template."""
    of_portals = select(issuances.c.badge_template_id).where(issuances.c.portal_id.in_(portal_ids))
    query = union(of_portals.where(is_due(now=now)), of_portals.where(_is_mendable()))
    return sorted(connection.execute(query).scalars())


_MENDABLE = sorted(BLOCKED_REASONS - {Reason.PORTAL_NOT_CONNECTED})
_CONNECTION_COLUMNS = ("organization_id", "base_url", "token_block", "portal_id", "calls_per_second")


def due_issuances(
    connection: Connection, *, portal_ids: Sequence[str], now: datetime, after_id: int = 0, limit: int
) -> list[tuple[int, str]]:
    """Return id and achievement of the next due issuances of these portals, with ids above `after_id`, in order."""
    query = (
        select(issuances.c.id, issuances.c.achievement_id)
        .where(issuances.c.portal_id.in_(portal_ids), issuances.c.id > after_id, is_due(now=now))
        .order_by(issuances.c.id)
        .limit(limit)
    )
    return [(row.id, row.achievement_id) for row in connection.execute(query)]


def kept_back(connection: Connection, *, portal_id: str | None, now: datetime, limit: int) -> list[int]:
    """Return the ids of issuances that would be due, were their integrations not paused or held by a person."""
    come = and_(issuances.c.state == IssuanceState.PENDING, issuances.c.not_before <= now)
    query = select(issuances.c.id).where(come, _integration_is(_KEPT_BACK)).order_by(issuances.c.id).limit(limit)
    if portal_id is not None:
        query = query.where(issuances.c.portal_id == portal_id)
    return [row.id for row in connection.execute(query)]


def claim(
    connection: Connection,
    issuance_ids: Sequence[int],
    *,
    token: str,
    now: datetime,
    lease: timedelta,
    ignore_wait: bool = False,
) -> list[int]:
    """Put a lease on those of the issuances that are due, and return their ids; the others belong to someone else.

    `ignore_wait` also takes pending ones whose moment has not come, and of integrations that are held: for a
    retry within a run and for issuing by hand. What is paused stays. A lease taken over counts as an attempt and
    marks the issuance unclear from the moment that lease ended.
    """
    values = {"ids": issuance_ids, "token": token, "now": now, "until": now + lease}
    return sorted(connection.execute(_claim(ignore_wait=ignore_wait), values).scalars())


@cache
def _claim(*, ignore_wait: bool) -> UpdateBase:
    moment = issuances.c.updated_at.type
    now, until = bindparam("now", type_=moment), bindparam("until", type_=moment)
    claimable = is_due(now=now)
    if ignore_wait:
        paused = _integration_is(integrations.c.paused_at.is_not(None))
        claimable = or_(claimable, and_(issuances.c.state == IssuanceState.PENDING, ~paused))
    # A run goes on without what others hold at this moment; who asked for this very badge waits for them.
    ids = select(issuances.c.id).where(issuances.c.id.in_(bindparam("ids", expanding=True)), claimable)
    ids = ids.order_by(issuances.c.id)
    taken_over = issuances.c.state == IssuanceState.ISSUING
    return (
        update(issuances)
        .where(issuances.c.id.in_(ids.with_for_update(skip_locked=not ignore_wait)))
        .values(
            state=IssuanceState.ISSUING,
            reason=None,
            claim=bindparam("token"),
            lease_until=until,
            attempts=case((taken_over, issuances.c.attempts + 1), else_=issuances.c.attempts),
            unclear_at=case((taken_over, issuances.c.lease_until), else_=issuances.c.unclear_at),
            # Nothing is outstanding: what this claim's call makes is made from now on.
            sent_at=case((and_(~taken_over, issuances.c.unclear_at.is_(None)), now), else_=issuances.c.sent_at),
            updated_at=now,
        )
        .returning(issuances.c.id)
    )


def release(connection: Connection, issuance_ids: Sequence[int], *, token: str, now: datetime) -> int:
    """Give back claimed issuances for which nothing was sent; they are due again at once."""
    held = and_(
        issuances.c.id.in_(issuance_ids),
        issuances.c.state == IssuanceState.ISSUING,
        issuances.c.claim == token,
    )
    values = {"state": IssuanceState.PENDING, "claim": None, "lease_until": None, "updated_at": now}
    return connection.execute(update(issuances).where(held).values(**values)).rowcount


def put_back(
    connection: Connection,
    issuance_ids: Sequence[int],
    reason: Reason | None,
    *,
    not_before: datetime,
    now: datetime,
) -> int:
    """Make failed issuances pending again, to be tried after a wait; return how many."""
    failed = and_(issuances.c.id.in_(issuance_ids), issuances.c.state == IssuanceState.FAILED)
    values = {"state": IssuanceState.PENDING, "reason": reason, "not_before": not_before, "updated_at": now}
    return connection.execute(update(issuances).where(failed).values(**values)).rowcount


def block_due(
    connection: Connection,
    reason: Reason,
    *,
    portal_ids: Sequence[str],
    now: datetime,
    badge_template_id: str | None = None,
) -> int:
    """Block everything pending of these portals (of one template, if given) for one reason, in one statement."""
    condition = and_(issuances.c.state == IssuanceState.PENDING, issuances.c.portal_id.in_(portal_ids))
    if badge_template_id is not None:
        condition = and_(condition, issuances.c.badge_template_id == badge_template_id)
    values = {"state": IssuanceState.BLOCKED, "reason": reason, "updated_at": now}
    return connection.execute(update(issuances).where(condition).values(**values)).rowcount


def unblock(
    connection: Connection,
    reasons: Sequence[Reason],
    *,
    portal_ids: Sequence[str],
    now: datetime,
    badge_template_id: str | None = None,
) -> int:
    """Make due again what these portals have blocked for one of the reasons, in one statement."""
    condition = and_(
        issuances.c.state == IssuanceState.BLOCKED,
        issuances.c.reason.in_(reasons),
        issuances.c.portal_id.in_(portal_ids),
    )
    if badge_template_id is not None:
        condition = and_(condition, issuances.c.badge_template_id == badge_template_id)
    values = {"state": IssuanceState.PENDING, "reason": None, "updated_at": now}
    return connection.execute(update(issuances).where(condition).values(**values)).rowcount


def set_template(
    connection: Connection, fault: Reason | None, *, portal_ids: Sequence[str], now: datetime, badge_template_id: str
) -> None:
    """Make due what waits for this template; where it has a fault, block that and all else that is pending of it."""
    of_template: dict[str, Any] = {"portal_ids": portal_ids, "now": now, "badge_template_id": badge_template_id}
    unblock(connection, TEMPLATE_REASONS, **of_template)
    if fault is not None:
        block_due(connection, fault, **of_template)
