"""What a task run tries again within one run. What is left after that waits in the ledger for the next."""

from typing import Any

from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

JITTER = 0.5


class TryAgain(Exception):
    """Some badges of a batch met what may pass: Credly was not reachable, or its answer was unclear."""


async def may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Say whether a failed task run is worth another try in this run; everything else is a defect or final."""
    return isinstance(await state.aresult(raise_on_failure=False), TryAgain)
