"""A platform with millions of awards that are all in the ledger as issued, made by the database itself."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.rows import make_tables
from models.database import Database
from models.integrations import CredlyConnection, CredlyIntegration
from models.ledger import BadgeIssuance
from models.platform.tables import Achievement, AchievementAward, Portal
from models.tables import table

ACHIEVEMENTS = 200
PORTALS = 20
AWARDS_OF_A_USER = 5
YEARS = 3
_PORTION = 1_000_000
_TEXT = "'%Y-%m-%d %H:%M:%S.000000'"  # as SQLAlchemy writes a moment for SQLite
_BACK = "((i * 7919) % :n * :span / :n)"  # seconds before now of award number i, scattered over the years
_MOMENT = {
    "sqlite": f"strftime({_TEXT}, 'now', '-1 minutes', '-' || {_BACK} || ' seconds')",
    "postgresql": f"now() - interval '1 minute' - make_interval(secs => {_BACK}::double precision)",
}
_SERIES = {
    "sqlite": "WITH RECURSIVE s(i) AS (SELECT :a UNION ALL SELECT i + 1 FROM s WHERE i < :b)",
    "postgresql": "WITH s(i) AS (SELECT generate_series(CAST(:a AS bigint), CAST(:b AS bigint)))",
}


async def fill_large(database: Database, *, awards: int) -> None:
    """Make the tables and fill them: `awards` of 200 achievements on 20 portals, each with its issued badge."""
    await make_tables(database)
    engine = database.engine.dialect.name
    if engine == "sqlite":
        await _make_sqlite_fast(database)
    async with database.writing() as connection:
        await _without_indexes(connection)
        await _put_settings(connection)
        for start in range(0, awards, _PORTION):
            bounds = {"a": start, "b": min(start + _PORTION, awards) - 1}
            await _put_awards(connection, engine, bounds, awards)
    await _finish(database, engine)


async def add_stuck(database: Database, *, portal: str, state: str, reason: str, rows: int) -> None:
    """Add awards of an unconnected portal whose issuances are blocked or failed."""
    series, moment = _SERIES[database.engine.dialect.name], _AGO[database.engine.dialect.name].format(days=40)
    bounds = {"a": 0, "b": rows - 1}
    key = f"'{portal}-' || i"
    ledger = _LEDGER.format(
        chosen=f"a.achievement_id = '{portal}'", state=state, reason=f"'{reason}'", badge="NULL", recorded="NULL"
    )
    async with database.writing() as connection:
        await _put_achievement(connection, portal, portal)
        await connection.execute(text(f"INSERT INTO users (id) {series} SELECT {key} FROM s"), bounds)
        into = "INSERT INTO achievement_awards (id, achievement_id, user_id, awarded_at)"
        await connection.execute(text(f"{into} {series} SELECT {key}, '{portal}', {key}, {moment} FROM s"), bounds)
        await connection.execute(text(ledger))


_LEDGER = """
INSERT INTO badge_issuances (
  achievement_id, user_id, badge_template_id, portal_id, award_id, awarded_at, origin, state, reason, not_before,
  looked_again_at, attempts, adopted, evidence_sent, evidence_left_out, requested_by, request_reason, planned_at,
  updated_at, credly_badge_id, recorded_at)
SELECT
  a.achievement_id, a.user_id, 'template', c.portal_id, a.id, a.awarded_at, 'award', '{state}', {reason}, a.awarded_at,
  a.awarded_at, 0, false, '', '', '', '', a.awarded_at, a.awarded_at, {badge}, {recorded}
FROM achievement_awards a JOIN achievements c ON c.id = a.achievement_id WHERE {chosen}
"""


_AGO = {
    "sqlite": f"strftime({_TEXT}, 'now', '-{{days}} days')",
    "postgresql": "now() - interval '{days} days'",
}


async def _put_settings(connection: AsyncConnection) -> None:
    for number in range(ACHIEVEMENTS):
        portal = f"portal-{number % PORTALS:02}"
        await _put_achievement(connection, f"achievement-{number:03}", portal)
        if number < PORTALS:
            link = CredlyConnection(
                portal_id=portal,
                organization_id=portal,
                token_block="bench",  # noqa: S106 - a block's name
                base_url="http://127.0.0.1:1/v1",
                connected_at=datetime.now(UTC),
            )
            await connection.execute(insert(table(CredlyConnection)), link.model_dump(exclude={"id"}))


async def _put_achievement(connection: AsyncConnection, achievement: str, portal: str) -> None:
    portals = table(Portal)
    if await connection.scalar(select(portals.c.id).where(portals.c.id == portal)) is None:
        await connection.execute(insert(portals), {"id": portal, "name": portal})
    row = {"id": achievement, "portal_id": portal, "name": achievement}
    await connection.execute(insert(table(Achievement)), row)
    long_ago = datetime.now(UTC) - timedelta(days=3650)
    plain = CredlyIntegration(achievement_id=achievement, badge_template_id="template", enabled_at=long_ago)
    await connection.execute(insert(table(CredlyIntegration)), plain.model_dump(exclude={"id"}))


async def _put_awards(connection: AsyncConnection, engine: str, bounds: dict[str, int], awards: int) -> None:
    series, given = _SERIES[engine], bounds | {"n": awards, "span": YEARS * 365 * 86400}
    users = f"INSERT INTO users (id) {series} SELECT DISTINCT 'user-' || (i / {AWARDS_OF_A_USER}) FROM s"
    await connection.execute(text(users), bounds)
    apart = ACHIEVEMENTS // AWARDS_OF_A_USER
    number = f"(1000 + ((i / {AWARDS_OF_A_USER}) * 5 + (i % {AWARDS_OF_A_USER}) * {apart}) % {ACHIEVEMENTS})"
    await connection.execute(
        text(
            f"INSERT INTO achievement_awards (id, achievement_id, user_id, awarded_at) {series} "
            f"SELECT 'award-' || i, 'achievement-' || substr(CAST({number} AS text), 2), "
            f"'user-' || (i / {AWARDS_OF_A_USER}), {_MOMENT[engine]} FROM s"
        ),
        given,
    )


async def _without_indexes(connection: AsyncConnection) -> None:
    for model in (AchievementAward, BadgeIssuance):
        for index in table(model).indexes:
            await connection.run_sync(index.drop)


async def _make_sqlite_fast(database: Database) -> None:
    async with database.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        for pragma in ("synchronous = OFF", "cache_size = -1000000", "foreign_keys = OFF"):
            await raw.driver_connection.execute(f"PRAGMA {pragma}")  # type: ignore[union-attr]


async def _finish(database: Database, engine: str) -> None:
    ledger = _LEDGER.format(
        chosen="true", state="issued", reason="NULL", badge="'badge-' || a.id", recorded="a.awarded_at"
    )
    async with database.writing() as connection:
        await connection.execute(text(ledger))
        for model in (AchievementAward, BadgeIssuance):
            for index in table(model).indexes:
                await connection.run_sync(index.create)
    if engine == "postgresql":
        async with database.engine.connect() as connection:
            chosen = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await chosen.execute(text("VACUUM ANALYZE"))
