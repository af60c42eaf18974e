"""Planning: what is owed comes into the ledger."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from models import planning
from models.planning import PlanCounts
from tasks.resources import database, now


@task(name="plan", cache_policy=NO_CACHE, persist_result=False, retries=3, retry_delay_seconds=[1, 5, 20])
async def plan_issuances(portal: str = "") -> PlanCounts:
    """Put every due award that has no issuance into the ledger, and cancel, revive or unblock what changed."""
    async with database().writing() as connection:
        return await planning.plan(connection, now=now(), portal_id=portal or None)
