"""Which runs of reconcile are whole ones, and what the runs between them leave to the next whole one.

The schedule starts a run every minute. A whole run sweeps many rows, tries stopped organizations again, looks at
blocked and failed issuances, and compares itself with earlier runs. The others issue what is new, and most have nothing
to do.
"""

from datetime import timedelta

from prefect import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from models.ledger.claiming import DueOrganization
from models.operations import run_log
from tasks.operations.alerts import emit_completed
from tasks.operations.retention import NOTHING_DUE, PREFECTS_TAG
from tasks.runtime.run import Run, name_run

TRIGGERED = "triggered"  # by the platform, through tasks/trigger
ROWS_BETWEEN = 1_000  # that a run between two whole ones sweeps: all of a small platform
_EARLY = 0.9  # a schedule with the same interval starts its runs some seconds more or less apart


async def is_whole(run: Run, *, portal: str, limit: int, full: bool) -> bool:
    """Whether a whole run is due. What an operator starts, or the schedule for a part only, is always one."""
    if portal or limit or full or not {PREFECTS_TAG, TRIGGERED} & set(flow_run.tags):
        return True
    last = await run.database.read(run_log.last_finding_at)
    return last is None or not timedelta(0) <= run.now() - last < _EARLY * run.settings.sweep_every


async def with_new_work(
    run: Run, organizations: list[DueOrganization]
) -> tuple[list[DueOrganization], list[DueOrganization]]:
    """Return the organizations with due badges, those to work for and those that a run has stopped recently."""
    due = [each for each in organizations if each.due]
    if not due:  # as in most runs, for which the log need not be read
        return [], []
    stopped = await run.database.read(run_log.recently_stopped, since=run.now() - run.settings.sweep_every)
    waiting = [each for each in due if (each.organization_id, each.base_url) in stopped]
    return [each for each in due if each not in waiting], waiting


async def nothing_due(unread: str, waiting: list[DueOrganization]) -> State[None]:
    """End a run that had nothing to do, without pages. Prefect's history keeps it for hours only."""
    await name_run("reconcile · nothing due")
    if unread:
        return Failed(message=unread)
    if not waiting:
        emit_completed(NOTHING_DUE)
    return Completed(name=NOTHING_DUE, message=NOTHING_DUE)
