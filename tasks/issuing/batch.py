"""Issuing a batch of due badges: claim, load, issue each, and record each outcome at once."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any, cast
from uuid import uuid4

from prefect import State, Task, get_run_logger
from prefect.client.schemas.objects import TaskRun
from prefect.runtime import task_run
from prefect.states import Completed, Failed

from models.errors import PlatformNotUsable
from models.ledger import claiming
from models.ledger.issuance_data import claim_and_read
from models.ledger.recording import Result, RunIds, Sent
from models.platform.badge_data import complete
from rules.badge.issuance_data import IssuanceFacts
from rules.badge.names import digest_on_badge
from rules.badge.request import Prepared, prepare_request
from rules.ledger import outcome
from rules.ledger.outcome import Outcome
from rules.ledger.reasons import Reason
from settings import Settings
from tasks.issuing.badge import LONGEST_CALL, Calls, issue_one
from tasks.runtime.organization import Organization, current_organization
from tasks.runtime.run import Run, current_run, laurel_task, run_ids

_TRANSIENT = (Reason.NOT_REACHABLE, Reason.ANSWER_UNCLEAR, Reason.LOOK_UP_FAILED)
# Spreads retries: batches that failed together would otherwise come back together.
_RETRY_JITTER = 0.5


class TransientFailure(Exception):
    """Some badges of a batch failed for a temporary cause: Credly was not reachable, or its answer was unclear."""


@laurel_task(name="issue badges", task_run_name="issue {title}")
async def issue_batch(issuance_ids: list[int], title: str, *, by_hand: bool = False) -> None:
    """Issue those of these issuances that are still due, with as many calls at once as the organization may have.

    Each result is written to the ledger as it comes. Safe to run again at any time: the claim in the ledger decides who
    issues, and nothing is sent again before a look-up at Credly.

    Args:
        issuance_ids: rows of the ledger, all of the organization that the current flow run has opened.
        title: the name of the task run in Prefect.
        by_hand: issue them even if they are not due yet or their integration is held.

    Raises:
        TransientFailure: some failed for a temporary cause. They are pending in the ledger, and a retry claims them.
    """
    run, organization = current_run.get(), current_organization.get()
    del title
    if organization.unreadable is not None:
        return
    batch = await _claim(run, organization, issuance_ids, ignore_wait=by_hand or (task_run.run_count or 1) > 1)
    organization.end(set(issuance_ids) - {each.issuance_id for each in batch.facts})
    badges = (_issue_and_record(run, organization, each, batch) for each in batch.facts)
    ended = await asyncio.gather(*badges, return_exceptions=True)
    for defect in ended:
        if isinstance(defect, BaseException):
            raise defect
    transient = sum(isinstance(each, Outcome) and each.reason in _TRANSIENT for each in ended)
    if transient and not organization.stopped:
        raise TransientFailure(f"{transient} of {len(batch.facts)} failed for a temporary cause")


async def _issue_and_record(
    run: Run, organization: Organization, facts: IssuanceFacts, batch: "_Batch"
) -> Outcome | None:
    """Issue a claimed badge and return the outcome as recorded. None: not begun, or taken over by another run."""
    try:
        # Held until the result is committed: else calls would go on whose results cannot be written.
        async with organization.badges_at_once:
            async with organization.calls_at_once:
                result = None if batch.has_defect else await _issue(run, organization, facts, batch)
            recorded = await run.record(result) if result is not None else None
        organization.end([facts.issuance_id])
        if result is None:
            await _release(run, [facts], token=batch.token)
            return None
        # The lease ended and another run claimed the issuance: its outcome counts, not this one.
        if recorded is None:
            get_run_logger().warning("Issuance %s was taken over by another run.", facts.issuance_id)
            return None
        organization.note_outcome(facts, recorded)
        await _requeue_refused(run, organization)
    except BaseException as error:  # also a signal's, which Prefect raises in whatever is running
        batch.has_defect = True
        if isinstance(error, Exception):  # the batch raises the first one only
            get_run_logger().error("Issuance %s could not be finished: %s", facts.issuance_id, type(error).__name__)
        raise
    return recorded


async def run_issue_batch(run: Run, issuance_ids: list[int], title: str, *, by_hand: bool = False) -> State[None]:
    """Run `issue_batch` with retries for temporary failures, and return the task run's final state."""
    running = _retriable(run.settings)(issuance_ids, title, by_hand=by_hand, return_state=True)
    return await cast("Awaitable[State[None]]", running)


async def issue_at_first(run: Run, issuance_ids: list[int], title: str) -> State[None]:
    """Issue a batch in the current flow run, and in a task run of its own only what failed for a temporary cause."""
    try:
        await issue_batch.fn(issuance_ids, title)
    except TransientFailure as failure:
        if not run.settings.retries:
            return Failed(message=str(failure), data=failure)
        await asyncio.sleep(run.settings.retry_delay.total_seconds())
        again = _retriable(run.settings, tried=1)(issuance_ids, title, by_hand=True, return_state=True)
        return await cast("Awaitable[State[None]]", again)
    return Completed()


# Cached: `with_options` inspects the whole function, which costs as much as issuing a badge.
@cache
def _retriable(configured: Settings, tried: int = 0) -> Task[..., Any]:
    return issue_batch.with_options(
        retries=configured.retries - tried,
        retry_delay_seconds=configured.retry_delays[tried:],
        retry_jitter_factor=_RETRY_JITTER,
        retry_condition_fn=is_transient,
    )


async def is_transient(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Return whether Prefect should retry a failed task run. Everything else is a bug or final."""
    return isinstance(await state.aresult(raise_on_failure=False), TransientFailure)


async def is_defect(state: State[None]) -> bool:
    """Return whether a task run failed for a bug. After its retries, a temporary failure is left to the next run."""
    if state.is_completed():
        return False
    cause = await state.aresult(raise_on_failure=False)
    if isinstance(cause, TransientFailure):
        return False
    get_run_logger().error("A batch could not be finished: %s", type(cause).__name__)
    return True


@dataclass(kw_only=True)
class _Batch:
    token: str
    runs: RunIds
    facts: list[IssuanceFacts]
    send_by: datetime
    has_defect: bool = False  # an unexpected error of one badge, after which no other one is begun


async def _claim(run: Run, organization: Organization, issuance_ids: Sequence[int], *, ignore_wait: bool) -> _Batch:
    token, claimed_at, lease = str(uuid4()), run.now(), run.settings.lease
    # One claim at a time: many at once would delay the transactions that record results.
    async with organization.claiming:
        known = await run.database.write(
            claim_and_read,
            issuance_ids,
            now=claimed_at,
            token=token,
            lease=lease,
            ignore_wait=ignore_wait,
            organization=await organization.id_in_ledger(),
        )
    facts = await _with_platform_data(run, organization, known, token=token, claimed_at=claimed_at)
    return _Batch(token=token, runs=run_ids(), facts=facts, send_by=claimed_at + lease - LONGEST_CALL)


async def _with_platform_data(
    run: Run, organization: Organization, known: list[IssuanceFacts], *, token: str, claimed_at: datetime
) -> list[IssuanceFacts]:
    if not known:
        return []
    try:
        return await run.platform.read(complete, known, now=claimed_at)
    except Exception as error:
        # Otherwise these rows would stay claimed until their lease ends.
        await _release(run, known, token=token)
        if isinstance(error, PlatformNotUsable):
            organization.unreadable = error
            return []
        raise


async def _issue(run: Run, organization: Organization, facts: IssuanceFacts, batch: _Batch) -> Result | None:
    """Issue a claimed badge and return the result to record. None: too late to start, or organization stopped."""
    result = partial(Result, issuance_id=facts.issuance_id, token=batch.token, runs=batch.runs)
    prepared = prepare_request(facts, now=run.now())
    hindrance = _hindrance(organization, facts, prepared)
    if hindrance is not None and facts.unclear_at is None:
        return result(outcome=hindrance, now=run.now())
    if organization.stopped or run.now() >= batch.send_by:
        return None
    calls = Calls(
        run=run,
        organization=organization,
        facts=facts,
        request=prepared.request if isinstance(prepared, Prepared) else None,
        send_by=batch.send_by,
    )
    issued = await issue_one(calls, hindrance)
    sent = _sent(prepared) if isinstance(prepared, Prepared) else None
    digest = digest_on_badge(facts, issued.badge, calls.request, adopted=issued.adopted)
    return result(outcome=issued, now=run.now(), calls=calls.attempts(), sent=sent, name_digest=digest)


def _hindrance(organization: Organization, facts: IssuanceFacts, prepared: Prepared | Reason) -> Outcome | None:
    """Return the outcome of an issuance for which nothing may be sent, or None.

    Integration, award and connection may have changed since it was planned.
    """
    if isinstance(prepared, Reason):
        return outcome.not_sendable(prepared, not_before=facts.awarded_at)
    if not facts.connected:
        return outcome.blocked(Reason.PORTAL_NOT_CONNECTED)
    due = organization.due
    here = facts.connected_to == (due.base_url, due.organization_id)
    return None if here and facts.present_template_id == facts.badge_template_id else outcome.to_be_planned()


async def _requeue_refused(run: Run, organization: Organization) -> None:
    # A long series of equal refusals is not about single badges: stop the organization, and keep its badges pending
    # instead of failed.
    refused = organization.repeated_refusals()
    if not refused:
        return
    reason = refused[0][1].reason
    wait = outcome.growing_wait(run.settings.try_again_after, runs=max(facts.attempts for facts, _ in refused))
    not_before = run.now() + wait
    ids = [facts.issuance_id for facts, _ in refused]
    await run.database.write(claiming.put_back, ids, reason, not_before=not_before, now=run.now())
    organization.refused = [each for each in organization.refused if each not in refused]
    if reason is not None:
        organization.stop(reason)


async def _release(run: Run, unsent: Sequence[IssuanceFacts], *, token: str) -> None:
    ids = [facts.issuance_id for facts in unsent]
    await run.database.write(claiming.release, ids, token=token, now=run.now())


def _sent(prepared: Prepared) -> Sent:
    return Sent(
        fingerprint=prepared.request.fingerprint,
        issued_at=prepared.request.issued_at,
        evidence_sent=",".join(prepared.kinds),
        evidence_left_out=",".join(f"{kind}:{why}" for kind, why in prepared.left_out),
    )
