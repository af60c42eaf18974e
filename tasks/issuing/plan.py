"""Planning: eligible awards become issuances in the ledger."""

from models.ledger.issuance_data import facts_of
from models.operations import failed
from models.planning.names import sweep_names
from models.planning.planner import Sweep, plan, sweep
from models.planning.writing import PlanCounts
from rules.ledger.sweep import HOLD_NAMES_ABOVE
from tasks.runtime.run import DATABASE_RETRIES, Run, current_run, laurel_task

# Per run: a bounded part, so that a large number of failed issuances does not slow every run down.
FAILED_LOOKED_AT = 500


@laurel_task(name="plan", retry_delays=DATABASE_RETRIES)
async def plan_issuances(portal: str = "") -> PlanCounts:
    """Enter an issuance for each new eligible award; cancel, revive or unblock where award or settings changed."""
    run = current_run.get()
    return await plan(run.database, now=run.now(), portal_id=portal or None)


async def plan_meanwhile(run: Run, portal: str = "") -> PlanCounts:
    """The same without a task run, again and again while a run issues."""
    return await plan(run.database, now=run.now(), portal_id=portal or None)


@laurel_task(name="sweep", retry_delays=DATABASE_RETRIES)
async def sweep_everything(portal: str = "", *, full: bool = False, hold_above: int = HOLD_NAMES_ABOVE) -> PlanCounts:
    """Check the awards of changed integrations and a bounded part of all others, for changes that planning missed.

    Then the names on a part of the issued badges.
    """
    return await _sweep(current_run.get(), portal, full=full, hold_above=hold_above)


@laurel_task(name="plan", retry_delays=DATABASE_RETRIES)
async def plan_new(portal: str = "", *, rows: int, hold_above: int = HOLD_NAMES_ABOVE) -> PlanCounts:
    """Plan and sweep in one, between two whole runs: a task run costs more than it does. The part has `rows` rows."""
    run = current_run.get()
    counts = await plan(run.database, now=run.now(), portal_id=portal or None)
    return counts + await _sweep(run, portal, at_least=rows, hold_above=hold_above)


async def _sweep(
    run: Run, portal: str, *, at_least: int | None = None, full: bool = False, hold_above: int
) -> PlanCounts:
    configured = run.settings
    rows = configured.sweep_rows if at_least is None else at_least
    wanted = Sweep(at_least=rows, recent=configured.recent_awards, full=full, hold_above=hold_above)
    counts = await sweep(run.database, wanted, now=run.now(), portal_id=portal or None)
    return counts + await sweep_names(run.database, wanted, now=run.now(), portal_id=portal or None)


@laurel_task(name="look again", retry_delays=DATABASE_RETRIES)
async def requeue_corrected() -> int:
    """Requeue failed issuances whose data was corrected, so that the request would now differ. Returns how many."""
    run = current_run.get()
    moment = run.now()
    ids = await run.database.read(failed.longest_not_looked_at, limit=FAILED_LOOKED_AT)
    facts = await facts_of(run.database, ids, now=moment)
    if not facts:
        return 0
    from rules.badge.request import would_differ  # with what builds requests, which most runs need for nothing else

    changed = [each.issuance_id for each in facts if would_differ(each, now=moment)]
    return await run.database.write(failed.requeue_corrected_rows, looked_at=ids, changed=changed, now=moment)
