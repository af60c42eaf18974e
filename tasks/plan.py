"""Planning: what is owed comes into the ledger."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from models import failed
from models.facts import facts_of
from models.planning.planner import Sweep, plan, sweep
from models.planning.writing import PlanCounts
from rules.badge_request import would_differ
from tasks.runtime.run import current_run

FAILED_LOOKED_AT = 500  # in a run: failed issuances cost a run the same, however many there are


@task(name="plan", cache_policy=NO_CACHE, persist_result=False, retries=3, retry_delay_seconds=[1, 5, 20])
async def plan_issuances(portal: str = "") -> PlanCounts:
    """Put every due award that has no issuance into the ledger, and cancel, revive or unblock what changed."""
    run = current_run.get()
    return await plan(run.database, now=run.now(), portal_id=portal or None)


@task(name="sweep", cache_policy=NO_CACHE, persist_result=False, retries=3, retry_delay_seconds=[1, 5, 20])
async def sweep_everything(portal: str = "", *, full: bool = False) -> PlanCounts:
    """Look at what belongs to changed integrations, and at a bounded part of everything, for what is late."""
    run = current_run.get()
    configured = run.settings
    wanted = Sweep(at_least=configured.sweep_rows, recent=configured.recent_awards, full=full)
    return await sweep(run.database, wanted, now=run.now(), portal_id=portal or None)


@task(name="look again", cache_policy=NO_CACHE, persist_result=False, retries=3, retry_delay_seconds=[1, 5, 20])
async def look_again_at_failed() -> int:
    """Make failed issuances due again whose data was corrected: the request would now differ. Return how many."""
    run = current_run.get()
    moment = run.now()
    ids = await run.database.read(failed.longest_not_looked_at, limit=FAILED_LOOKED_AT)
    facts = await facts_of(run.database, ids, now=moment)
    if not facts:
        return 0
    changed = [each.issuance_id for each in facts if would_differ(each, now=moment)]
    return await run.database.write(failed.look_again, looked_at=ids, changed=changed, now=moment)
