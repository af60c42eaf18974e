"""Issuing a batch of due badges: claim, load, issue each, record each as soon as it is known."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any, cast
from uuid import uuid4

from prefect import State, Task, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from models.facts import claim_and_read
from models.ledger import claiming
from models.ledger.recording import Result, RunIds, Sent
from models.platform.badge_data import complete
from rules import outcome
from rules.badge_request import Prepared, prepare_request
from rules.facts import IssuanceFacts
from rules.outcome import Outcome
from rules.reasons import Reason
from settings import Settings
from tasks.one_badge import LONGEST_CALL, Calls, issue_one
from tasks.retrying import JITTER, TryAgain, may_pass
from tasks.runtime.organization import Organization, current_organization
from tasks.runtime.run import Run, current_run, run_ids

_MAY_PASS = (Reason.NOT_REACHABLE, Reason.ANSWER_UNCLEAR, Reason.LOOK_UP_FAILED)


@task(name="issue badges", task_run_name="issue {title}", cache_policy=NO_CACHE, persist_result=False)
async def issue_batch(issuance_ids: list[int], title: str, *, by_hand: bool = False) -> None:
    """Issue those of these issuances that are still due, one after the other.

    Each result is in the ledger before the next badge is begun. Safe to run again, at any time and by anybody:
    the claim decides, and nothing is sent again before Credly has been asked.

    Args:
        issuance_ids: rows of the ledger, all of the organization that the running flow has opened.
        title: what the task run is called in Prefect.
        by_hand: take them although their moment has not come, or their integration is held.

    Raises:
        TryAgain: some met what may pass; they are in the ledger as pending, and a retry takes them up.
    """
    run, organization = current_run.get(), current_organization.get()
    del title
    batch = await _claim(run, organization, issuance_ids, ignore_wait=by_hand or (task_run.run_count or 1) > 1)
    left_over = 0
    for place, facts in enumerate(batch.facts):
        known = await _issue(run, organization, facts, batch)
        if known is None:
            await _give_back(run, batch.facts[place:], token=batch.token)
            break
        result = await run.record(known)
        if result is None:  # another run has taken it over, and records what becomes of it
            get_run_logger().warning("Issuance %s was taken over by another run.", facts.issuance_id)
            continue
        left_over += result.reason in _MAY_PASS
        organization.note(facts, result)
        await _put_back_refused(run, organization)
    if left_over and not organization.stopped:
        raise TryAgain(f"{left_over} of {len(batch.facts)} met what may pass")


async def run_issue_batch(run: Run, issuance_ids: list[int], title: str, *, by_hand: bool = False) -> State[None]:
    """Issue a batch as a task run that tries again what may pass, and return the task run's final state."""
    running = _retriable(run.settings)(issuance_ids, title, by_hand=by_hand, return_state=True)
    return await cast("Awaitable[State[None]]", running)


@cache
def _retriable(configured: Settings) -> Task[..., Any]:
    """Make the task with its retries, which costs as much as issuing a badge, once for all batches."""
    return issue_batch.with_options(
        retries=configured.retries,
        retry_delay_seconds=[configured.retry_delay.total_seconds() * 2**n for n in range(configured.retries)],
        retry_jitter_factor=JITTER,
        retry_condition_fn=may_pass,
    )


async def is_defect(state: State[None]) -> bool:
    """Say whether a task run ended in anything but its work done, or done as far as may be in this run."""
    if state.is_completed():
        return False
    cause = await state.aresult(raise_on_failure=False)
    if isinstance(cause, TryAgain):
        return False
    get_run_logger().error("A batch could not be finished: %s", type(cause).__name__)
    return True


@dataclass(frozen=True, kw_only=True)
class _Batch:
    token: str
    runs: RunIds
    facts: list[IssuanceFacts]
    send_by: datetime


async def _claim(run: Run, organization: Organization, issuance_ids: Sequence[int], *, ignore_wait: bool) -> _Batch:
    token, claimed_at, lease = str(uuid4()), run.now(), run.settings.lease
    async with organization.claiming:  # one at a time, so that results need not wait behind many
        known = await run.database.write(
            claim_and_read,
            issuance_ids,
            now=claimed_at,
            token=token,
            lease=lease,
            ignore_wait=ignore_wait,
            organization=await organization.id_in_ledger(),
        )
    facts = await _completed(run, known, token=token, claimed_at=claimed_at)
    return _Batch(token=token, runs=run_ids(), facts=facts, send_by=claimed_at + lease - LONGEST_CALL)


async def _completed(run: Run, known: list[IssuanceFacts], *, token: str, claimed_at: datetime) -> list[IssuanceFacts]:
    """Add what the platform knows of what was claimed. Where it cannot be read, nothing stays behind claimed."""
    if not known:
        return []
    try:
        return await run.platform.read(complete, known, now=claimed_at)
    except Exception:
        await _give_back(run, known, token=token)
        raise


async def _issue(run: Run, organization: Organization, facts: IssuanceFacts, batch: _Batch) -> Result | None:
    """Issue a claimed badge when a call may be made, and return what is to be recorded; None: too late to begin."""
    result = partial(Result, issuance_id=facts.issuance_id, token=batch.token, runs=batch.runs)
    prepared = prepare_request(facts, now=run.now())
    hindrance = _hindrance(organization, facts, prepared)
    if hindrance is not None and facts.unclear_at is None:
        return result(outcome=hindrance, now=run.now())
    async with organization.calls_at_once:
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
    return result(outcome=issued, now=run.now(), calls=calls.attempts(), sent=sent)


def _hindrance(organization: Organization, facts: IssuanceFacts, prepared: Prepared | Reason) -> Outcome | None:
    """Return what becomes of an issuance for which nothing may be sent, or None.

    What has changed since it was planned counts: its integration, its award, and where its portal is connected to.
    """
    if isinstance(prepared, Reason):
        return outcome.not_sendable(prepared)
    if not facts.connected:
        return outcome.blocked(Reason.PORTAL_NOT_CONNECTED)
    due = organization.due
    here = facts.connected_to == (due.base_url, due.organization_id)
    return None if here and facts.present_template_id == facts.badge_template_id else outcome.to_be_planned()


async def _put_back_refused(run: Run, organization: Organization) -> None:
    """Make pending again what failed in this run where badge after badge was refused for one reason.

    The reason is then no single badge's, and the organization is stopped.
    """
    refused = organization.refused_alike()
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


async def _give_back(run: Run, unsent: Sequence[IssuanceFacts], *, token: str) -> None:
    ids = [facts.issuance_id for facts in unsent]
    await run.database.write(claiming.release, ids, token=token, now=run.now())


def _sent(prepared: Prepared) -> Sent:
    return Sent(
        fingerprint=prepared.request.fingerprint,
        issued_at=prepared.request.issued_at,
        evidence_sent=",".join(prepared.kinds),
        evidence_left_out=",".join(f"{kind}:{why}" for kind, why in prepared.left_out),
    )
