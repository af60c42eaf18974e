"""What a flow works within, from its first line to its last."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tasks.resources import open_database
from tasks.runtime.heartbeat import heartbeats


@asynccontextmanager
async def run_context() -> AsyncIterator[None]:
    """Open the database and send heartbeats until the flow ends.

    Raises:
        NotUsable: the database cannot be used; the message says what to do.
        RunStalled: the run made no progress.
    """
    async with heartbeats(), open_database():
        yield
