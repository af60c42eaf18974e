"""Flows and tasks called without Prefect's engine and server: a flow run takes a third of the processor's time.

For tests whose subject is the ledger, the platform or Credly. The functions of flows and tasks, their parameters'
validation, retries and states are the real ones; what is left out are the runs at Prefect's server, its pages, events
and logs. The tests in tests/acceptance have them.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import httpx
import pytest
from prefect import Flow, State, Task
from prefect._internal.result_records import ResultRecord
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.context import AsyncClientContext, FlowRunContext, TagsContext, TaskRunContext
from prefect.events import utilities
from prefect.logging.handlers import APILogHandler
from prefect.states import Completed, exception_to_failed_state
from prefect.utilities.callables import get_call_parameters

ADDRESS = "http://prefect.invalid/api"


@contextmanager
def light_engine() -> Iterator[None]:
    """Let flows and tasks be plain calls."""
    with pytest.MonkeyPatch.context() as replaced:
        replaced.setattr(Flow, "__call__", _call_flow)
        replaced.setattr(Task, "__call__", _call_task)
        replaced.setattr(utilities, "should_emit_events", bool)  # which returns False
        replaced.setattr(APILogHandler, "emit", lambda *_: None)
        yield


@asynccontextmanager
async def light_server(secrets: Mapping[str, str]) -> AsyncIterator[None]:
    """Let the client of Prefect's API find a server that has these Secret blocks, by name, and nothing else."""
    client = PrefectClient(ADDRESS, httpx_settings={"transport": httpx.MockTransport(_Api(secrets))})
    async with client:
        token = AsyncClientContext.__var__.set(AsyncClientContext.model_construct(client=client))
        yield
        AsyncClientContext.__var__.reset(token)


async def _call_flow(flow: Flow[..., Any], *args: Any, return_state: bool = False, **kwargs: Any) -> Any:
    parameters = flow.validate_parameters(get_call_parameters(flow.fn, args, kwargs))
    tags = sorted(TagsContext.get().current_tags)
    run = FlowRun(id=uuid4(), flow_id=uuid4(), name=flow.name, parameters=parameters, tags=tags)
    if isinstance(flow.flow_run_name, str):
        run.name = flow.flow_run_name.format(**parameters)
        await get_client().update_flow_run(run.id, name=run.name)
    seen: dict[str, Any] = {"flow": flow, "flow_run": run, "parameters": parameters}
    with FlowRunContext.model_construct(**seen):
        state = await _state_of(flow.fn, parameters, "Flow run encountered an exception:")
    state.state_details.flow_run_id = run.id
    return state if return_state else await state.aresult()


async def _call_task(task: Task[..., Any], *args: Any, return_state: bool = False, **kwargs: Any) -> Any:
    parameters = get_call_parameters(task.fn, args, kwargs)
    delays = task.retry_delay_seconds
    waits: Sequence[float] = delays if isinstance(delays, list) else [delays or 0.0] * task.retries
    for tried in range(task.retries + 1):
        context = FlowRunContext.get()
        within = context.flow_run.id if context and context.flow_run else None
        run = TaskRun(
            id=uuid4(), flow_run_id=within, task_key=task.task_key, dynamic_key="", name=task.name, run_count=tried + 1
        )
        seen: dict[str, Any] = {"task": task, "task_run": run, "parameters": parameters}
        with TaskRunContext.model_construct(**seen):
            state = await _state_of(task.fn, parameters, "Task run encountered an exception")
        if state.is_completed() or tried == task.retries:
            break
        may_retry: Any = task.retry_condition_fn
        if may_retry and not await may_retry(task, run, state):
            break
        await asyncio.sleep(waits[tried])
    return state if return_state else await state.aresult()


async def _state_of(function: Callable[..., Awaitable[Any]], parameters: Mapping[str, Any], failed: str) -> State[Any]:
    try:
        returned = await function(**parameters)
    except Exception as error:  # noqa: BLE001 - as the engine does
        return await exception_to_failed_state(error, message=failed)
    state = returned if isinstance(returned, State) else Completed(data=returned)
    # None would be taken for a result that was not kept.
    kept: dict[str, Any] = {"result": state.data}
    state.data = ResultRecord.model_construct(**kept)
    return state


class _Api:
    """Answers as a new server would, and keeps of what it is sent flow runs' names and tags and the artifacts."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = secrets
        self._runs: dict[str, dict[str, Any]] = {}
        self._artifacts: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        collection, _, name = request.url.path.removeprefix("/api/").rpartition("/")
        sent = json.loads(request.content) if request.content else {}
        match request.method, collection:
            case "POST", "artifacts" if name == "filter":
                wanted = sent["flow_runs"]["id"]["any_"] if sent["flow_runs"] else []
                return httpx.Response(200, json=[each for each in self._artifacts if each["flow_run_id"] in wanted])
            case "POST", _ if name == "filter":
                return httpx.Response(200, json=[])
            case "POST", "artifacts":
                self._artifacts.append({"id": str(uuid4()), "created": datetime.now(UTC).isoformat()} | sent)
                return httpx.Response(201, json=self._artifacts[-1])
            case "PATCH", "flow_runs":
                self._runs[name] = self._run(name) | sent
                return httpx.Response(204)
            case "PATCH", "artifacts":
                return httpx.Response(204)
            case "GET", "flow_runs":
                return httpx.Response(200, json=self._run(name))
            case "GET", "block_types/slug/secret/block_documents/name" if name in self._secrets:
                return httpx.Response(200, json=_block(name, self._secrets[name]))
            case _:
                return httpx.Response(404, json={"detail": f"There is no {collection}."})

    def _run(self, flow_run_id: str) -> dict[str, Any]:
        return self._runs.get(flow_run_id, {"id": flow_run_id, "flow_id": flow_run_id, "name": "unnamed"})


def _block(name: str, value: str) -> dict[str, Any]:
    kind, schema = (str(uuid5(NAMESPACE_URL, each)) for each in ("type", "schema"))
    return {
        "id": str(uuid5(NAMESPACE_URL, name)),
        "name": name,
        "data": {"value": value},
        "block_type_id": kind,
        "block_type": {"id": kind, "name": "Secret", "slug": "secret"},
        "block_schema_id": schema,
        "block_schema": {"id": schema, "checksum": "sha256:0", "fields": {}, "block_type_id": kind, "capabilities": []},
    }
