"""What a person sees of a run: its state, its pages, its links, and afterwards its log."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, LogFilter, LogFilterFlowRunId


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A finished run, as Prefect's pages show it."""

    run_id: UUID
    title: str
    name: str
    message: str
    page: str
    links: list[str]


async def see(flow: Callable[..., Any], **parameters: Any) -> Seen:
    """Run a flow and look at what it left."""
    state = await flow(**parameters, return_state=True)
    run_id = state.state_details.flow_run_id
    assert run_id is not None
    async with get_client() as client:
        run = await client.read_flow_run(run_id)
        artifacts = await client.read_artifacts(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run_id])))
    # Prefect keeps a link as Markdown, too.
    links = [str(artifact.data) for artifact in artifacts if str(artifact.key).endswith("-link")]
    pages = [str(artifact.data) for artifact in artifacts if not str(artifact.key).endswith("-link")]
    return Seen(
        run_id=run_id,
        title=run.name,
        name=str(state.name),
        message=str(state.message),
        page="\n".join(pages),
        links=[link.rpartition("(")[2].rstrip(")") for link in links],
    )


async def refused(flow: Callable[..., Any], **parameters: Any) -> str:
    """Run a flow that is to find a mistake in what was typed, and return its words."""
    seen = await see(flow, **parameters)
    assert (seen.name, seen.links) == ("Failed", [])
    assert seen.page.startswith("# Not done")
    return seen.message


async def log_of(run_id: UUID) -> list[str]:
    """Return the lines of a run's log that Prefect's server has by now."""
    async with get_client() as client:
        wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id]))
        return [line.message for line in await client.read_logs(log_filter=wanted, limit=200)]
