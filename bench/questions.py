"""What each question of docs/how-to/run-history.md costs with millions of rows."""

import asyncio
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, text

from bench.figures import Findings, console
from bench.options import number, words
from bench.run_question import NAMES
from bench.world import World
from demo.servers import DemoError
from models.database import Database
from models.migrate import create_platform_tables, migrate

_NUMBERS = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < :rows)"
_MOMENT = "strftime('%Y-%m-%d %H:%M:%S.000000', "
_TABLES = ("badge_issuances", "issuance_attempts", "issuance_history")
# Entered in order of time over 60 days; of 20 issuances 16 are issued, 1 failed, 1 blocked, 1 pending, 1 cancelled. The
# rule that a user has a badge of an achievement once holds for up to 50 million.
_ISSUANCES = f"""
INSERT INTO badge_issuances (id, achievement_id, user_id, badge_template_id, portal_id, origin, state, reason,
    not_before, looked_again_at, attempts, credly_badge_id, adopted, credly_state, audited_at, awarded_at, issued_at,
    recorded_at, evidence_sent, evidence_left_out, planned_at, updated_at, flow_run_id)
NUMBERS, r AS (
    SELECT n, n % 20 AS kind, (n / 20 + n / 250000) % 200 AS place, (n * 31) % 90000 AS later,
        {_MOMENT}:now, '-' || ((:rows - n) * 5184000 / :rows + 90000) || ' seconds') AS at FROM n)
SELECT n, 'achievement-' || place, 'user-' || (n % 250000), 'template-' || place, 'portal-' || (place % 5), 'award',
    CASE kind WHEN 0 THEN 'failed' WHEN 1 THEN 'blocked' WHEN 2 THEN 'pending' WHEN 3 THEN 'cancelled'
        ELSE 'issued' END,
    CASE kind WHEN 0 THEN CASE n % 3 WHEN 0 THEN 'name_missing' WHEN 1 THEN 'no_primary_email'
        ELSE 'refused_by_credly' END WHEN 1 THEN 'template_not_active' WHEN 3 THEN 'award_withdrawn' END,
    at, at, 1, CASE WHEN kind > 3 THEN 'badge-' || n END, 0,
    CASE WHEN kind > 3 THEN CASE WHEN n % 3 THEN 'accepted' ELSE 'pending' END END,
    CASE WHEN kind > 3 AND n % 10 THEN {_MOMENT}:now) END, at, CASE WHEN kind > 3 THEN at END,
    CASE WHEN kind > 3 THEN {_MOMENT}at, '+' || later || ' seconds') END, '', '', at,
    {_MOMENT}at, '+' || later || ' seconds'), 'run-' || strftime('%Y%m%d%H', at, '+' || later || ' seconds')
FROM r"""
_ATTEMPTS = """
INSERT INTO issuance_attempts (issuance_id, kind, outcome, started_at, duration_ms, status, field_names, flow_run_id)
SELECT id, 'issue', CASE state WHEN 'failed' THEN 'refused' ELSE 'issued' END, updated_at, id % 900, 201,
    'recipient_email,issued_at', flow_run_id
FROM badge_issuances WHERE state IN ('issued', 'failed') ORDER BY updated_at"""
# Two transitions each, in the order in which they happened.
_HISTORY = """
INSERT INTO issuance_history (issuance_id, at, transition, from_state, to_state, reason, badge_template_id, flow_run_id)
SELECT id, planned_at AS at, 'enqueue', NULL, 'pending', NULL, badge_template_id,
    'run-' || strftime('%Y%m%d%H', planned_at) FROM badge_issuances
UNION ALL SELECT id, updated_at, CASE state WHEN 'issued' THEN 'issue' WHEN 'failed' THEN 'fail'
    WHEN 'blocked' THEN 'block' ELSE 'cancel' END,
    CASE WHEN state IN ('issued', 'failed') THEN 'issuing' ELSE 'pending' END, state, reason,
    badge_template_id, flow_run_id
FROM badge_issuances WHERE state <> 'pending' ORDER BY at"""
_SETTINGS = f"""
INSERT INTO settings_history (settings_of, subject_id, at, action, changes, flow_run_id)
NUMBERS SELECT 'integration', 'achievement-' || (n / 2), {_MOMENT}:now, '-' || (70 - n % 2 * 50) || ' days'),
    CASE n % 2 WHEN 0 THEN 'enabled' ELSE 'changed' END,
    CASE n % 2 WHEN 0 THEN '{{"badge_template_id": [null, "t"], "locale": [null, "en"]}}'
        ELSE '{{"locale": ["en", "de"]}}' END,
    'form-' || n FROM n WHERE n < 400"""
_PLATFORM = (
    "INSERT INTO portals (id, name) NUMBERS SELECT 'portal-' || (n - 1), 'Portal ' || n FROM n WHERE n <= 5",
    "INSERT INTO achievements (id, portal_id, name) NUMBERS SELECT 'achievement-' || (n - 1), "
    "'portal-' || ((n - 1) % 5), 'Achievement ' || n FROM n WHERE n <= 200",
    "INSERT INTO users (id, first_name, last_name) NUMBERS SELECT 'user-' || (n - 1), 'Ada', 'Number ' || n FROM n "
    "WHERE n <= 250000",
    "INSERT INTO user_emails (id, user_id, address, is_primary) NUMBERS SELECT n, 'user-' || (n - 1), "
    "'user-' || n || '@example.org', 1 FROM n WHERE n <= 250000",
)


def measure(world: World) -> Findings:
    """Ask each question in a process of its own; the time is without its start."""
    if world.engine != "sqlite":
        raise DemoError("The questions are measured on SQLite only.")
    rows, rounds = number("ROWS", 1_000_000), number("ROUNDS", 1)
    found = Findings(
        measure=f"questions, {rows:,} (sqlite)",
        how=f"{rows:,} issuances over 60 days with a call and two transitions each; {rounds} rounds",
    )
    (address,) = words("LEDGER", "") or [world.new_database()]
    if not words("LEDGER", ""):
        began = time.perf_counter()
        asyncio.run(fill(address, rows))
        found.notes.append(f"the ledger was made in {time.perf_counter() - began:.0f} s")
    chosen = words("QUESTIONS", "")
    for name in NAMES:
        if chosen and name.split()[0].strip(",") not in chosen:
            continue
        took = [world.run("bench.run_question", name, database=address) for _ in range(rounds)]
        console.print(f"  {name}: {json.dumps(took)}")
        found.add(name, [each["seconds"] for each in took], "s", at_most=60)
        found.add(f"{name}: peak memory", [each["peak_megabytes"] for each in took], "MB", at_most=400)
        found.details[name] = took
    return found


async def fill(address: str, rows: int) -> None:
    """Create the tables and put so many issuances into them, with their calls and their history."""
    database = Database(address)
    await create_platform_tables(database)
    await migrate(database)
    values = {"rows": max(rows, 250_000), "now": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"}
    await database.write(_run, _PLATFORM, values)
    await database.write(_bulk, (_ISSUANCES, _ATTEMPTS, _HISTORY, _SETTINGS), values | {"rows": rows})
    await database.dispose()


def _bulk(connection: Connection, statements: Sequence[str], values: dict[str, Any]) -> None:
    # Without the triggers, which would write a history of one moment, and the indexes, which are quicker made at once.
    connection.exec_driver_sql("PRAGMA cache_size = -2000000")  # 2 GB, as rows come in no order of the unique key
    query = "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
    made = [row for row in connection.execute(text(query)) if any(each in row.sql for each in _TABLES)]
    for kind, name, _ in made:
        connection.exec_driver_sql(f"DROP {kind} {name}")
    _run(connection, statements, values)
    for _, _, statement in made:
        connection.exec_driver_sql(statement)


def _run(connection: Connection, statements: Sequence[str], values: dict[str, Any]) -> None:
    for statement in statements:
        connection.execute(text(statement.replace("NUMBERS", _NUMBERS)), values)
