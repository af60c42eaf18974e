"""Going from one revision of Laurel's tables to another, with rows as any revision has them."""

from collections.abc import Sequence
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from models.database import Database
from models.migrate import ROOT


def alembic_config(connection: Connection | None = None) -> Config:
    config = Config(str(ROOT / "alembic.ini"))
    config.attributes["connection"] = connection
    return config


async def rows_of(database: Database, query: str) -> Sequence[Any]:
    return await database.read(lambda connection: connection.execute(text(query)).all())


async def go_to(database: Database, revision: str, *, back: bool = False) -> None:
    go = command.downgrade if back else command.upgrade
    await database.write(lambda sync: go(alembic_config(sync), revision))


async def insert_issuance(
    database: Database,
    *,
    user: str = "ada",
    state: str = "pending",
    reason: str = "",
    claim: str = "",
    template: str = "t",
    **values: str,
) -> None:
    """A row as any revision has it."""
    moment = "2026-11-02 08:00:00"
    own = {"achievement_id": "a", "user_id": user, "badge_template_id": template, "portal_id": "p", "origin": "award"}
    own |= {"state": state, "not_before": moment, "looked_again_at": moment, "planned_at": moment}
    own |= {"updated_at": moment, "evidence_sent": "", "evidence_left_out": ""}
    own |= ({"reason": reason} if reason else {}) | ({"claim": claim, "lease_until": moment} if claim else {}) | values
    shown = ", ".join(f"'{value}'" for value in own.values())
    statement = f"INSERT INTO badge_issuances ({', '.join(own)}, attempts, adopted) VALUES ({shown}, 0, false)"
    await database.write(Connection.execute, text(statement))
