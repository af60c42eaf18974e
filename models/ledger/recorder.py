"""Records the results of all slots of a process; results that arrive together share one transaction."""

import asyncio
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from models.database import Database
from models.ledger import recording
from models.ledger.recording import Result
from rules.ledger.outcome import Outcome


@dataclass(eq=False)
class _Entry:
    result: Result
    done: bool = False
    recorded: Outcome | None = None


class Recorder:
    """Records results for every slot of a process. A slot continues only after its own result is committed.

    Results that arrive during a transaction are collected for the next one: under low load each has a transaction of
    its own, under high load they share its cost.
    """

    def __init__(self) -> None:
        self._waiting: list[_Entry] = []
        self._transaction = asyncio.Lock()

    async def record(self, database: Database, result: Result) -> Outcome | None:
        """Record a result as `models.ledger.recording.record` does, and return once it is committed.

        Raises:
            SQLAlchemyError, ValueError: this result could not be written; the others are not affected.
        """
        entry = _Entry(result)
        self._waiting.append(entry)
        async with self._transaction:
            # While this slot waited for the lock, another one may have recorded its entry with its own.
            if not entry.done and len(self._waiting) > 1:
                await self._record_together(database)
            if not entry.done:
                self._waiting.remove(entry)
                return await database.write(recording.record, result)
        return entry.recorded

    async def _record_together(self, database: Database) -> None:
        group = self._waiting.copy()
        try:
            recorded = await database.write(recording.record_together, [each.result for each in group])
        except (SQLAlchemyError, ValueError):
            # The error does not identify the result that caused it: each slot then records its own.
            return
        for entry, outcome in zip(group, recorded, strict=True):
            entry.done, entry.recorded = True, outcome
        self._waiting = [entry for entry in self._waiting if not entry.done]
