"""Plans and reads the ledger, for tests of planning."""

from datetime import datetime, timedelta
from typing import Any

from models.database import Database
from models.ledger.tables import BadgeIssuance
from models.planning.names import sweep_names
from models.planning.planner import Sweep, plan, sweep
from models.planning.writing import PlanCounts
from rules.ledger.states import IssuanceState
from tests.support.factories import (
    NOW,
    rows_of,
    the_row_of,
)

PENDING, ISSUING, ISSUED = IssuanceState.PENDING, IssuanceState.ISSUING, IssuanceState.ISSUED
BLOCKED, FAILED, CANCELLED = IssuanceState.BLOCKED, IssuanceState.FAILED, IssuanceState.CANCELLED
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOTHING = PlanCounts()


async def planned(database: Database, *, now: datetime = NOW, portal_id: str | None = None) -> PlanCounts:
    """As a run does."""
    counts = await plan(database, now=now, portal_id=portal_id)
    counts += await sweep(database, Sweep(), now=now, portal_id=portal_id)
    return counts + await sweep_names(database, Sweep(), now=now, portal_id=portal_id)


async def ledger(database: Database) -> list[Any]:
    return list(await rows_of(database, BadgeIssuance))


async def the_issuance(database: Database) -> Any:
    return await the_row_of(database, BadgeIssuance)
