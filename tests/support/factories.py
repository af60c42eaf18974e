"""Rows for tests, one function a table. What a row hangs on is made as well where it is not there yet."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar

from sqlalchemy import Connection, delete, insert, select, update

from models.base import Model
from models.database import Database
from models.ledger.history import IssuanceTransition
from models.ledger.tables import AttemptKind, AttemptOutcome, BadgeIssuance, IssuanceAttempt
from models.platform.tables import Achievement, AchievementAward, Company, Portal, Project, User, UserEmail
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState, Origin

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
ENABLED = NOW - timedelta(days=30)
AWARDED = NOW - timedelta(days=1)
PORTAL, ACHIEVEMENT, USER, TEMPLATE = "northwind", "forklift", "ada", "template-1"

Where = Connection | Database
"""An open transaction (see `together`), or a database: then in a transaction of its own."""

Made = TypeVar("Made")

_numbers = count(1)
_SET_BY_STATE: dict[IssuanceState, dict[str, Any]] = {
    IssuanceState.ISSUING: {"claim": "run-1", "lease_until": NOW + timedelta(minutes=10)},
    IssuanceState.ISSUED: {"recorded_at": NOW},
    IssuanceState.BLOCKED: {"reason": Reason.PORTAL_NOT_CONNECTED},
    IssuanceState.FAILED: {"reason": Reason.REFUSED_BY_CREDLY},
    IssuanceState.CANCELLED: {"reason": Reason.INTEGRATION_REMOVED},
}


async def together(database: Database, make: Callable[[Connection], Coroutine[Any, Any, Made]]) -> Made:
    """Make many rows in one transaction: fifty times as fast as one for each."""
    return await database.write(lambda connection: asyncio.run(make(connection)))


async def a_portal(where: Where, portal: str = PORTAL, **changes: Any) -> str:
    values = {"name": portal.title(), "url": f"https://{portal}.example.org"}
    return await _put(where, Portal, portal, values | changes)


async def a_user(where: Where, user: str = USER, *, email: str | None = "", **changes: Any) -> str:
    """With a primary address made from the id; `email=None` gives none."""
    values = {"first_name": user.title(), "last_name": "Muster", "profile_url": f"https://example.org/people/{user}"}
    await _put(where, User, user, values | changes)
    if email is not None:
        await an_email(where, user=user, address=email or f"{user}@example.org")
    return user


async def an_email(where: Where, *, user: str = USER, address: str, is_primary: bool = True) -> str:
    values = {"user_id": user, "address": address, "is_primary": is_primary}
    return await _put(where, UserEmail, f"email-{next(_numbers)}", values)


async def a_company(where: Where, company: str = "acme", **changes: Any) -> str:
    values = {"name": company.title(), "url": f"https://{company}.example.org"}
    return await _put(where, Company, company, values | changes)


async def a_project(where: Where, project: str = "bridge", **changes: Any) -> str:
    values = {"name": project.title(), "url": f"https://{project}.example.org"}
    return await _put(where, Project, project, values | changes)


async def an_achievement(where: Where, achievement: str = ACHIEVEMENT, *, portal: str = PORTAL) -> str:
    if not await _is_there(where, Portal, portal):
        await a_portal(where, portal)
    return await _put(where, Achievement, achievement, {"portal_id": portal, "name": achievement.title()})


async def an_award(
    where: Where,
    award: str = "",
    *,
    user: str = USER,
    achievement: str = ACHIEVEMENT,
    awarded_at: datetime = AWARDED,
    **changes: Any,
) -> str:
    if not await _is_there(where, User, user):
        await a_user(where, user)
    if not await _is_there(where, Achievement, achievement):
        await an_achievement(where, achievement)
    values = {"user_id": user, "achievement_id": achievement, "awarded_at": awarded_at}
    return await _put(where, AchievementAward, award or f"award-{next(_numbers)}", values | changes)


async def a_connection(where: Where, *, portal: str = PORTAL, **changes: Any) -> int:
    values = {
        "portal_id": portal,
        "organization_id": "organization-1",
        "token_block": "credly-northwind",
        "base_url": "https://credly.example.org/v1",
        "calls_per_second": 3.0,
        "missing_name": "",
        "connected_at": ENABLED,
    }
    return await _put_numbered(where, CredlyConnection, values | changes)


async def an_integration(where: Where, *, achievement: str = ACHIEVEMENT, **changes: Any) -> int:
    if not await _is_there(where, Achievement, achievement):
        await an_achievement(where, achievement)
    plain = CredlyIntegration(achievement_id=achievement, badge_template_id=TEMPLATE, enabled_at=ENABLED)
    return await _put_numbered(where, CredlyIntegration, plain.model_dump(exclude={"id"}) | changes)


async def an_issuance(
    where: Where,
    *,
    user: str = USER,
    achievement: str = ACHIEVEMENT,
    portal: str = PORTAL,
    state: IssuanceState = IssuanceState.PENDING,
    **changes: Any,
) -> int:
    """A row of the ledger, with what its state asks for."""
    values = {
        "achievement_id": achievement,
        "user_id": user,
        "badge_template_id": TEMPLATE,
        "portal_id": portal,
        "origin": Origin.AWARD,
        "state": state,
        "not_before": AWARDED,
        "looked_again_at": AWARDED,
        "attempts": 0,
        "adopted": False,
        "evidence_sent": "",
        "evidence_left_out": "",
        "planned_at": AWARDED,
        "updated_at": AWARDED,
    }
    if state is IssuanceState.ISSUED:
        values["credly_badge_id"] = f"badge-{next(_numbers)}"
    return await _put_numbered(where, BadgeIssuance, values | _SET_BY_STATE.get(state, {}) | changes)


async def an_attempt(where: Where, *, issuance: int, **changes: Any) -> int:
    values = {
        "issuance_id": issuance,
        "kind": AttemptKind.ISSUE,
        "outcome": AttemptOutcome.ISSUED,
        "started_at": NOW,
        "duration_ms": 1,
        "field_names": "",
    }
    return await _put_numbered(where, IssuanceAttempt, values | changes)


async def change(where: Where, model: type[Model], key: str | int, **values: Any) -> None:
    await do(where, update(table(model)).where(table(model).c.id == key).values(**values))


async def remove(where: Where, model: type[Model]) -> None:
    """Delete every row of a table, and what belongs to it."""
    if model is BadgeIssuance:
        await do(where, delete(table(IssuanceTransition)))
    await do(where, delete(table(model)))


async def rows_of(where: Where, model: type[Model]) -> Sequence[Any]:
    """Every row of a table, in the order of the ids."""
    query = select(table(model)).order_by(table(model).c.id)
    if isinstance(where, Connection):
        return where.execute(query).all()
    return await where.read(lambda connection: connection.execute(query).all())


async def the_row_of(where: Where, model: type[Model]) -> Any:
    """The only row of a table."""
    (row,) = await rows_of(where, model)
    return row


async def _put(where: Where, model: type[Model], key: str, values: dict[str, Any]) -> str:
    await do(where, insert(table(model)).values(id=key, **values))
    return key


async def _put_numbered(where: Where, model: type[Model], values: dict[str, Any]) -> int:
    result = await do(where, insert(table(model)).values(**values))
    return int(result.inserted_primary_key[0])


async def _is_there(where: Where, model: type[Model], key: str) -> bool:
    return any(row.id == key for row in await rows_of(where, model))


async def do(where: Where, statement: Any) -> Any:
    if isinstance(where, Connection):
        return where.execute(statement)
    return await where.write(Connection.execute, statement)
