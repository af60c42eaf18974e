"""How one run takes issuances and gives them back: a lease on each row, under the token of the one who took it.

Short transactions: claim · (call Credly, no transaction open) · record, which is in models/ledger/recording.py.
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
    exists,
    func,
    literal,
    or_,
    select,
    union,
    union_all,
)

from models.integrations import CredlyConnection, CredlyIntegration
from models.ledger import transitions
from models.ledger.outstanding import is_outstanding
from models.ledger.tables import BadgeIssuance
from models.organizations import organizations
from models.tables import table
from rules.ledger.transitions import Transition
from rules.reasons import BLOCKED_REASONS, TEMPLATE_REASONS, Reason
from rules.states import IssuanceState

issuances = table(BadgeIssuance)
connections = table(CredlyConnection)
integrations = table(CredlyIntegration)
_KEPT_BACK = or_(integrations.c.paused_at.is_not(None), integrations.c.held_at.is_not(None))


@dataclass(frozen=True, kw_only=True)
class DueOrganization:
    """A Credly organization with something due, reached through one token.

    `settles` are portals that are not connected to it any more, of which calls to it are outstanding. `id` is the
    organization's own in the ledger's database.
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
    def scope(self) -> dict[str, Any]:
        """Which issuances are this organization's, for the functions below."""
        return {"portal_ids": self.portal_ids, "settles": self.settles, "organization": self.id}

    @property
    def all_portals(self) -> tuple[str, ...]:
        """The portals whose issuances it has."""
        return (*self.portal_ids, *self.settles)


def _of(portal_ids: Sequence[str], settles: Sequence[str], organization: int | None) -> ColumnElement[bool]:
    """Return the condition: an issuance of these portals, unless a call for it is outstanding at another organization.

    Of portals in `settles`, only those whose call is outstanding at this one.
    """
    columns = issuances.c
    if organization is None:
        return columns.portal_id.in_(portal_ids)
    here = columns.sent_to == organization
    mine = and_(columns.portal_id.in_(portal_ids), or_(columns.sent_to.is_(None), here))
    if not settles:
        return mine
    of_portals = columns.portal_id.in_([*portal_ids, *settles])  # said once more, for the index
    return and_(of_portals, or_(mine, and_(columns.portal_id.in_(settles), here)))


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
    columns = (issuances.c.portal_id, issuances.c.sent_to)
    work = union_all(
        select(*columns, one.label("due"), none.label("blocked")).where(is_due(now=now)),
        select(*columns, none.label("due"), one.label("blocked")).where(_is_mendable()),
    ).subquery()
    counts = (func.sum(work.c.due).label("due"), func.sum(work.c.blocked).label("blocked"))
    query = select(work.c.portal_id, work.c.sent_to, *counts).group_by(work.c.portal_id, work.c.sent_to)
    if portal_ids is not None:
        query = query.where(work.c.portal_id.in_(portal_ids))
    reaches = _reaches(connection)
    found: dict[_Reach, list[_Work]] = {}
    for portal_id, sent_to, due, blocked in connection.execute(query):
        connected = reaches.of_portals.get(portal_id)
        outstanding = reaches.of_organizations.get(sent_to)
        if outstanding is not None and not outstanding.is_of(connected):
            found.setdefault(outstanding, []).append(_Work(portal_id, due, blocked, settled_only=True))
        elif connected is not None:
            found.setdefault(connected, []).append(_Work(portal_id, due, blocked))
    return sorted(
        (_due_organization(reach, of_reach) for reach, of_reach in found.items()),
        key=lambda each: (each.organization_id, each.all_portals),
    )


@dataclass(frozen=True)
class _Reach:
    """An organization and the token with which it is reached."""

    organization_id: str
    base_url: str
    token_block: str
    id: int | None = field(compare=False)
    calls_per_second: float = field(compare=False)

    def is_of(self, other: "_Reach | None") -> bool:
        return other is not None and (other.organization_id, other.base_url) == (self.organization_id, self.base_url)


@dataclass(frozen=True)
class _Work:
    portal_id: str
    due: int
    blocked: int
    settled_only: bool = False


@dataclass(frozen=True)
class _Reaches:
    of_portals: dict[str, _Reach]
    of_organizations: dict[int | None, _Reach]


def _reaches(connection: Connection) -> _Reaches:
    """Return how each portal's organization is reached, and each that calls were made to, with its present token."""
    kept = connection.execute(select(*(organizations.c[name] for name in ("id", *_REACH)))).all()
    ids = {(row.base_url, row.organization_id): row.id for row in kept}
    query = select(*(connections.c[name] for name in ("portal_id", *_REACH))).order_by(connections.c.portal_id)
    connected = connection.execute(query).all()
    slowest: dict[tuple[str, str, str], float] = {}  # portals that share an organization and its token share its pace
    for row in connected:
        reach = (row.organization_id, row.base_url, row.token_block)
        slowest[reach] = min(row.calls_per_second, slowest.get(reach, row.calls_per_second))
    of_portals = {
        row.portal_id: _Reach(*reach, ids.get((row.base_url, row.organization_id)), slowest[reach])
        for row in connected
        for reach in [(row.organization_id, row.base_url, row.token_block)]
    }
    present = {(each.base_url, each.organization_id): each for each in of_portals.values()}
    of_organizations: dict[int | None, _Reach] = {
        own_id: present.get((base_url, organization_id)) or _Reach(organization_id, base_url, token_block, own_id, pace)
        for own_id, organization_id, base_url, token_block, pace in kept
    }
    return _Reaches(of_portals, of_organizations)


def _due_organization(reach: _Reach, of_reach: Sequence[_Work]) -> DueOrganization:
    own = {each.portal_id for each in of_reach if not each.settled_only}
    return DueOrganization(
        organization_id=reach.organization_id,
        base_url=reach.base_url,
        token_block=reach.token_block,
        calls_per_second=reach.calls_per_second,
        portal_ids=tuple(sorted(own)),
        due=sum(each.due for each in of_reach),
        blocked=sum(each.blocked for each in of_reach),
        settles=tuple(sorted({each.portal_id for each in of_reach} - own)),
        id=reach.id,
    )


def templates_with_work(
    connection: Connection,
    *,
    portal_ids: Sequence[str],
    now: datetime,
    settles: Sequence[str] = (),
    organization: int | None = None,
) -> list[str]:
    """Return the badge templates of what these portals have due or blocked by its template."""
    of_portals = select(issuances.c.badge_template_id).where(_of(portal_ids, settles, organization))
    query = union(of_portals.where(is_due(now=now)), of_portals.where(_is_mendable()))
    return sorted(connection.execute(query).scalars())


_MENDABLE = sorted(BLOCKED_REASONS - {Reason.PORTAL_NOT_CONNECTED})
_REACH = ("organization_id", "base_url", "token_block", "calls_per_second")


def due_issuances(
    connection: Connection,
    *,
    portal_ids: Sequence[str],
    now: datetime,
    after_id: int = 0,
    limit: int,
    settles: Sequence[str] = (),
    organization: int | None = None,
) -> list[tuple[int, str]]:
    """Return id and achievement of the next due issuances of these portals, with ids above `after_id`, in order."""
    query = (
        select(issuances.c.id, issuances.c.achievement_id)
        .where(_of(portal_ids, settles, organization), issuances.c.id > after_id, is_due(now=now))
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
    organization: int | None = None,
) -> list[int]:
    """Put a lease on those of the issuances that are due, and return their ids; the others belong to someone else.

    `ignore_wait` also takes pending ones whose moment has not come, and of integrations that are held: for a
    retry within a run and for issuing by hand. What is paused stays. A lease taken over counts as an attempt and
    marks the issuance unclear from the moment that lease ended. `organization` is the one that will be called, by its
    id in the ledger's database; what has a call outstanding at another one is not claimed.
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
        paused = _integration_is(integrations.c.paused_at.is_not(None))
        claimable = or_(claimable, and_(issuances.c.state == IssuanceState.PENDING, ~paused))
    organization = bindparam("organization", type_=issuances.c.sent_to.type)
    here = or_(issuances.c.sent_to.is_(None), issuances.c.sent_to == organization, organization.is_(None))
    # A run goes on without what others hold at this moment; who asked for this very badge waits for them.
    ids = select(issuances.c.id).where(issuances.c.id.in_(bindparam("ids", expanding=True)), claimable, here)
    ids = ids.order_by(issuances.c.id)
    taken_over = issuances.c.state == IssuanceState.ISSUING
    return (
        transitions.claiming(taken_over)
        .where(issuances.c.id.in_(ids.with_for_update(skip_locked=not ignore_wait)))
        .values(
            claim=bindparam("token"),
            flow_run_id=bindparam("flow_run", type_=issuances.c.flow_run_id.type),
            lease_until=until,
            attempts=case((taken_over, issuances.c.attempts + 1), else_=issuances.c.attempts),
            unclear_at=case((taken_over, issuances.c.lease_until), else_=issuances.c.unclear_at),
            sent_to=func.coalesce(issuances.c.sent_to, organization),
            # Nothing is outstanding: what this claim's call makes is made from now on.
            sent_at=case((and_(~taken_over, issuances.c.unclear_at.is_(None)), now), else_=issuances.c.sent_at),
            updated_at=now,
        )
        .returning(issuances.c.id)
    )


def release(connection: Connection, issuance_ids: Sequence[int], *, token: str, now: datetime) -> int:
    """Give back claimed issuances for which nothing was sent; they are due again at once."""
    held = and_(issuances.c.id.in_(issuance_ids), issuances.c.claim == token)
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
    """Make failed issuances pending again, to be tried after a wait; return how many."""
    failed = and_(issuances.c.id.in_(issuance_ids), issuances.c.state == IssuanceState.FAILED)
    return transitions.move(connection, Transition.DEFER, failed, now=now, reason=reason, not_before=not_before)


def block_due(
    connection: Connection,
    reason: Reason,
    *,
    portal_ids: Sequence[str],
    now: datetime,
    badge_template_id: str | None = None,
    settles: Sequence[str] = (),
    organization: int | None = None,
) -> int:
    """Block everything pending of these portals (of one template, if given) for one reason, in one statement."""
    condition = and_(issuances.c.state == IssuanceState.PENDING, _of(portal_ids, settles, organization))
    if badge_template_id is not None:
        # What is outstanding is only looked up, which needs no active template.
        condition = and_(condition, issuances.c.badge_template_id == badge_template_id, ~is_outstanding())
    return transitions.move(connection, Transition.BLOCK, condition, now=now, reason=reason)


def unblock(
    connection: Connection,
    reasons: Sequence[Reason],
    *,
    portal_ids: Sequence[str],
    now: datetime,
    badge_template_id: str | None = None,
    settles: Sequence[str] = (),
    organization: int | None = None,
) -> int:
    """Make due again what these portals have blocked for one of the reasons, in one statement."""
    condition = and_(issuances.c.reason.in_(reasons), _of(portal_ids, settles, organization))
    if badge_template_id is not None:
        condition = and_(condition, issuances.c.badge_template_id == badge_template_id)
    return transitions.move(connection, Transition.UNBLOCK, condition, now=now)


def set_template(
    connection: Connection, fault: Reason | None, *, scope: dict[str, Any], now: datetime, badge_template_id: str
) -> None:
    """Make due what waits for this template; where it has a fault, block that and all else that is pending of it."""
    unblock(connection, TEMPLATE_REASONS, now=now, badge_template_id=badge_template_id, **scope)
    if fault is not None:
        block_due(connection, fault, now=now, badge_template_id=badge_template_id, **scope)
