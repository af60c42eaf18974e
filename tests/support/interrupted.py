"""Databases between whose transactions something happens: their user dies, or somebody else changes a row."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Concatenate

from sqlalchemy import Connection

from models.database import Database, Params, Returned


class Killed(BaseException):
    """The process is gone: nothing that it would still write is written."""


class MortalDatabase(Database):
    """A database whose user dies at one of its writes, before it or once it is committed; None: it lives."""

    def __init__(self, url: str, *, writes_left: int | None = None, dies_after: bool = False) -> None:
        super().__init__(url)
        self._left, self._dies_after = writes_left, dies_after

    @property
    def dead(self) -> bool:
        """Say whether its moment has come."""
        return self._left is not None and self._left < 0

    async def write(
        self, work: Callable[Concatenate[Connection, Params], Returned], /, *args: Params.args, **kwargs: Params.kwargs
    ) -> Returned:
        """Write, unless this is the moment to die."""
        with self._moment():
            return await super().write(work, *args, **kwargs)

    @contextmanager
    def _moment(self) -> Iterator[None]:
        last = self._left == 0
        if self.dead or (last and not self._dies_after):
            self._left = -1
            raise Killed
        if self._left is not None:
            self._left -= 1
        yield
        if last:
            raise Killed


class OvertakenDatabase(Database):
    """A database in which somebody else commits a change right after its user has read something, the first time."""

    def __init__(
        self, url: str, *, having_read: Callable[..., object], change: Callable[[], Awaitable[object]]
    ) -> None:
        super().__init__(url)
        self._having_read, self._change, self._changed = having_read, change, False

    async def read(
        self, work: Callable[Concatenate[Connection, Params], Returned], /, *args: Params.args, **kwargs: Params.kwargs
    ) -> Returned:
        """Read, and let the change be made if this was its moment."""
        found = await super().read(work, *args, **kwargs)
        if work is self._having_read and not self._changed:
            self._changed = True
            await self._change()
        return found


@asynccontextmanager
async def beside(first: Database, second: Database) -> AsyncIterator[Database]:
    """Give the second database, another process's view of the first one, and close it at the end."""
    second.rows_per_page = first.rows_per_page
    try:
        yield second
    finally:
        await second.dispose()


async def until_killed(work: Any) -> bool:
    """Run it to its end or its death, with nothing left of it; return whether it died."""
    before = asyncio.all_tasks()
    try:
        await asyncio.create_task(work)
    except Killed:
        killed = True
    else:
        killed = False
    orphans = [task for task in asyncio.all_tasks() - before if not task.done()]
    for task in orphans:
        task.cancel()
    await asyncio.gather(*orphans, return_exceptions=True)
    return killed
