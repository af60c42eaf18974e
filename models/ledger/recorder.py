"""Writing results down: what several slots know at the same moment goes into one transaction."""

import asyncio
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from models.database import Database
from models.ledger import recording
from models.ledger.recording import Result
from rules.outcome import Outcome


@dataclass(eq=False)
class _Entry:
    result: Result
    done: bool = False
    recorded: Outcome | None = None


class Recorder:
    """Records results for every slot of a process; nobody goes on before his own result is committed.

    While one transaction is under way, others' results gather for the next one: with little to do each has its own,
    with much to do they share what a transaction costs.
    """

    def __init__(self) -> None:
        self._waiting: list[_Entry] = []
        self._turn = asyncio.Lock()

    async def record(self, database: Database, result: Result) -> Outcome | None:
        """Write a result down, as `models.ledger.recording.record` does, and return once it is committed.

        Raises:
            SQLAlchemyError, ValueError: this result could not be written; the others are not affected.
        """
        entry = _Entry(result)
        self._waiting.append(entry)
        async with self._turn:
            if not entry.done and len(self._waiting) > 1:
                await self._record_together(database)
            if not entry.done:
                self._waiting.remove(entry)
                return await database.write(recording.record, result)
        return entry.recorded

    async def _record_together(self, database: Database) -> None:
        """Record all that wait in one transaction; if the database refuses it, leave each to its own slot."""
        group = self._waiting.copy()
        try:
            recorded = await database.write(recording.record_together, [each.result for each in group])
        except (SQLAlchemyError, ValueError):  # a value that its driver cannot hold is named by neither
            return
        for entry, outcome in zip(group, recorded, strict=True):
            entry.done, entry.recorded = True, outcome
        self._waiting = [entry for entry in self._waiting if not entry.done]
