"""Runs the migrations of Laurel's tables from Python."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Index, text

from models.database import Database
from models.platform.tables import UserEmail, platform_metadata
from models.revision import VERSION_TABLE
from models.tables import table

ROOT = Path(__file__).resolve().parent.parent
# Here and not beside the table: a condition loads SQLAlchemy's dialect of PostgreSQL.
Index(
    "uq_user_emails_primary",
    table(UserEmail).c.user_id,
    unique=True,
    sqlite_where=text("is_primary"),
    postgresql_where=text("is_primary"),
)


async def migrate(database: Database) -> None:
    """Create or update Laurel's own tables; the platform's are not touched."""
    await database.write(_upgrade)


async def create_platform_tables(database: Database) -> None:
    """Create the platform's tables: for the demo, tests and CSV imports only."""
    await database.write(platform_metadata.create_all)


def newest_revision() -> str | None:
    """Return the revision of the newest migration in this checkout."""
    return ScriptDirectory.from_config(Config(str(ROOT / "alembic.ini"))).get_current_head()


def revision_of(connection: Connection) -> str | None:
    """Return the revision of the database, None if it was never migrated."""
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def _upgrade(connection: Connection) -> None:
    config = Config(str(ROOT / "alembic.ini"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
