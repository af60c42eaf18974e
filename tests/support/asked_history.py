"""The ledger that the documented questions are asked of: an invented year, with what it takes to ask about runs."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from models.database import Database
from tests.support.factories import a_connection, a_portal, an_achievement, an_integration
from tests.support.invented_history import PLACES, invent

Rows = list[tuple[Any, ...]]
# A run for each month, where the invented history has none; the refusals behind failures; and what whole runs found.
_STATEMENTS = (
    "UPDATE issuance_history SET flow_run_id = 'month-' || substr(at, 6, 2) WHERE flow_run_id IS NULL",
    """INSERT INTO issuance_attempts (issuance_id, kind, outcome, started_at, duration_ms, status, code, credly_message,
        field_names, flow_run_id)
    SELECT issuance_id, 'issue', 'refused', at, 150, 422, 'refused',
        CASE WHEN issuance_id % 3 THEN 'Name is invalid' ELSE 'Email is invalid' END, '', flow_run_id
    FROM issuance_history WHERE transition = 'fail'""",
    """INSERT INTO run_findings (at, flow_run_id, issued, failed, backlog, alarms)
    SELECT max(at), flow_run_id, sum(to_state = 'issued'), sum(to_state = 'failed'), 0,
        CASE WHEN sum(to_state = 'failed') > 3 THEN 'many_failures:' ELSE '' END
    FROM issuance_history WHERE flow_run_id LIKE 'month-%' GROUP BY flow_run_id""",
    """INSERT INTO users (id, first_name, last_name)
    SELECT user_id, 'Ada', CASE WHEN id % 2 THEN 'Muster' ELSE '' END FROM badge_issuances""",
    "INSERT INTO user_emails (id, user_id, address, is_primary) SELECT id, id, id || '@example.org', 1 FROM users",
)


async def invent_asked(file: Path) -> None:
    """Fill a migrated database of SQLite."""
    database = Database(f"sqlite:///{file}")
    await invent(database, rows=400, seed=22)
    for portal in sorted(set(PLACES.values())):
        await a_portal(database, portal)
    for achievement, portal in PLACES.items():
        await an_achievement(database, achievement, portal=portal)
        await an_integration(database, achievement=achievement)
    await a_connection(database, portal="northwind")
    await database.dispose()
    with closing(sqlite3.connect(file)) as connection:
        for statement in _STATEMENTS:
            connection.execute(statement)
        connection.commit()


def sql_of(connection: sqlite3.Connection) -> Callable[..., Rows]:
    """Return a function that runs a statement with its values by name, and gives the rows."""

    def sql(statement: str, **values: Any) -> Rows:
        return connection.execute(statement, values).fetchall()

    return sql
