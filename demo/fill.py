"""Filling a database with the invented platform and its Credly settings."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from demo.credly_data import TO_CONNECT, credly_seed, settings_rows, token_block, tokens
from demo.platform_data import ACHIEVEMENTS, Row, platform_rows
from models.base import Model
from models.database import Database
from models.migrate import create_platform_tables, migrate
from models.setup.tables import CredlyConnection
from models.tables import table

connections = table(CredlyConnection)


def demo_seed() -> dict[str, list[Row]]:
    return credly_seed({key: portal for key, portal, *_ in ACHIEVEMENTS})


async def fill(database: Database, *, now: datetime, base_url: str) -> dict[str, int]:
    """Create the tables and insert the invented platform, connected to `base_url`; return rows by table."""
    await create_platform_tables(database)
    await migrate(database)
    rows = platform_rows(now=now) | settings_rows(now=now, base_url=base_url)
    await database.write(_insert, rows)
    return {table(model).name: len(of_table) for model, of_table in rows.items()}


def _insert(connection: Connection, rows: Mapping[type[Model], Sequence[Row]]) -> None:
    for model, of_table in rows.items():
        connection.execute(insert(table(model)), of_table)


async def demo_base_url(database: Database) -> str | None:
    """Return the address that the demo's connections point at, or None when the demo's data is not there."""
    return await database.read(_base_url)


def _base_url(connection: Connection) -> str | None:
    query = select(connections.c.base_url).where(connections.c.token_block.in_(tokens())).limit(1)
    return connection.execute(query).scalar_one_or_none()


async def point_demo_at(database: Database, *, base_url: str) -> None:
    """Update the address of the stand-in in the demo's connections, and in no other connection."""
    await database.write(_point_at, base_url)


def _point_at(connection: Connection, base_url: str) -> None:
    # Including the portals that an operator may have connected since.
    blocks = [*tokens(), *(token_block(portal) for portal in TO_CONNECT)]
    of_demo = connections.c.token_block.in_(blocks) & connections.c.base_url.startswith("http://127.0.0.1:")
    connection.execute(update(connections).where(of_demo).values(base_url=base_url))
