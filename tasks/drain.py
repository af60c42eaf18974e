"""Working through what an organization has due: a fixed number of slots, fed from the ledger in small portions."""

import asyncio
import gc
from collections.abc import AsyncIterator
from functools import cache
from math import ceil

from models.ledger import claiming
from models.ledger.claiming import DueOrganization
from rules.reasons import CONNECTION_REASONS, Reason
from settings import Settings
from tasks.issue import is_defect, run_issue_batch
from tasks.runtime.organization import Organization
from tasks.runtime.run import Run

_PORTION = 500
_SLOW_CALL_SECONDS = 2
_SLOTS_FOR_A_CALL = 2  # while one badge's call is under way, another is claimed, prepared or written down
_END = None
Batch = list[tuple[int, str]]


async def drain(run: Run, organization: Organization, *, limit: int | None, together: int = 0) -> None:
    """Issue what the organization has due, at most `limit` badges.

    `together`: how many badges the whole run has due, this organization's and others'.

    Raises:
        RuntimeError: a task run ended in a defect; all others were finished first, and nothing is lost.
    """
    _spare_what_is_loaded()
    configured = run.settings
    queue: asyncio.Queue[Batch | None] = asyncio.Queue(maxsize=_slots(configured))
    slots = [asyncio.create_task(_slot(run, queue)) for _ in range(_slots(configured))]
    due = min(organization.due.due, limit or organization.due.due)
    size = batch_size(configured, due=due, together=together, calls_per_second=organization.due.calls_per_second)
    async for batch in _batches(run, organization, size=size, limit=limit):
        await queue.put(batch)
    for _ in slots:
        await queue.put(_END)
    defects = sum(await asyncio.gather(*slots))
    if defects:
        raise RuntimeError(
            f"{defects} task runs of organization {organization.due.organization_id} ended in a defect, see their logs."
            " Their badges stay in the ledger; the next run asks Credly about them before sending anything."
        )


def batch_size(configured: Settings, *, due: int, together: int, calls_per_second: float) -> int:
    """Return how many badges share a task run: one, until a run would make more task runs than it may.

    A run is all of its organizations together; but others' work leaves each one for every slot.
    Never so many that their lease could end before their turns come at the organization's pace, or at a slow Credly's.
    """
    task_runs, slots = configured.task_runs_per_run, _slots(configured)
    wanted = max(ceil(due / task_runs), min(ceil(together / task_runs), ceil(due / slots)))
    half_a_lease = configured.lease.total_seconds() / 2
    seconds_each = max(slots / calls_per_second, _SLOTS_FOR_A_CALL * _SLOW_CALL_SECONDS)
    bearable = int(half_a_lease / seconds_each)
    return max(1, min(wanted, bearable))


@cache
def _spare_what_is_loaded() -> None:
    """Once in a process: the garbage collector's look through all that is loaded holds up every call for 150 ms."""
    gc.collect()
    gc.freeze()


def _slots(configured: Settings) -> int:
    return _SLOTS_FOR_A_CALL * configured.calls_at_once


async def block_rest(run: Run, organization: Organization) -> None:
    """Where the organization had to be stopped for its token or itself, block what it still has due, at once."""
    if organization.stopped in CONNECTION_REASONS:
        await block_everything(run, organization.due, organization.stopped)


async def block_everything(run: Run, due: DueOrganization, reason: Reason) -> None:
    """Block all that an organization has pending, in one statement."""
    await run.database.write(claiming.block_due, reason, now=run.now(), **due.scope)


async def _batches(run: Run, organization: Organization, *, size: int, limit: int | None) -> AsyncIterator[Batch]:
    """Walk once through what is due now, by id; ends early where the organization is stopped."""
    after_id, left = 0, limit
    while not organization.stopped and (left is None or left > 0):
        portion = await run.database.read(
            claiming.due_issuances,
            **organization.due.scope,
            now=run.now(),
            after_id=after_id,
            limit=_PORTION if left is None else min(left, _PORTION),
        )
        if not portion:
            return
        after_id = portion[-1][0]
        left = None if left is None else left - len(portion)
        for start in range(0, len(portion), size):
            if organization.stopped:
                return
            yield portion[start : start + size]


async def _slot(run: Run, queue: asyncio.Queue[Batch | None]) -> int:
    """Issue batches until there are none; return how many task runs ended in a defect."""
    defects = 0
    while (batch := await queue.get()) is not _END:
        state = await run_issue_batch(run, [issuance_id for issuance_id, _ in batch], _title(batch))
        defects += await is_defect(state)
    return defects


def _title(batch: Batch) -> str:
    first_id, achievement_id = batch[0]
    if len(batch) == 1:
        return f"{achievement_id} · {first_id}"
    return f"{len(batch)} badges · {first_id} to {batch[-1][0]}"
