"""What frames, exports and the report cost with many rows: `python -m bench.reports --rows 1000000`.

It fills a SQLite database of its own with a recursive query, then measures each step in a process of its own.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from models.database import Database
from models.migrate import create_platform_tables, migrate

DAYS_AGO = f"{datetime.now(UTC) - timedelta(days=30):%Y-%m-%d}"
STEPS = {
    "export issuances as CSV": ["reports.export", "issuances", "--format", "csv"],
    "export issuances as Parquet": ["reports.export", "issuances", "--format", "parquet"],
    "export issuances with names as Parquet": ["reports.export", "issuances", "--format", "parquet", "--personal-data"],
    "export attempts as Parquet": ["reports.export", "attempts", "--format", "parquet"],
    "export daily counts by achievement": ["reports.export", "daily", "--by", "achievement"],
    "export states as Parquet": ["reports.export", "states", "--format", "parquet"],
    "counts as they stood 30 days ago": ["reports.export", "states_at", "--until", DAYS_AGO],
    "time in each state": ["reports.export", "time_in_state"],
    "what happened by day and portal": ["reports.export", "daily_events", "--by", "portal"],
    "funnel of what happened": ["reports.export", "funnel_events"],
    "failures by portal": ["reports.export", "failures", "--by", "portal"],
    "refusals by week": ["reports.export", "refusals"],
    "badges never claimed": ["reports.export", "unclaimed"],
    "report of 30 days": ["reports.html", "--span", "last 30 days"],
    "frame of all issuances": ["-c"],
}
FRAME = """
import asyncio
from models.database import database_of
from reports import frames
from settings import settings
print(len(asyncio.run(frames.issuances(database_of(settings())))), "rows")
"""
_NUMBERS = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < :rows)"
# Awards of the last 60 days; of 20 issuances 16 are issued, 1 failed, 1 blocked, 1 pending, 1 cancelled. The rule that
# a user has a badge of an achievement once holds for up to a million.
_ISSUANCES = """
INSERT INTO badge_issuances (id, achievement_id, user_id, badge_template_id, portal_id, origin, state, reason,
    not_before, looked_again_at, attempts, credly_badge_id, adopted, credly_state, audited_at, awarded_at, issued_at,
    recorded_at, evidence_sent, evidence_left_out, planned_at, updated_at, flow_run_id)
NUMBERS, r AS (
    SELECT n, n % 20 AS kind, (n / 20 + n / 250000) % 200 AS place, strftime('%Y-%m-%d %H:%M:%S.000000', :now,
        '-' || ((n * 104729) % 5184000) || ' seconds') AS at, (n * 31) % 90000 AS later FROM n)
SELECT n, 'achievement-' || place, 'user-' || (n % 250000), 'template-' || place, 'portal-' || (place % 5), 'award',
    CASE kind WHEN 0 THEN 'failed' WHEN 1 THEN 'blocked' WHEN 2 THEN 'pending' WHEN 3 THEN 'cancelled'
        ELSE 'issued' END,
    CASE kind WHEN 0 THEN CASE n % 3 WHEN 0 THEN 'name_missing' WHEN 1 THEN 'no_primary_email'
        ELSE 'refused_by_credly' END WHEN 1 THEN 'template_not_active' WHEN 3 THEN 'award_withdrawn' END,
    at, at, 1, CASE WHEN kind > 3 THEN 'badge-' || n END, 0,
    CASE WHEN kind > 3 THEN CASE WHEN n % 3 THEN 'accepted' ELSE 'pending' END END,
    CASE WHEN kind > 3 AND n % 10 THEN strftime('%Y-%m-%d %H:%M:%S.000000', :now) END, at,
    CASE WHEN kind > 3 THEN at END,
    CASE WHEN kind > 3 THEN strftime('%Y-%m-%d %H:%M:%S.000000', at, '+' || later || ' seconds') END, '', '', at,
    strftime('%Y-%m-%d %H:%M:%S.000000', at, '+' || later || ' seconds'), 'run-' || (n % 500)
FROM r"""
_ATTEMPTS = """
INSERT INTO issuance_attempts (issuance_id, kind, outcome, started_at, duration_ms, status, field_names, flow_run_id)
NUMBERS SELECT n.n, 'issue', CASE WHEN n.n % 20 = 0 THEN 'refused' ELSE 'issued' END, i.updated_at, n.n % 900, 201,
    'recipient_email,issued_at', i.flow_run_id FROM n JOIN badge_issuances i ON i.id = n.n"""
# A second transition each: the trigger has written the first.
_HISTORY = """
INSERT INTO issuance_history (issuance_id, at, transition, to_state, reason, badge_template_id, flow_run_id)
SELECT id, strftime('%Y-%m-%d %H:%M:%S.000000', updated_at, '+1 hours'), 'unknown', state, reason, badge_template_id,
    flow_run_id FROM badge_issuances ORDER BY id"""
_PLATFORM = (
    "INSERT INTO portals (id, name) NUMBERS SELECT 'portal-' || (n - 1), 'Portal ' || n FROM n WHERE n <= 5",
    "INSERT INTO achievements (id, portal_id, name) NUMBERS SELECT 'achievement-' || (n - 1), "
    "'portal-' || ((n - 1) % 5), 'Achievement ' || n FROM n WHERE n <= 200",
    "INSERT INTO users (id, first_name, last_name) NUMBERS SELECT 'user-' || (n - 1), 'Ada', 'Number ' || n FROM n "
    "WHERE n <= 250000",
    "INSERT INTO user_emails (id, user_id, address, is_primary) NUMBERS SELECT n, 'user-' || (n - 1), "
    "'user-' || n || '@example.org', 1 FROM n WHERE n <= 250000",
)


async def fill(url: str, rows: int) -> None:
    """Create the tables and put so many issuances, and a call for each, into them."""
    database = Database(url)
    await create_platform_tables(database)
    await migrate(database)
    values = {"rows": max(rows, 250_000), "now": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"}
    await database.write(_run, _PLATFORM, values)
    await database.write(_run, (_ISSUANCES, _ATTEMPTS, _HISTORY), values | {"rows": rows})
    await database.dispose()


def _run(connection: Connection, statements: Sequence[str], values: dict[str, Any]) -> None:
    for statement in statements:
        connection.execute(text(statement.replace("NUMBERS", _NUMBERS)), values)


def measure(name: str, command: list[str], environment: dict[str, str]) -> str:
    """Run one step, and return a table row with its time and peak memory."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *(["-c", FRAME] if command == ["-c"] else ["-m", *command])],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    output = process.stdout.read().splitlines() if process.stdout else []
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{name} failed")
    seconds, megabytes = time.monotonic() - started, usage.ru_maxrss / 1024
    return f"| {name} | {seconds:.0f} s | {megabytes:.0f} MB | {output[0].split(':')[0] if output else ''} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", default="", help="keep database and files here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="laurel-bench-") as temporary:
        folder = Path(given.folder or temporary).resolve()
        url = f"sqlite:///{folder / 'laurel.db'}"
        started = time.monotonic()
        asyncio.run(fill(url, given.rows))
        print(f"{given.rows:,} issuances with a call each, filled in {time.monotonic() - started:.0f} s\n")
        print("| step | time | most memory | |\n|---|---|---|---|")
        environment = dict(os.environ) | {"LAUREL_DATABASE_URL": url, "LAUREL_REPORTS_FOLDER": str(folder / "reports")}
        for name, command in STEPS.items():
            print(measure(name, command, environment), flush=True)


if __name__ == "__main__":
    main()
