"""Runs of Laurel without Prefect's engine: the same tasks, called directly, a hundred times as fast.

Every part that decides, stores or speaks to Credly is the real one; what is left out are Prefect's flow and task runs.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from prefect import State
from prefect.events import utilities
from prefect.logging import disable_run_logger
from prefect.states import Completed

from rules.ledger.reasons import Reason
from tasks.forms import manual_issue
from tasks.forms.manual_issue import ManualIssueForm, issue_manually
from tasks.issuing import drain
from tasks.issuing.batch import TransientFailure, issue_batch
from tasks.issuing.dispatch import organizations_with_work
from tasks.issuing.plan import plan_issuances, requeue_corrected, sweep_everything
from tasks.issuing.preflight import check_organization
from tasks.runtime.organization import TokenNotUsable, open_organization
from tasks.runtime.run import Run, current_run


class Clock:
    """Laurel's clock, which a test can move on."""

    def __init__(self) -> None:
        self.moved = timedelta()

    def now(self) -> datetime:
        """Return the moment that Laurel takes for the present one."""
        return datetime.now(UTC) + self.moved


@contextmanager
def without_prefect() -> Iterator[None]:
    """Let task runs be plain calls."""
    with pytest.MonkeyPatch.context() as replaced, disable_run_logger():
        replaced.setattr(drain, "run_issue_batch", _issue_batch)
        replaced.setattr(manual_issue, "run_issue_batch", _issue_batch)
        replaced.setattr(manual_issue, "started_by", _somebody)
        replaced.setattr(utilities, "should_emit_events", bool)  # which returns False
        yield


async def _issue_batch(_run: Run, issuance_ids: list[int], title: str, *, by_hand: bool = False) -> State[None]:
    with suppress(TransientFailure):  # a later run takes it up
        await issue_batch.fn(issuance_ids, title, by_hand=by_hand)
    return Completed()


async def _somebody() -> str:
    return "the model"


async def light_run(run: Run) -> None:
    """Do what `reconcile` does, without Prefect."""
    await light_plan(run)
    await requeue_corrected.fn()
    for due in await organizations_with_work.fn():
        try:
            async with open_organization(run, due) as organization:
                await check_organization.fn()
                await drain.drain(run, organization, limit=None)
                await drain.block_rest(run, organization)
        except TokenNotUsable:
            await drain.block_everything(run, due, Reason.TOKEN_MISSING)


async def light_plan(run: Run) -> None:
    """Plan as `reconcile` does, without Prefect; nothing is issued."""
    current_run.set(run)
    await plan_issuances.fn()
    await sweep_everything.fn()


async def light_issue(run: Run, asked: ManualIssueForm) -> None:
    """Do what `issue-badge` does, without Prefect."""
    current_run.set(run)
    await issue_manually(run, asked)
