"""A run's heartbeat, and the end of a run that makes no progress.

Prefect's own heartbeat is not used: it is sent when a run begins, from a thread that may get its turn only after a
short run has ended. Prefect's server then waits for a next one that never comes, and takes a healthy run for dead
(docs/decisions/0008). These heartbeats are all stamped before the flow returns.
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
_CANCEL_BEATS = 2  # beats that a cancelled run has to end in, before its process is ended
_FINISH_SECONDS = 180.0  # Prefect's own retries against a server that is away take up to a minute each


class RunStalled(Exception):
    """A run made no progress for `LAUREL_STALLED_AFTER` and was ended."""


@dataclass
class Steps:
    """How many steps a run took, such as a call or a transaction: as long as it takes some, it makes progress."""

    taken: int = 0  # only ever compared with what it was: a lost increment does no harm


@asynccontextmanager
async def heartbeats(configured: Settings, steps: Steps, *, watching: bool) -> AsyncIterator[None]:
    """Send heartbeats of the running flow, and where it is watched, end the run when it takes no steps.

    Outside a flow, as in `python -m flows.check`, it does nothing. A flow within a flow has heartbeats of its own; only
    the outermost is watched.

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
        self._emit(HEARTBEAT)  # at once and here, so that it is stamped before anything that the run does
        thread = threading.Thread(target=copy_context().run, args=(self._keep_beating,), daemon=True)
        thread.start()
        try:
            yield
        except asyncio.CancelledError:
            if self._stalled:
                said = f"No progress for {self._stalled_after}. Nothing is lost: the next run continues."
                raise RunStalled(said) from None
            raise
        finally:
            self._stopped.set()
            await asyncio.to_thread(thread.join)  # no heartbeat may follow the run's end
            self._emit(RUN_ENDED)
            if self._watching:
                _end_process_after(_FINISH_SECONDS)

    def _emit(self, event: str) -> None:
        try:
            emit_event(event, resource=self._resource, related=self._related)
        except Exception:  # a server that is away must not end the run
            _logger.debug("The heartbeat was not sent.", exc_info=True)

    def _keep_beating(self) -> None:
        """Beat until the run has ended; count beats without progress, not seconds: a machine may have slept."""
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
            elif idle >= self._patience + _CANCEL_BEATS and _has_process_of_its_own():
                _exit("The cancelled run does not end")

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


def _has_process_of_its_own() -> bool:
    """Say whether a worker started this process for one run."""
    return "PREFECT__FLOW_RUN_ID" in os.environ


def _end_process_after(seconds: float) -> None:
    """End a worker's process that lingers after its run, as where Prefect's server is gone for good."""
    if _has_process_of_its_own():
        timer = threading.Timer(seconds, _exit, args=("The run has ended and its process has not",))
        timer.daemon = True
        timer.start()


def _exit(why: str) -> NoReturn:
    _logger.error("%s: the process is ended.", why)
    os._exit(_FORCED_EXIT)
