"""Claims issuances for a run and releases them: each row gets a lease under the claim token of the run.

Three short steps: claim · call Credly (no transaction open) · record the result (models/ledger/recording.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
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
    func,
    literal,
    or_,
    select,
    union,
    union_all,
)

from models.ledger import transitions
from models.ledger.conditions import in_states, integration_has, is_outstanding
from models.ledger.tables import BadgeIssuance
from models.setup.organizations import organizations
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table
from rules.ledger.reasons import BLOCKED_REASONS, TEMPLATE_REASONS, Reason
from rules.ledger.states import IssuanceState
from rules.ledger.transitions import Transition

issuances = table(BadgeIssuance)
connections = table(CredlyConnection)
integrations = table(CredlyIntegration)
_IS_PAUSED_OR_HELD = or_(integrations.c.paused_at.is_not(None), integrations.c.held_at.is_not(None))


@dataclass(frozen=True, kw_only=True)
class DueOrganization:
    """A Credly organization with due or blocked issuances, and the token to call it with.

    `settles` are portals that are no longer connected to it but have calls to it outstanding. `id` is its row in
    `credly_organizations`.
    """

    organization_id: str
    base_url: str
    token_block: str
    calls_per_second: float
    portal_ids: tuple[str, ...]
    due: int
    blocked: int = 0
    settles: tuple[str, ...] = ()
    id: int | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.organization_id, self.base_url, self.token_block

    @property
    def scope(self) -> "Scope":
        return Scope(self.portal_ids, self.settles, self.id)

    @property
    def all_portals(self) -> tuple[str, ...]:
        return (*self.portal_ids, *self.settles)


@dataclass(frozen=True)
class Scope:
    """The issuances of an organization: of these portals, without a call outstanding at another organization.

    Of the portals in `settles`, only issuances with a call outstanding at this one. Without the organization's id,
    all of the portals.
    """

    portal_ids: Sequence[str]
    settles: Sequence[str] = ()
    organization: int | None = None

    def condition(self) -> ColumnElement[bool]:
        columns = issuances.c
        if self.organization is None:
            return columns.portal_id.in_(self.portal_ids)
        here = columns.sent_to == self.organization
        mine = and_(columns.portal_id.in_(self.portal_ids), or_(columns.sent_to.is_(None), here))
        if not self.settles:
            return mine
        # Redundant, but the index begins with the portal.
        of_portals = columns.portal_id.in_([*self.portal_ids, *self.settles])
        return and_(of_portals, or_(mine, and_(columns.portal_id.in_(self.settles), here)))


def is_due(*, now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
    """Return the condition that an issuance is due: pending and its moment has come, or its lease has expired.

    Issuances of paused or held integrations are not due.
    """
    time_reached = or_(
        and_(issuances.c.state == IssuanceState.PENDING, issuances.c.not_before <= now),
        and_(issuances.c.state == IssuanceState.ISSUING, issuances.c.lease_until <= now),
    )
    # The states are repeated as literals for the partial index ix_badge_issuances_work.
    in_work = in_states(IssuanceState.PENDING, IssuanceState.ISSUING)
    return and_(in_work, time_reached, ~integration_has(_IS_PAUSED_OR_HELD))


def _is_rechecked() -> ColumnElement[bool]:
    return and_(in_states(IssuanceState.BLOCKED), issuances.c.reason.in_(_RECHECKED_REASONS))


def due_organizations(
    connection: Connection, *, now: datetime, portal_ids: Sequence[str] | None = None
) -> list[DueOrganization]:
    """Return the organizations with due issuances, or with blocked ones whose cause a run checks again.

    Portals that share an organization and its token are one entry, because they share its rate limit.
    """
    one, none = literal(1), literal(0)
    columns = (issuances.c.portal_id, issuances.c.sent_to)
    work = union_all(
        select(*columns, one.label("due"), none.label("blocked")).where(is_due(now=now)),
        select(*columns, none.label("due"), one.label("blocked")).where(_is_rechecked()),
    ).subquery()
    counts = (func.sum(work.c.due).label("due"), func.sum(work.c.blocked).label("blocked"))
    query = select(work.c.portal_id, work.c.sent_to, *counts).group_by(work.c.portal_id, work.c.sent_to)
    if portal_ids is not None:
        query = query.where(work.c.portal_id.in_(portal_ids))
    access = _access_index(connection)
    found = []
    for portal_id, sent_to, due, blocked in connection.execute(query):
        connected = access.by_portal.get(portal_id)
        outstanding = access.by_organization.get(sent_to)
        # An outstanding call is settled where it was made, also after the portal was connected to another
        # organization.
        if outstanding is not None and not outstanding.is_of(connected):
            found.append(_Work(outstanding, portal_id, due, blocked, settled_only=True))
        elif connected is not None:
            found.append(_Work(connected, portal_id, due, blocked))
    return _grouped(found)


def connected_organizations(connection: Connection, *, portal_id: str = "") -> list[DueOrganization]:
    """Return the connected organizations (of one portal, if given), whatever is due."""
    connected = _access_index(connection).by_portal.items()
    return _grouped([_Work(access, each) for each, access in connected if portal_id in ("", each)])


@dataclass(frozen=True)
class _Access:
    """How to call an organization. Two of the same organization with different tokens are two."""

    organization_id: str
    base_url: str
    token_block: str
    calls_per_second: float = field(compare=False)
    id: int | None = field(compare=False)

    def is_of(self, other: "_Access | None") -> bool:
        return other is not None and (other.organization_id, other.base_url) == (self.organization_id, self.base_url)


@dataclass(frozen=True)
class _Work:
    access: _Access
    portal_id: str
    due: int = 0
    blocked: int = 0
    settled_only: bool = False


@dataclass(frozen=True)
class _AccessIndex:
    by_portal: dict[str, _Access]
    by_organization: dict[int | None, _Access]


def _access_index(connection: Connection) -> _AccessIndex:
    kept = connection.execute(select(*(organizations.c[name] for name in ("id", *_ACCESS_COLUMNS)))).all()
    ids = {(row.organization_id, row.base_url): row.id for row in kept}
    query = select(*(connections.c[name] for name in ("portal_id", *_ACCESS_COLUMNS))).order_by(connections.c.portal_id)
    by_portal = {
        row.portal_id: _access(row, ids.get((row.organization_id, row.base_url))) for row in connection.execute(query)
    }
    # An organization that a portal is connected to is called with that token, not with the one stored for it earlier.
    present = {(each.organization_id, each.base_url): each for each in by_portal.values()}
    return _AccessIndex(
        by_portal,
        {row.id: present.get((row.organization_id, row.base_url)) or _access(row, row.id) for row in kept},
    )


def _access(row: Any, own_id: int | None) -> _Access:
    return _Access(**{name: getattr(row, name) for name in _ACCESS_COLUMNS}, id=own_id)


def _grouped(works: Sequence[_Work]) -> list[DueOrganization]:
    of_access: dict[_Access, list[_Work]] = {}
    for each in works:
        of_access.setdefault(each.access, []).append(each)
    found = [_due_organization(access, of_each) for access, of_each in of_access.items()]
    return sorted(found, key=lambda each: (each.organization_id, each.all_portals))


def _due_organization(access: _Access, works: Sequence[_Work]) -> DueOrganization:
    own = {each.portal_id for each in works if not each.settled_only}
    return DueOrganization(
        organization_id=access.organization_id,
        base_url=access.base_url,
        token_block=access.token_block,
        calls_per_second=min(each.access.calls_per_second for each in works),  # they share the limit
        portal_ids=tuple(sorted(own)),
        due=sum(each.due for each in works),
        blocked=sum(each.blocked for each in works),
        settles=tuple(sorted({each.portal_id for each in works} - own)),
        id=access.id,
    )


def templates_with_work(connection: Connection, scope: Scope, *, now: datetime) -> list[str]:
    """Return the badge templates of the due and the blocked issuances in this scope."""
    in_scope = select(issuances.c.badge_template_id).where(scope.condition())
    query = union(in_scope.where(is_due(now=now)), in_scope.where(_is_rechecked()))
    return sorted(connection.execute(query).scalars())


_RECHECKED_REASONS = sorted(BLOCKED_REASONS - {Reason.PORTAL_NOT_CONNECTED})
_ACCESS_COLUMNS = ("organization_id", "base_url", "token_block", "calls_per_second")


def due_issuances(
    connection: Connection,
    scope: Scope,
    *,
    now: datetime,
    after_id: int = 0,
    limit: int,
) -> list[tuple[int, str]]:
    """Return id and achievement of the next due issuances with ids above `after_id`, in the order of their ids."""
    query = (
        select(issuances.c.id, issuances.c.achievement_id)
        .where(scope.condition(), issuances.c.id > after_id, is_due(now=now))
        .order_by(issuances.c.id)
        .limit(limit)
    )
    return [(row.id, row.achievement_id) for row in connection.execute(query)]


def paused_or_held(connection: Connection, *, portal_id: str | None, now: datetime, limit: int) -> list[int]:
    """Return the ids of issuances that would be due if their integrations were not paused or held."""
    time_reached = and_(issuances.c.state == IssuanceState.PENDING, issuances.c.not_before <= now)
    query = (
        select(issuances.c.id)
        .where(time_reached, integration_has(_IS_PAUSED_OR_HELD))
        .order_by(issuances.c.id)
        .limit(limit)
    )
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
    organization: int | None = None,
) -> list[int]:
    """Put a lease on those of the issuances that are due, and return their ids.

    Args:
        connection: an open transaction.
        issuance_ids: the candidates; those that are not due or that another run has claimed are left out.
        token: identifies this claim when its result is recorded.
        now: the moment (UTC).
        lease: how long the claim lasts.
        ignore_wait: also claim pending issuances before their moment and of held (not paused) integrations: for a
            retry within a run and for a manual issue.
        organization: the one that will be called (a row of `credly_organizations`); an issuance with a call
            outstanding at another one is not claimed.
    """
    values = {"ids": issuance_ids, "token": token, "now": now, "until": now + lease, "organization": organization}
    values["flow_run"] = transitions.flow_run_of(connection)
    return sorted(connection.execute(_claim(ignore_wait=ignore_wait), values).scalars())


@cache
def _claim(*, ignore_wait: bool) -> UpdateBase:
    moment = issuances.c.updated_at.type
    now, until = bindparam("now", type_=moment), bindparam("until", type_=moment)
    claimable = is_due(now=now)
    if ignore_wait:
        paused = integration_has(integrations.c.paused_at.is_not(None))
        claimable = or_(claimable, and_(issuances.c.state == IssuanceState.PENDING, ~paused))
    organization = bindparam("organization", type_=issuances.c.sent_to.type)
    here = or_(issuances.c.sent_to.is_(None), issuances.c.sent_to == organization, organization.is_(None))
    # In the order of ids: two claims that lock the same rows in different orders would deadlock.
    ids = select(issuances.c.id).where(issuances.c.id.in_(bindparam("ids", expanding=True)), claimable, here)
    ids = ids.order_by(issuances.c.id)
    taken_over = issuances.c.state == IssuanceState.ISSUING
    return (
        transitions.claiming(taken_over)
        # A run skips rows that another transaction has locked, there is other work; a manual issue waits for its row.
        .where(issuances.c.id.in_(ids.with_for_update(skip_locked=not ignore_wait)))
        .values(
            claim=bindparam("token"),
            flow_run_id=bindparam("flow_run", type_=issuances.c.flow_run_id.type),
            lease_until=until,
            # A lease that expired may have made a call: it counts as an attempt, with an unknown outcome.
            attempts=case((taken_over, issuances.c.attempts + 1), else_=issuances.c.attempts),
            unclear_at=case((taken_over, issuances.c.lease_until), else_=issuances.c.unclear_at),
            sent_to=func.coalesce(issuances.c.sent_to, organization),
            # Only without an outstanding call: a badge of this claim's call is then created from now on.
            sent_at=case((and_(~taken_over, issuances.c.unclear_at.is_(None)), now), else_=issuances.c.sent_at),
            updated_at=now,
        )
        .returning(issuances.c.id)
    )


def release(connection: Connection, issuance_ids: Sequence[int], *, token: str, now: datetime) -> int:
    """Release claimed issuances for which no request was sent; they are due again at once."""
    held = and_(issuances.c.id.in_(issuance_ids), issuances.c.claim == token)
    # An earlier claim's call may still be outstanding; its organization is kept.
    outstanding = case((issuances.c.unclear_at.is_not(None), issuances.c.sent_to))
    return transitions.move(connection, Transition.RELEASE, held, now=now, sent_to=outstanding)


def put_back(
    connection: Connection,
    issuance_ids: Sequence[int],
    reason: Reason | None,
    *,
    not_before: datetime,
    now: datetime,
) -> int:
    """Make failed issuances pending again, due at `not_before`; return how many."""
    failed = and_(issuances.c.id.in_(issuance_ids), issuances.c.state == IssuanceState.FAILED)
    return transitions.move(connection, Transition.DEFER, failed, now=now, reason=reason, not_before=not_before)


def block_due(
    connection: Connection,
    reason: Reason,
    scope: Scope,
    *,
    now: datetime,
    badge_template_id: str | None = None,
) -> int:
    """Block all pending issuances in this scope (of one template, if given); return how many."""
    condition = and_(issuances.c.state == IssuanceState.PENDING, scope.condition())
    if badge_template_id is not None:
        # What is outstanding is only looked up, which needs no active template.
        condition = and_(condition, issuances.c.badge_template_id == badge_template_id, ~is_outstanding())
    return transitions.move(connection, Transition.BLOCK, condition, now=now, reason=reason)


def unblock(
    connection: Connection,
    reasons: Sequence[Reason],
    scope: Scope,
    *,
    now: datetime,
    badge_template_id: str | None = None,
) -> int:
    """Make due the issuances in this scope that are blocked for one of the reasons; return how many."""
    condition = and_(issuances.c.reason.in_(reasons), scope.condition())
    if badge_template_id is not None:
        condition = and_(condition, issuances.c.badge_template_id == badge_template_id)
    return transitions.move(connection, Transition.UNBLOCK, condition, now=now)


def set_template(
    connection: Connection, fault: Reason | None, scope: Scope, *, now: datetime, badge_template_id: str
) -> None:
    """Unblock the issuances that wait for this template; if it has a fault, block all pending ones of it."""
    unblock(connection, TEMPLATE_REASONS, scope, now=now, badge_template_id=badge_template_id)
    if fault is not None:
        block_due(connection, fault, scope, now=now, badge_template_id=badge_template_id)
