"""Moves the history and the calls of old months out of the ledger, into files at LAUREL_REPORTS_TARGET.

A file has its name only once it is complete and was read back, and is never written again. Only then are its rows
deleted, by the ids in it: a run that finds some left, after a crash, goes on with them. What was open when its month
was moved follows with the first month in which it can.
"""

import asyncio
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ParamSpec, TypeVar

import pyarrow as pa
import pyarrow.parquet
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from models.analytics.rows import BATCH
from models.database import Database
from models.operations.archive import delete_rows, is_kept, oldest, rows
from reports.delivery import move, reaching
from reports.dictionary import fields
from reports.field import Field
from reports.files import folder_of, whole_file
from reports.formats import Write, opened
from reports.typed import shaped
from rules.datasets import Dataset, FileFormat
from rules.forms.inputs import InvalidInput
from rules.forms.period import Period
from rules.markdown import code
from rules.wording import counted
from settings import Settings

_FOLDER = "archive"
# Nothing that identifies a user, and no text of Credly's: an erasure does not reach these files.
_COLUMNS = {
    Dataset.HISTORY: "history_id issuance_id badge_template_id at transition from_state to_state reason flow_run_id"
    " reconstructed",
    Dataset.ATTEMPTS: "attempt_id issuance_id kind outcome started_at duration_ms status code field_names flow_run_id"
    " task_run_id",
}
_NOUN = {Dataset.HISTORY: "transition", Dataset.ATTEMPTS: "call"}
Params = ParamSpec("Params")
Returned = TypeVar("Returned")


def kept_from(months: int, *, now: datetime) -> datetime:
    """Return the beginning of the first month that is not moved out."""
    year, month = divmod(now.year * 12 + now.month - 1 - months, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def moved_out(dataset: Dataset, period: Period, configured: Settings, *, now: datetime) -> str:
    """Return a sentence if the answer may be without what was moved out, or an empty text."""
    if not configured.archive_after:
        return ""
    first = kept_from(configured.archive_after, now=now)
    by_its_end = dataset is Dataset.STATES_AT and period.end is not None and period.end < first
    if not by_its_end and not (dataset.of_history and (period.start is None or period.start < first)):
        return ""
    return (
        f"Transitions and calls from before {first:%Y-%m-%d} (UTC) may be missing here: they are moved into files in "
        f"the folder {_FOLDER} of the target (LAUREL_ARCHIVE_AFTER)."
    )


async def archive(database: Database, configured: Settings, *, now: datetime) -> str:
    """Move out each month that is due, the oldest first; return what was moved and where to, as a sentence.

    Raises:
        InvalidInput: the target could not be written to or read; the rows that it does not have are in the ledger.
    """
    until, moved = kept_from(configured.archive_after, now=now), []
    for log in _COLUMNS:
        count = 0
        newest = await _there(configured, _newest, configured, log)
        if newest is not None:
            count += await _delete(database, configured, log, newest)
        if (newest is None or _next(newest) < until) and (first := await database.read(oldest, log, end=until)):
            month = datetime(first.year, first.month, 1, tzinfo=UTC)
            month = max(month, _next(newest)) if newest else month
            while month < until:
                if await _write(database, configured, log, month):
                    count += await _delete(database, configured, log, month)
                month = _next(month)
        moved.append(counted(count, _NOUN[log]))
    where = code(f"{configured.reports_target.rstrip('/')}/{_FOLDER}", longest=500)
    return f"Months are moved out after {counted(configured.archive_after, 'month')}: {' and '.join(moved)} to {where}."


async def _write(database: Database, configured: Settings, log: Dataset, month: datetime) -> int:
    columns = {field.name: field for field in fields(log)}
    chosen = [columns[name] for name in _COLUMNS[log].split()]
    names = [field.name for field in chosen]
    count, file = 0, folder_of("", default=configured.reports_folder) / _FOLDER / _name(log, month)
    with whole_file(file) as unfinished, opened(unfinished, FileFormat.PARQUET, chosen, ()) as write:
        async with aclosing(database.read_in_parts(rows, log, names, end=_next(month), size=BATCH)) as parts:
            async for part in parts:
                await asyncio.to_thread(_write_part, write, part, chosen)
                count += len(part[names[0]])
    if count:
        await _there(configured, move, file, _target(configured, log, month), partial(_check, count))
    file.unlink(missing_ok=True)
    return count


def _write_part(write: Write, part: Mapping[str, Sequence[Any]], chosen: Sequence[Field]) -> None:
    write(shaped(part, chosen))


def _check(count: int, system: AbstractFileSystem, path: str) -> None:
    with system.open(path, "rb") as file:
        found = sum(batch.num_rows for batch in pa.parquet.ParquetFile(file).iter_batches())
    if found != count:
        raise InvalidInput(f"LAUREL_REPORTS_TARGET: a file of {count} rows came back with {found}. Check the storage.")


async def _delete(database: Database, configured: Settings, log: Dataset, month: datetime) -> int:
    target = _target(configured, log, month)
    # In the order of the ids: without the last, all have been deleted.
    if not await database.read(is_kept, log, await _there(configured, _last_id, target)):
        return 0
    deleted, ids = 0, await _there(configured, _ids, target)
    for start in range(0, len(ids), size := database.rows_per_page):
        deleted += await database.write(delete_rows, log, ids.slice(start, size).to_pylist())
    return deleted


def _last_id(target: str) -> int:
    system, path = url_to_fs(target)
    with system.open(path, "rb") as file:
        about = pa.parquet.ParquetFile(file).metadata
    last: int = about.row_group(about.num_row_groups - 1).column(0).statistics.max
    return last


def _ids(target: str) -> pa.ChunkedArray:
    system, path = url_to_fs(target)
    with system.open(path, "rb") as file:
        parquet = pa.parquet.ParquetFile(file)
        return parquet.read(columns=parquet.schema.names[:1])[0]


def _newest(configured: Settings, log: Dataset) -> datetime | None:
    system, folder = url_to_fs(posixpath.dirname(_target(configured, log, datetime.now(UTC))))
    system.invalidate_cache()
    names = map(posixpath.basename, system.ls(folder, detail=False)) if system.exists(folder) else ()
    months = [found[1] for name in names if (found := re.fullmatch(rf"{log}-(\d{{4}}-\d{{2}})\.parquet", name))]
    return datetime.strptime(max(months), "%Y-%m").replace(tzinfo=UTC) if months else None


def _target(configured: Settings, log: Dataset, month: datetime) -> str:
    return f"{configured.reports_target.rstrip('/')}/{_FOLDER}/{_name(log, month)}"


def _name(log: Dataset, month: datetime) -> str:
    return f"{log}-{month:%Y-%m}.parquet"


def _next(month: datetime) -> datetime:
    return (month + timedelta(days=32)).replace(day=1)


async def _there(
    configured: Settings, work: Callable[Params, Returned], /, *args: Params.args, **kwargs: Params.kwargs
) -> Returned:
    # In a thread: else the run's heartbeats stop for as long as the network takes.
    with reaching(
        configured.reports_target, "months could not be moved to", "What is not in a file is still in the ledger."
    ):
        return await asyncio.to_thread(work, *args, **kwargs)
