"""What a person sees of a run: its state, its pages, its links, and afterwards its log."""

import asyncio
import json
import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, LogFilter, LogFilterFlowRunId
from prefect.events import Event
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.logging.handlers import APILogHandler

# All that can log more at DEBUG. Prefect keeps its own; PREFECT_LOGGING_EXTRA_LOGGERS adds others.
LOGGERS = ("prefect", "prefect.flow_runs", "prefect.task_runs", "sqlalchemy", "httpx", "aiohttp", "psycopg")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A finished run, as Prefect's pages show it."""

    run_id: UUID
    title: str
    name: str
    message: str
    page: str
    links: list[str]
    tables: list[list[dict[str, Any]]]
    health: str


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
    tables = [json.loads(str(artifact.data)) for artifact in artifacts if str(artifact.key).endswith("-table")]
    pages = [str(artifact.data) for artifact in artifacts if not str(artifact.key).endswith(("-link", "-table"))]
    return Seen(
        run_id=run_id,
        title=run.name,
        name=str(state.name),
        message=str(state.message),
        page="\n".join(pages),
        links=[link.rpartition("(")[2].rstrip(")") for link in links],
        tables=tables,
        # Prefect renders descriptions as Markdown: without what masks its signs.
        health=" ".join(str(each.description).replace("\\", "") for each in artifacts if each.key == "health"),
    )


async def events_of(name: str, *, count: int, resource: str = "") -> list[Event]:
    """Return the events of this name, and of this resource if one is given, once the server has as many."""
    of_resource = EventResourceFilter(id=[resource]) if resource else None
    wanted = EventFilter(event=EventNameFilter(name=[name]), resource=of_resource)
    async with get_client() as client, asyncio.timeout(60):
        while True:
            found = (await client.read_events(wanted, limit=50)).events
            if len(found) >= count:
                return list(found)
            await asyncio.sleep(0.1)


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


async def until_written(run_ids: list[UUID]) -> list[str]:
    """Return what the server has of the runs' logs, once each run's last line is among it."""
    await APILogHandler.aflush()
    lines: list[str] = []
    async with asyncio.timeout(60):
        for run_id in run_ids:
            lines += await _whole_log_of(run_id)
    return lines


async def _whole_log_of(run_id: UUID) -> list[str]:
    while True:
        lines = await log_of(run_id)
        if any("Finished in state" in line for line in lines):
            return lines
        await asyncio.sleep(0.05)


def holds(content: bytes, word: str) -> bool:
    """Say whether content has the word: as it is, in JSON or an address (which do not change it), or in base64."""
    # Prefect stores pickles in base64, in lines, in JSON. The word can begin at each of three places in a group.
    forms = [word.encode(), *(b64encode(b"." * shift + word.encode())[4:-4] for shift in range(3))]
    whole = content.replace(b"\\n", b"")
    return any(form in whole for form in forms)


def everything_kept(prefect_api: str, *folders: Path) -> Iterator[tuple[str, bytes]]:
    """Give each file of Prefect's server, of this process's Prefect, and of the folders."""
    home = Path(httpx.get(f"{prefect_api}/admin/settings").json()["home"])
    for place in (home, Path(os.environ["PREFECT_HOME"]), *folders):
        yield from ((str(file), file.read_bytes()) for file in place.rglob("*") if file.is_file())
