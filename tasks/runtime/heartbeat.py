"""Heartbeats of a run, and the watchdog that ends a run without progress.

Prefect's own heartbeat is not used. It starts in a thread that may be scheduled only after a short run has ended;
Prefect's server then waits for the next one and marks a healthy run as crashed (docs/decisions/0008). These heartbeats
are all stamped before the flow returns.
"""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import copy_context
from dataclasses import dataclass
from math import ceil
from typing import NoReturn

from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.events import emit_event

from rules.monitoring.liveness import HEARTBEAT, PROGRESS, RUN_ENDED
from settings import Settings

_logger = logging.getLogger(__name__)
_FORCED_EXIT = 70  # EX_SOFTWARE
# Beats that a cancelled run has to end in, before its process is ended.
_CANCEL_BEATS = 2
# Prefect's own retries against a server that is away take up to a minute each.
_FINISH_SECONDS = 180.0


class RunStalled(Exception):
    """A run made no progress for `LAUREL_STALLED_AFTER` and was ended."""


@dataclass
class Steps:
    """The number of steps of a run so far: calls and transactions. A run makes progress while it grows."""

    # Only ever compared with its previous value: an increment lost between threads does no harm.
    taken: int = 0


@asynccontextmanager
async def heartbeats(configured: Settings, steps: Steps, *, watching: bool) -> AsyncIterator[None]:
    """Send heartbeats of the current flow run; with `watching`, end the run when it takes no steps.

    Does nothing outside a flow, as in `python -m flows.check`. A nested flow sends its own heartbeats; only the
    outermost is watched.

    Raises:
        RunStalled: no progress for `LAUREL_STALLED_AFTER`.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        yield
        return
    async with _Heart(context.flow_run, configured, steps, watching=watching).beating():
        yield


class _Heart:
    def __init__(self, run: FlowRun, configured: Settings, steps: Steps, *, watching: bool) -> None:
        self._steps, self._watching = steps, watching
        self._every, self._stalled_after = configured.heartbeat.total_seconds(), configured.stalled_after
        self._patience = ceil(configured.stalled_after / configured.heartbeat)
        self._stopped = threading.Event()
        self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        self._stalled = False
        self._resource = {"prefect.resource.id": f"prefect.flow-run.{run.id}"}
        self._related = [
            {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in run.tags
        ]
        if run.deployment_id:
            of_deployment = f"prefect.deployment.{run.deployment_id}"
            self._related.append({"prefect.resource.id": of_deployment, "prefect.resource.role": "deployment"})

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        # Here and not in the thread, so that it is stamped before anything that the run does.
        self._emit(HEARTBEAT)
        thread = threading.Thread(target=copy_context().run, args=(self._keep_beating,), daemon=True)
        thread.start()
        try:
            yield
        except asyncio.CancelledError:
            if self._stalled:
                message = f"No progress for {self._stalled_after}. Nothing is lost: the next run continues."
                raise RunStalled(message) from None
            raise
        finally:
            self._stopped.set()
            # No heartbeat may follow the run's end: Prefect's server would wait for the next one.
            await asyncio.to_thread(thread.join)
            self._emit(RUN_ENDED)
            if self._watching:
                _end_process_after(_FINISH_SECONDS)

    def _emit(self, event: str) -> None:
        try:
            emit_event(event, resource=self._resource, related=self._related)
        except Exception:
            # An unreachable server must not end the run.
            _logger.debug("The heartbeat was not sent.", exc_info=True)

    def _keep_beating(self) -> None:
        # Counts beats without progress, not seconds: a laptop or virtual machine may have been suspended.
        seen, idle = self._steps.taken, 0
        while not self._stopped.wait(self._every):
            taken = self._steps.taken
            self._emit(PROGRESS if taken != seen else HEARTBEAT)
            seen, idle = taken, 0 if taken != seen else idle + 1
            if not self._watching or idle < self._patience:
                continue
            if idle == self._patience:
                self._stalled = True
                _logger.error("No progress for %s: the run is cancelled.", self._stalled_after)
                self._loop.call_soon_threadsafe(self._cancel)
            elif idle >= self._patience + _CANCEL_BEATS and _is_worker_process():
                _exit("The cancelled run does not end")

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


def _is_worker_process() -> bool:
    # Set by Prefect's workers, which start a process for each run.
    return "PREFECT__FLOW_RUN_ID" in os.environ


def _end_process_after(seconds: float) -> None:
    # Where Prefect's server does not come back, a worker's process never ends by itself.
    if _is_worker_process():
        timer = threading.Timer(seconds, _exit, args=("The run has ended and its process has not",))
        timer.daemon = True
        timer.start()


def _exit(why: str) -> NoReturn:
    _logger.error("%s: the process is ended.", why)
    os._exit(_FORCED_EXIT)
