"""Draining the due issuances of an organization: a fixed number of slots, fed from the ledger in small portions."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Sequence
from functools import cache
from math import ceil

from models.ledger import claiming
from models.ledger.claiming import DueOrganization
from rules.ledger.reasons import CONNECTION_REASONS, Reason
from settings import Settings
from tasks.issuing.batch import is_defect, issue_at_first, run_issue_batch
from tasks.issuing.dispatch import FEW_BADGES, TAKES_NEW_SECONDS
from tasks.runtime.organization import BADGES_FOR_A_CALL, Organization
from tasks.runtime.run import Run

_PORTION = 500
_LARGEST_BATCH = 100  # a killed process leaves so many claimed
_LOOK_AGAIN_SECONDS = 1.0
_SLOW_CALL_SECONDS = 2
_END = None
Batch = list[tuple[int, str]]
Slots = Sequence[asyncio.Task[int]]


class TaskRunsFailed(Exception):
    """Task runs of an organization ended with an unexpected error."""


async def drain(run: Run, organization: Organization, *, limit: int | None, together: int = 0) -> None:
    """Issue the due badges of the organization, at most `limit`.

    `together` is the number of due badges of the whole run, over all organizations.

    Raises:
        PlatformNotUsable: the platform could not be read, and what is left is due in the next run.
        TaskRunsFailed: a task run failed for a bug. All others were finished first, and nothing is lost.
    """
    _freeze_loaded_objects()
    configured, calls_per_second = run.settings, organization.due.calls_per_second
    # As many as badges in progress: with batches of one each needs a slot, and one that waits for its retry keeps it.
    count = most_in_progress(configured, calls_per_second=calls_per_second)
    queue: asyncio.Queue[Batch | None] = asyncio.Queue(maxsize=count)
    slots = [asyncio.create_task(_slot(run, organization, queue)) for _ in range(count)]
    due = max(together, min(organization.due.due, limit or organization.due.due))
    size = batch_size(configured, due=due, calls_per_second=calls_per_second)
    async for batch in _batches(run, organization, queue, slots, size=size, limit=limit):
        await organization.begin(_ids(batch), at_most=count)
        await queue.put(batch)
    for _ in slots:
        await queue.put(_END)
    defects = sum(await asyncio.gather(*slots))
    if organization.unreadable is not None:
        raise organization.unreadable
    if defects:
        raise TaskRunsFailed(_defects(defects, organization))


def _defects(count: int, organization: Organization) -> str:
    return (
        f"{count} task runs of organization {organization.due.organization_id} ended in a defect, see their logs. "
        "Their badges stay in the ledger; the next run asks Credly about them before sending anything."
    )


async def issue_few(run: Run, organization: Organization, *, together: int) -> None:
    """Issue the due badges of an organization that has few, without a task run unless some have to be tried again.

    Raises:
        PlatformNotUsable, TaskRunsFailed: as `drain`.
    """
    scope = organization.due.scope
    due = await run.database.read(claiming.due_issuances, scope, now=run.now(), limit=FEW_BADGES + 1)
    if len(due) > FEW_BADGES:  # what was blocked counts since the check
        await drain(run, organization, limit=None, together=together)
        return
    if (
        due
        and not organization.stopped
        and await is_defect(await issue_at_first(run, [each for each, _ in due], _title(due)))
    ):
        raise TaskRunsFailed(_defects(1, organization))
    if organization.unreadable is not None:
        raise organization.unreadable


def most_in_progress(configured: Settings, *, calls_per_second: float) -> int:
    """Return how many badges of an organization are claimed at a time, but for retries, before one more batch is."""
    in_half_a_lease = int(configured.lease.total_seconds() / 2 * calls_per_second)
    return max(1, min(BADGES_FOR_A_CALL * configured.calls_at_once, in_half_a_lease))


def batch_size(configured: Settings, *, due: int, calls_per_second: float) -> int:
    """Return how many badges share a task run: one, unless the run would exceed its number of task runs.

    `due` is the number of due badges of the whole run: all of its organizations share that number.
    """
    # Never so many that their lease could end before the last badge is sent, at the rate limit or with slow answers.
    pace = min(calls_per_second, configured.calls_at_once / _SLOW_CALL_SECONDS)
    in_half_a_lease = int(configured.lease.total_seconds() / 2 * pace)
    before_them = most_in_progress(configured, calls_per_second=calls_per_second)
    return max(1, min(ceil(due / configured.task_runs_per_run), _LARGEST_BATCH, in_half_a_lease - before_them))


# Once per process. A full collection visits every object of Prefect and its dependencies, which stalls the event loop,
# and with it every call, for 150 ms.
@cache
def _freeze_loaded_objects() -> None:
    gc.collect()
    gc.freeze()


async def block_rest(run: Run, organization: Organization) -> None:
    """Block the remaining due issuances if the organization was stopped for its connection."""
    if organization.stopped in CONNECTION_REASONS:
        await block_everything(run, organization.due, organization.stopped)


async def block_everything(run: Run, due: DueOrganization, reason: Reason) -> None:
    await run.database.write(claiming.block_due, reason, due.scope, now=run.now())


async def _batches(
    run: Run,
    organization: Organization,
    queue: asyncio.Queue[Batch | None],
    slots: Slots,
    *,
    size: int,
    limit: int | None,
) -> AsyncIterator[Batch]:
    # By id, and each once: a badge that is due again during this run is left to the next. What is planned meanwhile
    # comes as well, for a time: with awards that never cease, the run would never end and no other one begin.
    after_id, left, takes_new_until = 0, limit, time.monotonic() + TAKES_NEW_SECONDS
    while not (organization.stopped or organization.unreadable) and (left is None or left > 0):
        steps = run.steps.taken
        portion = await run.database.read(
            claiming.due_issuances,
            organization.due.scope,
            now=run.now(),
            after_id=after_id,
            limit=_PORTION if left is None else min(left, _PORTION),
        )
        if not portion:
            run.steps.taken = steps  # looking for nothing is no progress of a run that hangs
            if time.monotonic() > takes_new_until or await _all_done(queue, slots, within_seconds=_LOOK_AGAIN_SECONDS):
                return
            continue
        after_id = portion[-1][0]
        left = None if left is None else left - len(portion)
        for start in range(0, len(portion), size):
            if organization.stopped or organization.unreadable:
                return
            yield portion[start : start + size]


async def _all_done(queue: asyncio.Queue[Batch | None], slots: Slots, *, within_seconds: float) -> bool:
    done = asyncio.ensure_future(queue.join())
    try:
        await asyncio.wait([done, *slots], timeout=within_seconds, return_when=asyncio.FIRST_COMPLETED)
        # A slot ends before the queue does only by an error, after which some of the queue may never be done.
        return done.done() or any(slot.done() for slot in slots)
    finally:
        done.cancel()


async def _slot(run: Run, organization: Organization, queue: asyncio.Queue[Batch | None]) -> int:
    """Issue batches until the queue ends. Returns the number of task runs that failed for a bug."""
    defects = 0
    while (batch := await queue.get()) is not _END:
        try:
            defects += await is_defect(await run_issue_batch(run, _ids(batch), _title(batch)))
        finally:
            organization.end(_ids(batch))  # those of which an error left the end open
            queue.task_done()
    return defects


def _ids(batch: Batch) -> list[int]:
    return [issuance_id for issuance_id, _ in batch]


def _title(batch: Batch) -> str:
    first_id, achievement_id = batch[0]
    if len(batch) == 1:
        return f"{achievement_id} · {first_id}"
    return f"{len(batch)} badges · {first_id} to {batch[-1][0]}"
