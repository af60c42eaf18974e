"""Writing the menus into the deployments on Prefect's server."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    DeploymentFilterName,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
)
from prefect.client.schemas.responses import DeploymentResponse

from models.database import Database
from rules.forms.menus import has_menus, with_menus
from tasks.menus.entries import menu_entries
from tasks.operations.retention import TAG
from tasks.runtime.errors import only_warned
from tasks.runtime.run import Run

_TAGGED = DeploymentFilterTags(all_=[TAG])
_MOST_DEPLOYMENTS = 200  # as many as Prefect's server returns at once
_SAMPLE = "connect-portal"
_NOT_REFRESHED = "The menus of the forms were not refreshed"
_NOT_BEFORE_A_RUN = timedelta(minutes=2)


async def publish_menus(database: Database, client: PrefectClient) -> int:
    """Write the current entries into each form that has a menu; return how many deployments were changed.

    Raises:
        PlatformNotUsable: the platform could not be read; the menus stay as they are.
    """
    menus = await menu_entries(database)
    return sum([await _publish(client, each, menus) for each in await _deployments(client)])


async def publish_after_form(run: Run) -> None:
    """Write the menus after a form has changed what they show. A form that is done does not fail for a menu."""
    with only_warned(_NOT_REFRESHED):
        async with get_client() as client:
            await publish_menus(run.database, client)


async def restore_menus(run: Run) -> None:
    """Write the menus again if the deployments have lost them, as by `prefect deploy`. A run does not fail for it."""
    with only_warned(_NOT_REFRESHED):
        async with get_client() as client:
            one = DeploymentFilter(name=DeploymentFilterName(any_=[_SAMPLE]), tags=_TAGGED)
            found = await client.read_deployments(deployment_filter=one)
            if found and not has_menus(found[0].parameter_openapi_schema or {}):
                await publish_menus(run.database, client)


async def _deployments(client: PrefectClient) -> list[DeploymentResponse]:
    return await client.read_deployments(deployment_filter=DeploymentFilter(tags=_TAGGED), limit=_MOST_DEPLOYMENTS)


async def _publish(client: PrefectClient, deployment: DeploymentResponse, menus: Mapping[str, Sequence[str]]) -> bool:
    before = deployment.parameter_openapi_schema or {}
    if (after := with_menus(before, menus)) == before or await _runs_soon(client, deployment):
        return False
    await client.update_deployment(deployment.id, DeploymentUpdate(parameter_openapi_schema=after))
    return True


async def _runs_soon(client: PrefectClient, deployment: DeploymentResponse) -> bool:
    """Whether a run of its schedule is near: a change of a deployment deletes its planned runs, until seconds later.

    Where the schedule has several runs within these minutes, the next one follows soon enough.
    """
    if not deployment.schedules:
        return False
    now = datetime.now(UTC)
    near = FlowRunFilterNextScheduledStartTime(after_=now - _NOT_BEFORE_A_RUN, before_=now + _NOT_BEFORE_A_RUN)
    planned = await client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
        flow_run_filter=FlowRunFilter(next_scheduled_start_time=near),
        limit=2,
    )
    return len(planned) == 1
