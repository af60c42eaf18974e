"""A platform with millions of awards that are all in the ledger as issued, made by the database itself."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, create_engine, event, insert, select, text

from bench.rows import make_tables
from models.database import Database, open_configured
from models.ledger.tables import BadgeIssuance
from models.platform.tables import Achievement, AchievementAward, Portal
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table

ACHIEVEMENTS = 200
PORTALS = 20
AWARDS_OF_A_USER = 5
YEARS = 3
_PORTION = 1_000_000
# Award number i, seen from either side: of which user, of which achievement and portal, and when.
_PLACE = (
    f"(((i / {AWARDS_OF_A_USER}) * 5 + (i % {AWARDS_OF_A_USER}) * {ACHIEVEMENTS // AWARDS_OF_A_USER}) % {ACHIEVEMENTS})"
)
_USER = f"'user-' || (i / {AWARDS_OF_A_USER})"
_ACHIEVEMENT = f"'achievement-' || substr(CAST(1000 + {_PLACE} AS text), 2)"
_PORTAL = f"'portal-' || substr(CAST(100 + {_PLACE} % {PORTALS} AS text), 2)"
_SCATTERED = "(60 + (i * 7919) % :n * :span / :n)"  # seconds before now, over the years
_FORTY_DAYS = "(40 * 86400)"
_AGO = {  # as SQLAlchemy writes a moment for SQLite
    "sqlite": "strftime('%Y-%m-%d %H:%M:%S.000000', :now, '-' || {0} || ' seconds')",
    "postgresql": "CAST(:now AS timestamptz) - make_interval(secs => {0}::double precision)",
}
_SERIES = {
    "sqlite": "WITH RECURSIVE s(i) AS (SELECT :a UNION ALL SELECT i + 1 FROM s WHERE i < :b)",
    "postgresql": "WITH s(i) AS (SELECT generate_series(CAST(:a AS bigint), CAST(:b AS bigint)))",
}
_AWARDS = """
INSERT INTO achievement_awards (id, achievement_id, user_id, awarded_at)
{series} SELECT {award}, {achievement}, {user}, {moment} FROM s
"""
_LEDGER = """
INSERT INTO badge_issuances (
  achievement_id, user_id, badge_template_id, portal_id, award_id, awarded_at, origin, state, reason, not_before,
  looked_again_at, attempts, adopted, evidence_sent, evidence_left_out, requested_by, request_reason, planned_at,
  updated_at, credly_badge_id, recorded_at)
{series} SELECT
  {achievement}, {user}, 'template', {portal}, {award}, at, 'award', '{state}', {reason}, at,
  at, 0, false, '', '', '', '', at, at, {badge}, {recorded}
FROM (SELECT i, {moment} AS at FROM s) AS awarded
"""


async def fill_large(database: Database, *, awards: int) -> None:
    """Make the tables and fill them: `awards` of 200 achievements on 20 portals, each with its issued badge."""
    await make_tables(database)
    if database.engine.dialect.name == "sqlite":
        await asyncio.to_thread(_fill_sqlite, database.url, awards)
        return
    await database.write(_fill, awards)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _fill_sqlite(url: str, awards: int) -> None:
    # Without syncing: a database that is lost in a crash is filled again.
    engine = create_engine(url)
    event.listen(engine, "connect", _hurry)
    with engine.begin() as connection:
        _fill(connection, awards)
    engine.dispose()


def _hurry(connection: Any, _record: Any) -> None:
    for pragma in ("synchronous = OFF", "cache_size = -1000000", "foreign_keys = OFF"):
        connection.execute(f"PRAGMA {pragma}")


def _fill(connection: Connection, awards: int) -> None:
    indexes = [index for model in (AchievementAward, BadgeIssuance) for index in table(model).indexes]
    for index in indexes:
        index.drop(connection)
    _put_settings(connection)
    names = {"achievement": _ACHIEVEMENT, "portal": _PORTAL, "user": _USER, "award": "'award-' || i"}
    issued = {"state": "issued", "reason": "NULL", "badge": "'badge-award-' || i", "recorded": "at"}
    values = {"n": awards, "span": YEARS * 365 * 86400, "now": _now(connection)}
    for start in range(0, awards, _PORTION):
        bounds = {"a": start, "b": min(start + _PORTION, awards) - 1}
        _run(connection, f"INSERT INTO users (id) {{series}} SELECT DISTINCT {_USER} FROM s", bounds)
        for statement in (_AWARDS, _LEDGER):
            _run(connection, statement, bounds | values, **names, **issued, ago=_SCATTERED)
    for index in indexes:
        index.create(connection)


async def add_stuck(database: Database, *, portal: str, state: str, reason: str, rows: int) -> None:
    """Add awards of an unconnected portal whose issuances are blocked or failed."""
    await database.write(_add_stuck, portal, state=state, reason=reason, rows=rows)


def _add_stuck(connection: Connection, portal: str, *, state: str, reason: str, rows: int) -> None:
    _put_achievement(connection, portal, portal)
    values, key = {"a": 0, "b": rows - 1, "now": _now(connection)}, f"'{portal}-' || i"
    names = {"achievement": f"'{portal}'", "portal": f"'{portal}'", "user": key, "award": key}
    stuck = {"state": state, "reason": f"'{reason}'", "badge": "NULL", "recorded": "NULL"}
    _run(connection, f"INSERT INTO users (id) {{series}} SELECT {key} FROM s", values)
    for statement in (_AWARDS, _LEDGER):
        _run(connection, statement, values, **names, **stuck, ago=_FORTY_DAYS)


def _run(connection: Connection, statement: str, values: dict[str, Any], *, ago: str = "", **words: str) -> None:
    engine = connection.dialect.name
    query = statement.format(series=_SERIES[engine], moment=_AGO[engine].format(ago), **words)
    connection.execute(text(query), values)


def _now(connection: Connection) -> datetime | str:
    # In the form of each driver.
    moment = datetime.now(UTC)
    return moment if connection.dialect.name == "postgresql" else f"{moment:%Y-%m-%d %H:%M:%S}"


def _put_settings(connection: Connection) -> None:
    for number in range(ACHIEVEMENTS):
        portal = f"portal-{number % PORTALS:02}"
        _put_achievement(connection, f"achievement-{number:03}", portal)
        if number < PORTALS:
            link = CredlyConnection(
                portal_id=portal,
                organization_id=portal,
                token_block="bench",  # noqa: S106 - a block's name
                base_url="http://127.0.0.1:1/v1",
                connected_at=datetime.now(UTC),
            )
            connection.execute(insert(table(CredlyConnection)), link.model_dump(exclude={"id"}))


def _put_achievement(connection: Connection, achievement: str, portal: str) -> None:
    portals = table(Portal)
    if connection.scalar(select(portals.c.id).where(portals.c.id == portal)) is None:
        connection.execute(insert(portals), {"id": portal, "name": portal})
    row = {"id": achievement, "portal_id": portal, "name": achievement}
    connection.execute(insert(table(Achievement)), row)
    long_ago = datetime.now(UTC) - timedelta(days=3650)
    plain = CredlyIntegration(achievement_id=achievement, badge_template_id="template", enabled_at=long_ago)
    connection.execute(insert(table(CredlyIntegration)), plain.model_dump(exclude={"id"}))


async def _main(awards: int) -> None:
    async with open_configured() as database:
        await fill_large(database, awards=awards)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
    sys.stdout.write("{}\n")
