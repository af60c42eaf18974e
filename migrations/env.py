"""Alembic's entry: migrates Laurel's own tables, never the platform's."""

import asyncio
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlmodel.sql.sqltypes import AutoString

from models.columns import UtcDateTime
from models.database import open_at, valid_settings
from models.metadata import laurel_metadata
from models.revision import VERSION_TABLE
from rules.forms.inputs import InvalidInput


def _is_ours(_object: Any, name: str | None, kind: str, _reflected: bool, _compare_to: Any) -> bool:
    return kind != "table" or name in laurel_metadata.tables


def _render(kind: str, item: Any, autogen_context: AutogenContext) -> str | Literal[False]:
    """Write our own column types and plain strings into generated migrations."""
    if kind != "type":
        return False
    if isinstance(item, UtcDateTime):
        autogen_context.imports.add("from models.columns import UtcDateTime")
        return "UtcDateTime()"
    if isinstance(item, AutoString):
        return f"sa.String(length={item.length})" if item.length else "sa.String()"
    return False


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=laurel_metadata,
        include_object=_is_ours,
        version_table=VERSION_TABLE,
        render_as_batch=True,
        compare_type=True,
        render_item=_render,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _open_and_migrate() -> None:
    try:
        async with open_at(valid_settings().database_url) as database:  # the platform is not needed
            await database.write(_migrate)
    except InvalidInput as mistake:
        raise CommandError(str(mistake)) from None  # which Alembic prints, without a traceback


def run() -> None:
    """Use the caller's connection if there is one, else open the configured database."""
    connection = context.config.attributes.get("connection")
    if connection is not None:
        _migrate(connection)
    else:
        asyncio.run(_open_and_migrate())


run()
