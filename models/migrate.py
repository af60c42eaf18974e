"""Bringing Laurel's tables up to date, from Python."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from models.database import Database
from models.platform import platform_metadata

ROOT = Path(__file__).resolve().parent.parent


async def migrate(database: Database) -> None:
    """Create or update Laurel's own tables; the platform's are not touched."""
    async with database.writing() as connection:
        await connection.run_sync(_upgrade)


async def create_platform_tables(database: Database) -> None:
    """Create the platform's tables where no platform supplies them: in the demo and in tests."""
    async with database.writing() as connection:
        await connection.run_sync(platform_metadata.create_all)


def _upgrade(connection: Connection) -> None:
    config = Config(str(ROOT / "alembic.ini"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
