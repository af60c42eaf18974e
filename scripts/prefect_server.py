"""Prefect's server on SQLite, for pages and a worker at once: `python -m scripts.prefect_server start [OPTION ...]`.

It takes the options of `prefect server start`. On SQLite, Prefect begins most write transactions as reads. If another
transaction commits before such a one writes, SQLite refuses the write at once, and the server answers 503: with one
busy worker, every other form that an operator submits fails. Prefect's own fix is to begin with `BEGIN IMMEDIATE`,
which waits for the lock; Prefect uses it in some places, and this script in all. PostgreSQL needs none of this.
Only their owner can read the files that the server writes.
"""

import gc
import importlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from prefect.server.database.configurations import AioSqliteConfiguration

from settings import ONLY_THE_OWNER

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
    # What Prefect's server imports stays until its end. Looked through again and again, it costs a second of the start.
    gc.disable()
    importlib.import_module("prefect.server.api.server")
    from prefect.cli import app

    gc.freeze()
    gc.enable()
    os.umask(ONLY_THE_OWNER)
    AioSqliteConfiguration.begin_transaction = _begin_as_writer  # type: ignore[method-assign]
    sys.argv[1:1] = ["server"]
    app()


if __name__ == "__main__":
    main()
