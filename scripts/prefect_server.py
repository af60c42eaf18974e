"""Prefect's server on SQLite, for a person and a worker at once: `python -m scripts.prefect_server start [OPTION ...]`.

It takes the options of `prefect server start`. On SQLite, Prefect begins most of its writing transactions as readers.
Where another one commits before such a transaction writes, SQLite refuses the write at once, and the server answers
503: at one worker's pace every other form that a person submits. Prefect's own cure is to begin with `BEGIN
IMMEDIATE`, which waits its turn; it applies that in some places only, and here it is applied in all. PostgreSQL needs
none of this: there `prefect server start` is the same.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from prefect.server.database.configurations import AioSqliteConfiguration

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction

_begin = AioSqliteConfiguration.begin_transaction


@asynccontextmanager
async def _begin_as_writer(
    self: AioSqliteConfiguration,
    session: "AsyncSession",
    with_for_update: bool = True,  # noqa: ARG001 - Prefect's signature
) -> AsyncIterator["AsyncSessionTransaction"]:
    async with _begin(self, session, with_for_update=True) as transaction:
        yield transaction


def main() -> None:
    """Run Prefect's command line for its server."""
    from prefect.cli import app

    AioSqliteConfiguration.begin_transaction = _begin_as_writer  # type: ignore[method-assign]
    sys.argv[1:1] = ["server"]
    app()


if __name__ == "__main__":
    main()
