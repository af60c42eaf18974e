"""One question of docs/how-to/run-history.md in a process of its own: its time, memory and rows as JSON."""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from bench.spent import peak_megabytes
from models.database import Database, database_of
from models.diagnostics.explain import history_of
from models.operations.open_counts import open_counts, pending_counts
from models.operations.run_summary import summary
from reports.export import ExportRequest, export
from reports.html import write_report
from rules.datasets import Dataset, FileFormat, Group
from rules.forms.period import Days, Period
from rules.ledger.states import IssuanceState
from settings import settings

NOW = datetime.now(UTC)
TODAY = NOW.date()
YESTERDAY, MONTH_AGO = TODAY - timedelta(days=1), TODAY - timedelta(days=30)
PORTAL, ONE_ACHIEVEMENT = "portal-1", "achievement-1"
FAILED, BLOCKED = IssuanceState.FAILED, IssuanceState.BLOCKED
# By the number of the question, where it has one: what the form is filled with.
EXPORTS: dict[str, dict[str, Any]] = {
    "4 failed ones": {"dataset": Dataset.ISSUANCES, "states": (FAILED,)},
    "5 calls of a portal": {"dataset": Dataset.ATTEMPTS, "portal": PORTAL},
    "6 what happened by day": {"dataset": Dataset.DAILY_EVENTS},
    "7, 19 failures by portal": {"dataset": Dataset.FAILURES, "by": (Group.PORTAL,)},
    "8 time to badge": {"dataset": Dataset.TIME_TO_BADGE, "by": (Group.PORTAL,)},
    "9 funnel": {"dataset": Dataset.FUNNEL, "by": (Group.PORTAL,)},
    "12 settings of an achievement's badges": {"dataset": Dataset.SENT_SETTINGS, "achievement": ONE_ACHIEVEMENT},
    "14 between two runs": {"dataset": Dataset.BETWEEN_RUNS},
    "15 what a change of settings caused": {"dataset": Dataset.SETTINGS_EFFECTS, "achievement": ONE_ACHIEVEMENT},
    "16 settings history": {"dataset": Dataset.SETTINGS_HISTORY, "achievement": ONE_ACHIEVEMENT},
    "17 failed yesterday": {
        "dataset": Dataset.STATES,
        "states": (FAILED,),
        "period": Period(first=YESTERDAY, last=YESTERDAY),
    },
    "18 time in state": {"dataset": Dataset.TIME_IN_STATE, "states": (FAILED, BLOCKED)},
    "20 refusals by week": {"dataset": Dataset.REFUSALS},
    "21 unclaimed": {"dataset": Dataset.UNCLAIMED},
    "slowest": {"dataset": Dataset.SLOWEST},
    "22 what a run would do today": {"dataset": Dataset.RUN_TODAY},
    "counts 30 days ago": {"dataset": Dataset.STATES_AT, "period": Period(last=MONTH_AGO)},
    "funnel of what happened": {"dataset": Dataset.FUNNEL_EVENTS},
    "time in state, all states": {"dataset": Dataset.TIME_IN_STATE},
    "all issuances": {"dataset": Dataset.ISSUANCES},
    "all states": {"dataset": Dataset.STATES},
}


def _two_runs(connection: Connection) -> tuple[str, str]:
    latest = "SELECT flow_run_id FROM issuance_history WHERE at < :moment AND flow_run_id IS NOT NULL ORDER BY id DESC"
    moments = (NOW - timedelta(days=1), NOW - timedelta(days=2))
    later, earlier = (
        connection.scalar(text(f"{latest} LIMIT 1"), {"moment": f"{each:%Y-%m-%d %H:%M:%S}"}) for each in moments
    )
    return str(later), str(earlier)


async def _run_page(database: Database, _folder: str) -> int:
    run, _ = await database.read(_two_runs)
    return len((await database.read(summary, [run])).results)


async def _explain(database: Database, _folder: str) -> int:
    one = "SELECT user_id, achievement_id FROM badge_issuances WHERE state = 'failed' LIMIT 1"
    ((user, achievement),) = await database.read(lambda connection: connection.execute(text(one)).all())
    found = await history_of(database, user_id=user, achievement_id=achievement, now=NOW)
    return len(found.history.rows)


async def _open(database: Database, _folder: str) -> int:
    return len(await database.read(open_counts)) + len(await database.read(pending_counts))


async def _report(database: Database, folder: str) -> int:
    await write_report(database, Days(first=MONTH_AGO, last=TODAY), portal="", folder=folder, made_at=NOW)
    return 1


OTHERS: dict[str, Callable[[Database, str], Awaitable[int]]] = {
    "1 a run's page": _run_page,
    "2, 3, 11 explain": _explain,
    "3, 10 what waits": _open,
    "report of 30 days": _report,
}
NAMES = [*OTHERS, *EXPORTS]


async def _ask(name: str, folder: str) -> dict[str, Any]:
    database = database_of(settings())
    fields = dict(EXPORTS.get(name, {}))
    if fields and fields["dataset"].of_run:
        fields["run"], other = await database.read(_two_runs)
        fields |= {"other_run": other} if fields["dataset"] is Dataset.BETWEEN_RUNS else {}
    began = time.perf_counter()
    if fields:
        request = ExportRequest(file_format=FileFormat.PARQUET, folder=folder, **fields)
        rows = (await export(database, request)).rows
    else:
        rows = await OTHERS[name](database, folder)
    seconds = time.perf_counter() - began
    await database.dispose()
    return {"seconds": seconds, "peak_megabytes": peak_megabytes(), "rows": rows}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="laurel-bench-") as folder:
        print(json.dumps(asyncio.run(_ask(sys.argv[1], folder))))


if __name__ == "__main__":
    main()
