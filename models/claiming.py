"""How one run takes issuances, what it reads for them, and how it writes down what became of them.

Three short transactions for each batch: claim · (call Credly, no transaction open) · record. A claim carries a
token, and recording asks for it, so that a run which lost its lease cannot overwrite what another run found.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    union,
    union_all,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from models.integrations import CredlyConnection, CredlyIntegration
from models.ledger import AttemptKind, AttemptOutcome, BadgeIssuance, IssuanceAttempt
from models.tables import table
from rules.outcome import Outcome, failed
from rules.reasons import BLOCKED_REASONS, Reason
from rules.states import IssuanceState

issuances = table(BadgeIssuance)
attempts = table(IssuanceAttempt)
connections = table(CredlyConnection)
integrations = table(CredlyIntegration)
_KEPT_BACK = or_(integrations.c.paused_at.is_not(None), integrations.c.held_at.is_not(None))

LONGEST_URL = 500  # what the ledger has room for


@dataclass(frozen=True, kw_only=True)
class RunIds:
    """Which Prefect runs wrote a row, so that the ledger leads to the run history and back."""

    flow_run_id: str | None = None
    task_run_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One call made to Credly, without any personal data."""

    issuance_id: int
    kind: AttemptKind
    outcome: AttemptOutcome
    started_at: datetime
    duration: timedelta
    status: int | None = None
    code: str | None = None
    credly_message: str | None = None
    request_id: str | None = None
    request_fingerprint: str | None = None
    field_names: str = ""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What a request consisted of, kept beside its result: fingerprint and evidence kinds, no values."""

    fingerprint: str
    issued_at: datetime
    evidence_sent: str
    evidence_left_out: str


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


def is_due(*, now: datetime) -> ColumnElement[bool]:
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


async def due_organizations(
    connection: AsyncConnection, *, now: datetime, portal_ids: Sequence[str] | None = None
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
    for row in await connection.execute(query):
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


async def templates_with_work(connection: AsyncConnection, *, portal_ids: Sequence[str], now: datetime) -> list[str]:
    """Return the badge templates of what these portals have due or blocked by its template."""
    of_portals = select(issuances.c.badge_template_id).where(issuances.c.portal_id.in_(portal_ids))
    query = union(of_portals.where(is_due(now=now)), of_portals.where(_is_mendable()))
    return sorted((await connection.execute(query)).scalars())


_MENDABLE = sorted(BLOCKED_REASONS - {Reason.PORTAL_NOT_CONNECTED})
_CONNECTION_COLUMNS = ("organization_id", "base_url", "token_block", "portal_id", "calls_per_second")


async def due_issuances(
    connection: AsyncConnection, *, portal_ids: Sequence[str], now: datetime, after_id: int = 0, limit: int
) -> list[tuple[int, str]]:
    """Return id and achievement of the next due issuances of these portals, with ids above `after_id`, in order."""
    query = (
        select(issuances.c.id, issuances.c.achievement_id)
        .where(issuances.c.portal_id.in_(portal_ids), issuances.c.id > after_id, is_due(now=now))
        .order_by(issuances.c.id)
        .limit(limit)
    )
    return [(row.id, row.achievement_id) for row in await connection.execute(query)]


async def kept_back(connection: AsyncConnection, *, portal_id: str | None, now: datetime, limit: int) -> list[int]:
    """Return the ids of issuances that would be due, were their integrations not paused or held by a person."""
    come = and_(issuances.c.state == IssuanceState.PENDING, issuances.c.not_before <= now)
    query = select(issuances.c.id).where(come, _integration_is(_KEPT_BACK)).order_by(issuances.c.id).limit(limit)
    if portal_id is not None:
        query = query.where(issuances.c.portal_id == portal_id)
    return [row.id for row in await connection.execute(query)]


async def claim(
    connection: AsyncConnection,
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
    claimable = is_due(now=now)
    if ignore_wait:
        paused = _integration_is(integrations.c.paused_at.is_not(None))
        claimable = or_(claimable, and_(issuances.c.state == IssuanceState.PENDING, ~paused))
    ids = select(issuances.c.id).where(issuances.c.id.in_(issuance_ids), claimable)
    taken_over = issuances.c.state == IssuanceState.ISSUING
    statement = (
        update(issuances)
        .where(issuances.c.id.in_(ids.with_for_update(skip_locked=True)))
        .values(
            state=IssuanceState.ISSUING,
            reason=None,
            claim=token,
            lease_until=now + lease,
            attempts=case((taken_over, issuances.c.attempts + 1), else_=issuances.c.attempts),
            unclear_at=case((taken_over, issuances.c.lease_until), else_=issuances.c.unclear_at),
            updated_at=now,
        )
        .returning(issuances.c.id)
    )
    return sorted((await connection.execute(statement)).scalars())


async def record(
    connection: AsyncConnection,
    issuance_id: int,
    outcome: Outcome,
    *,
    token: str,
    now: datetime,
    runs: RunIds,
    calls: Iterable[Attempt] = (),
    sent: Sent | None = None,
) -> Outcome | None:
    """Write what became of a claimed issuance, and the calls made for it; return it, or None if the claim is lost.

    The calls are kept in either case: they were made. A badge that was found but is another issuance's fails
    this one: so it is where two achievements have one template, or two users one address.
    """
    for call in calls:
        await connection.execute(insert(attempts).values(**_attempt_values(call, runs)))
    result = _Result(issuance_id=issuance_id, token=token, now=now, runs=runs, sent=sent)
    badge = outcome.badge
    if badge is None:
        return outcome if await _written(connection, outcome, result) else None
    try:
        if not (outcome.adopted and await _is_another_s(connection, issuance_id, badge.id)):
            async with connection.begin_nested():
                return outcome if await _written(connection, outcome, result) else None
    except IntegrityError:  # another run writes down the same badge at this moment
        if not await _is_another_s(connection, issuance_id, badge.id):
            raise
    duplicate = failed(Reason.DUPLICATE_ELSEWHERE)
    return duplicate if await _written(connection, duplicate, result) else None


@dataclass(frozen=True, kw_only=True)
class _Result:
    """What is written beside an outcome, and under which claim."""

    issuance_id: int
    token: str
    now: datetime
    runs: RunIds
    sent: Sent | None


async def _written(connection: AsyncConnection, outcome: Outcome, result: _Result) -> bool:
    """Write the outcome; return whether the claim still held."""
    held = and_(
        issuances.c.id == result.issuance_id,
        issuances.c.state == IssuanceState.ISSUING,
        issuances.c.claim == result.token,
    )
    statement = update(issuances).where(held).values(**_values_of(outcome, result))
    return (await connection.execute(statement)).rowcount == 1


def _values_of(outcome: Outcome, result: _Result) -> dict[str, Any]:
    sent, now = result.sent, result.now
    values: dict[str, Any] = {
        "state": outcome.state,
        "reason": outcome.reason,
        "credly_message": outcome.credly_message,
        "claim": None,
        "lease_until": None,
        "updated_at": now,
        "flow_run_id": result.runs.flow_run_id,
        "task_run_id": result.runs.task_run_id,
    }
    if outcome.uses_attempt:
        values["attempts"] = issuances.c.attempts + 1
    if outcome.not_before is not None:
        values["not_before"] = outcome.not_before
    if outcome.unclear:
        values["unclear_at"] = now
    if sent is not None:
        values |= {
            "request_fingerprint": sent.fingerprint,
            "evidence_sent": sent.evidence_sent,
            "evidence_left_out": sent.evidence_left_out,
        }
    if outcome.badge is not None:
        values |= {
            "credly_badge_id": outcome.badge.id,
            "badge_url": _fitting(outcome.badge.url),
            "adopted": outcome.adopted,
            "issued_at": outcome.badge.issued_at or (sent.issued_at if sent else now),
            "recorded_at": now,
            "unclear_at": None,
            "replaces_badge_id": None,
        }
    return values


async def _is_another_s(connection: AsyncConnection, issuance_id: int, badge_id: str) -> bool:
    """Say whether a badge stands in another row, or is to be replaced by another row of the same user."""
    user_id = select(issuances.c.user_id).where(issuances.c.id == issuance_id).scalar_subquery()
    to_be_replaced = and_(issuances.c.user_id == user_id, issuances.c.replaces_badge_id == badge_id)
    has_it = or_(issuances.c.credly_badge_id == badge_id, to_be_replaced)
    query = select(issuances.c.id).where(has_it, issuances.c.id != issuance_id).limit(1)
    return await connection.scalar(query) is not None


def _fitting(url: str | None) -> str | None:
    """An address that is too long for its column is not kept: half of it leads nowhere."""
    return url if url is None or len(url) <= LONGEST_URL else None


async def release(connection: AsyncConnection, issuance_ids: Sequence[int], *, token: str, now: datetime) -> int:
    """Give back claimed issuances for which nothing was sent; they are due again at once."""
    held = and_(
        issuances.c.id.in_(issuance_ids),
        issuances.c.state == IssuanceState.ISSUING,
        issuances.c.claim == token,
    )
    values = {"state": IssuanceState.PENDING, "claim": None, "lease_until": None, "updated_at": now}
    return (await connection.execute(update(issuances).where(held).values(**values))).rowcount


async def block_due(
    connection: AsyncConnection,
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
    return (await connection.execute(update(issuances).where(condition).values(**values))).rowcount


async def unblock(
    connection: AsyncConnection,
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
    return (await connection.execute(update(issuances).where(condition).values(**values))).rowcount


def _attempt_values(call: Attempt, runs: RunIds) -> dict[str, Any]:
    return {
        "issuance_id": call.issuance_id,
        "kind": call.kind,
        "outcome": call.outcome,
        "started_at": call.started_at,
        "duration_ms": round(call.duration.total_seconds() * 1000),
        "status": call.status,
        "code": call.code,
        "credly_message": call.credly_message,
        "request_id": call.request_id,
        "request_fingerprint": call.request_fingerprint,
        "field_names": call.field_names,
        "flow_run_id": runs.flow_run_id,
        "task_run_id": runs.task_run_id,
    }
