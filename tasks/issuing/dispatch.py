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
PLAN_AGAIN_SECONDS = 5.0
TAKES_NEW_SECONDS = 600.0  # from the beginning of a run
Part = tuple[DueOrganization, State[Any]]
"""An organization that reconcile started a flow run for, and the final state of that run."""


@laurel_task(name="dispatch", retry_delays=DATABASE_RETRIES)
async def organizations_with_work(portals: list[str] | None = None) -> list[DueOrganization]:
    """Return the organizations with due issuances, or with blocked ones whose cause may be gone.

    Args:
        portals: Only these portals' work; all if left out.
    """
    return await due_organizations(current_run.get(), portals)


async def due_organizations(run: Run, portals: list[str] | None = None) -> list[DueOrganization]:
    return await run.database.read(claiming.due_organizations, now=run.now(), portal_ids=portals)


def shares(organizations: list[DueOrganization], *, limit: int) -> list[tuple[DueOrganization, int]]:
    """Divide `limit` among the organizations, in order; 0 is no limit. One without a share is not in the list."""
    if not limit:
        return [(organization, 0) for organization in organizations]
    allotted = []
    for organization in organizations:
        share = min(limit, organization.due)
        limit -= share
        if share:
            allotted.append((organization, share))
    return allotted


async def issue_all(
    run: Run,
    allotted: Sequence[tuple[DueOrganization, int]],
    *,
    issue: Callable[[DueOrganization, int], Awaitable[State[Any]]],
    plan_again: Callable[[], Awaitable[list[DueOrganization]]] | None,
) -> list[Part]:
    """Issue for all organizations at once, each with its share. Return the final states of their runs.

    While one has much to do, new awards of the others do not wait for it: `plan_again` is called every few
    seconds, and those of the organizations that it returns which are not under way are started. One that is under way
    takes what is new by itself.
    """
    parts, under_way = list[Part](), dict[asyncio.Future[State[Any]], DueOrganization]()
    begun, starts_again_until = set[tuple[str, str, str]](), time.monotonic() + TAKES_NEW_SECONDS
    try:
        while allotted or under_way:
            begun |= {_key(each) for each, _ in allotted}
            under_way |= {asyncio.ensure_future(issue(each, share)): each for each, share in allotted}
            done, _ = await asyncio.wait(under_way, timeout=PLAN_AGAIN_SECONDS if plan_again else None)
            parts += [(under_way.pop(each), each.result()) for each in done]
            allotted = []
            if under_way and plan_again:
                steps = run.steps.taken
                # After a time, none is started again: with awards that never cease the run would never end.
                again = time.monotonic() < starts_again_until
                left_out = {_key(each) for each in under_way.values()} if again else begun
                try:
                    found = await plan_again()
                except Exception as error:  # noqa: BLE001 - what is under way goes on; the next run reports it
                    get_run_logger().warning("What is new was not planned meanwhile (%s).", type(error).__name__)
                    found = []
                allotted = [(each, 0) for each in found if _key(each) not in left_out]
                if not allotted:
                    run.steps.taken = steps  # planning for nothing is no progress of a run that hangs
    finally:
        for each in under_way:
            each.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
    return parts


def _key(organization: DueOrganization) -> tuple[str, str, str]:
    return organization.organization_id, organization.base_url, organization.token_block


async def issue_elsewhere(run: Run, due: DueOrganization, *, limit: int, together: int, tags: list[str]) -> State[Any]:
    """Start a run of issue-organization on any free worker, wait for it, and return its final state."""
    parameters = {"portals": list(due.all_portals), "limit": limit, "together": together}
    # Only where needed: a worker of an earlier version refuses a parameter that its flow does not have.
    if due.settles:
        parameters["organization"] = due.organization_id
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
            other = await client.read_flow_run(other.id)
    return other.state
