"""Dispatch: which organizations have work, how many badges each may issue, and in which process."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from prefect import State, get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Failed

from models.ledger import claiming
from models.ledger.claiming import DueOrganization
from tasks.runtime.run import DATABASE_RETRIES, Run, current_run, laurel_task

DEPLOYMENT = "issue-organization/issue-organization"
_POLL_SECONDS = 2
_NOT_STARTED = "Not started"
TAKES_NEW_SECONDS = 600.0  # from the beginning of a run
FEW_BADGES = 20  # at the slowest rate limit they take 200 seconds, a third of the usual lease
_SHARING_A_RUN = 50
Group = tuple[DueOrganization, ...]
"""Organizations that share a flow run; mostly one."""
Part = tuple[Group, State[Any]]
"""Organizations that reconcile started a flow run for, and the final state of that run."""


@laurel_task(name="dispatch", retry_delays=DATABASE_RETRIES)
async def organizations_with_work(portals: list[str] | None = None) -> list[DueOrganization]:
    """Return the organizations with due issuances, or with blocked ones whose cause may be gone.

    Args:
        portals: Only these portals' work; all if left out.
    """
    return await due_organizations(current_run.get(), portals)


async def due_organizations(run: Run, portals: list[str] | None = None) -> list[DueOrganization]:
    return await run.database.read(claiming.due_organizations, now=run.now(), portal_ids=portals)


def grouped(organizations: Sequence[DueOrganization], *, at_once: int) -> list[Group]:
    """Return which organizations share a flow run: with more than `at_once`, those with few badges each.

    A flow run costs more than their badges do.
    """
    if len(organizations) <= at_once:
        return [(each,) for each in organizations]
    few = [each for each in organizations if _has_few(each)]
    alone = [(each,) for each in organizations if not _has_few(each)]
    return [*alone, *(tuple(few[start : start + _SHARING_A_RUN]) for start in range(0, len(few), _SHARING_A_RUN))]


def portals_of(group: Group) -> list[str]:
    return [portal for each in group for portal in each.all_portals]


def _has_few(organization: DueOrganization) -> bool:
    return organization.due <= FEW_BADGES and not organization.settles


def shares(organizations: list[DueOrganization], *, limit: int, at_once: int) -> list[tuple[Group, int]]:
    """Divide `limit` among the organizations, in order; 0 is no limit. One without a share is not in the list."""
    if not limit:
        return [(group, 0) for group in grouped(organizations, at_once=at_once)]
    allotted = list[tuple[Group, int]]()
    for organization in organizations:
        share = min(limit, organization.due)
        limit -= share
        if share:
            allotted.append(((organization,), share))
    return allotted


async def issue_all(
    run: Run,
    allotted: Sequence[tuple[Group, int]],
    *,
    issue: Callable[[Group, int], Awaitable[State[Any]]],
    plan_again: Callable[[], Awaitable[list[DueOrganization]]] | None,
) -> list[Part]:
    """Issue for all organizations at once, each with its share. Return the final states of their runs.

    While one has much to do, new awards of the others do not wait for it: `plan_again` is called every few
    seconds, and those of the organizations that it returns which are not under way are started. One that is under way
    takes what is new by itself.
    """
    parts, under_way = list[Part](), dict[asyncio.Future[State[Any]], Group]()
    begun, starts_again_until = set[tuple[str, str, str]](), time.monotonic() + TAKES_NEW_SECONDS
    not_started = set[tuple[str, str, str]]()
    try:
        while allotted or under_way:
            keys = {each.key for group, _ in allotted for each in group}
            begun |= keys
            run.finished.difference_update(keys)
            under_way |= {asyncio.ensure_future(_ended(issue(each, share))): each for each, share in allotted}
            done, _ = await asyncio.wait(under_way, timeout=run.plan_again_seconds if plan_again else None)
            parts += (ended := [(under_way.pop(each), each.result()) for each in done])
            not_started |= {each.key for group, state in ended if state.name == _NOT_STARTED for each in group}
            allotted = []
            if under_way and plan_again:
                steps = run.steps.taken
                # After a time, none is started again: with awards that never cease the run would never end.
                again = time.monotonic() < starts_again_until
                left_out = {each.key for group in under_way.values() for each in group} - run.finished
                left_out = left_out if again else begun
                try:
                    found = await plan_again()
                except Exception as error:  # noqa: BLE001 - what is under way goes on; the next run reports it
                    get_run_logger().warning("What is new was not planned meanwhile (%s).", type(error).__name__)
                    found = []
                new = [each for each in found if each.key not in left_out | not_started]
                allotted = [(group, 0) for group in grouped(new, at_once=run.settings.organizations_at_once)]
                if not allotted:
                    run.steps.taken = steps  # planning for nothing is no progress of a run that hangs
    finally:
        for each in under_way:
            each.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
    return parts


async def _ended(part: Awaitable[State[Any]]) -> State[Any]:
    try:
        return await part
    except Exception as error:  # noqa: BLE001 - else what is under way for the others would be cancelled
        message = f"The run of an organization could not be started or read ({type(error).__name__})."
        get_run_logger().error(message)
        return Failed(name=_NOT_STARTED, message=message)


async def issue_elsewhere(run: Run, group: Group, *, limit: int, together: int, tags: list[str]) -> State[Any]:
    """Start a run of issue-organization on any free worker, wait for it, and return its final state."""
    parameters: dict[str, Any] = {"portals": portals_of(group), "limit": limit, "together": together}
    # Only where needed: a worker of an earlier version refuses a parameter that its flow does not have.
    if group[0].settles:
        parameters["organization"] = group[0].organization_id
    try:
        other = await arun_deployment(DEPLOYMENT, parameters=parameters, tags=tags, timeout=0)
    except ObjectNotFound:
        return Failed(message=f"There is no deployment {DEPLOYMENT}: apply prefect.yaml or set LAUREL_DISPATCH=here.")
    return await _wait_for_end(run, other)


async def _wait_for_end(run: Run, other: FlowRun) -> State[Any]:
    async with get_client() as client:
        while other.state is None or not other.state.is_final():
            await asyncio.sleep(_POLL_SECONDS)
            # The other run has a watchdog of its own, so waiting for it counts as progress.
            run.made_progress()
            try:
                other = await client.read_flow_run(other.id)
            except ObjectNotFound:
                return Failed(message=f"The run {other.name} was deleted.")
    return other.state
