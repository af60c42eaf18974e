"""A platform of another database whose queries end with an error for the rows that say so, on three engines."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, text

from models.database import Database
from models.platform.engine import Source
from models.platform.mapping import mapping_of
from models.setup.history import put_settings
from rules.ledger.settings_changes import SettingsOf
from tests.support.databases import administer as administer_postgresql
from tests.support.databases import sqlite_database
from tests.support.factories import NOW, TEMPLATE, a_connection
from tests.support.mariadb import administer as administer_mariadb

ENGINES = ("sqlite", "postgresql", "mariadb")
CANARY = "zyxomma"
AWARDED, ENABLED = NOW - timedelta(days=1), NOW - timedelta(days=300)
_numbers = count(1)
_COLUMNS = {
    "portals": "id name url",
    "users": "id first_name last_name profile_url",
    "user_emails": "id user_id address is_primary",
    "companies": "id name url",
    "projects": "id name url",
    "achievements": "id portal_id name",
    "achievement_awards": "id achievement_id user_id awarded_at company_id project_id withdrawn_at",
}
_MOMENTS = ("awarded_at", "withdrawn_at")
# The value that is quoted in the driver's error is that of `fails` after the name of the column.
_FAILING = {
    "sqlite": dict.fromkeys(("text", "moment"), "json(fails)"),
    "postgresql": {"text": "CAST(CAST(fails AS integer) AS text)", "moment": "CAST(fails AS timestamp)"},
    "mariadb": dict.fromkeys(("text", "moment"), "FROM_UNIXTIME(9223372036854775807 + LENGTH(fails))"),
}


class FailingPlatform:
    """The platform's rows, which a test writes, and Laurel's database beside it."""

    def __init__(self, engine: Engine, kind: str, folder: Path) -> None:
        self.engine, self._kind, self.mapping = engine, kind, folder / f"mapping-{next(_numbers)}"
        self.database: Database

    def create(self) -> None:
        """Create the tables, and the mapping whose queries read them."""
        self.mapping.mkdir()
        (self.mapping / "mapping.toml").write_text('moments = "UTC"\n')
        for relation, names in _COLUMNS.items():
            columns = names.split()
            types = ", ".join(f"{name} {self._type(name)}" for name in columns)
            self.execute(f"CREATE TABLE stored_{relation} ({types}, fails VARCHAR(100))")
            shown = ", ".join(self._shown(name) for name in columns)
            (self.mapping / f"{relation}.sql").write_text(f"SELECT {shown} FROM stored_{relation}")

    def _type(self, name: str) -> str:
        if name in _MOMENTS:
            return {"sqlite": "TEXT", "postgresql": "TIMESTAMP", "mariadb": "DATETIME(6)"}[self._kind]
        return "BOOLEAN" if name == "is_primary" else "VARCHAR(400)"

    def _shown(self, name: str) -> str:
        if name == "is_primary":
            return name
        failing = _FAILING[self._kind]["moment" if name in _MOMENTS else "text"]
        return f"CASE WHEN fails = '{name} {CANARY}' THEN {failing} ELSE {name} END AS {name}"

    def execute(self, statement: str, *values: dict[str, Any]) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), list(values) or None)

    def put(self, relation: str, *, fails: str | None = None, **values: Any) -> None:
        """Store a row; reading its column `fails` ends with an error."""
        values |= {"fails": fails and f"{fails} {CANARY}"}
        names = ", ".join(values)
        self.execute(f"INSERT INTO stored_{relation} ({names}) VALUES (:{names.replace(', ', ', :')})", values)

    def award(
        self, user: str | None, award: str | None = "of the user", *, fails: str | None = None, **changes: Any
    ) -> None:
        """Give a user the award, with a company and a project of the user's own."""
        values = {
            "id": f"award-{user}" if award == "of the user" else award,
            "achievement_id": "forklift",
            "user_id": user,
            "awarded_at": f"{AWARDED:%Y-%m-%d %H:%M:%S}",
            "company_id": user,
            "project_id": user,
        }
        self.put("achievement_awards", fails=fails, **values | changes)

    def person(self, user: str) -> None:
        self.put("users", id=user, first_name="Ada", last_name="Muster", profile_url=f"https://example.org/{user}")
        self.put("user_emails", id=user, user_id=user, address=f"{user}@example.org", is_primary=True)
        self.put("companies", id=user, name="Acme", url="https://acme.example.org")
        self.put("projects", id=user, name="Bridge", url="https://bridge.example.org")

    def fail(self, relation: str, key: str, column: str | None) -> None:
        """Let reading this column of this row end with an error, or no column of it any more."""
        values = {"key": key, "fails": column and f"{column} {CANARY}"}
        self.execute(f"UPDATE stored_{relation} SET fails = :fails WHERE id = :key", values)


@asynccontextmanager
async def failing_platform(kind: str, server: str, folder: Path, migrated_file: Path) -> AsyncIterator[FailingPlatform]:
    """Give a platform on this engine that has nothing but the achievement `forklift`, which is enabled."""
    name = f"failing_{next(_numbers)}"
    url = f"sqlite:///{folder / name}.db"
    if kind == "postgresql":
        await administer_postgresql(server, f"CREATE DATABASE {name}")
        url = server.replace("/postgres?", f"/{name}?")
    elif kind == "mariadb":
        administer_mariadb(server, f"CREATE DATABASE {name}")
        url = f"{server}/{name}"
    engine = create_engine(url)
    platform = FailingPlatform(engine, kind, folder)
    platform.create()
    platform.put("portals", id="northwind", name="Northwind", url="https://northwind.example.org")
    platform.put("achievements", id="forklift", portal_id="northwind", name="Forklift")
    async with sqlite_database(folder, copy_of=migrated_file) as ledger:
        platform.database = Database(ledger.url, Source(url=url, mapping=mapping_of(str(platform.mapping), "")))
        await a_connection(platform.database)
        values = {"badge_template_id": TEMPLATE, "enabled_at": ENABLED}
        await platform.database.write(put_settings, SettingsOf.INTEGRATION, "forklift", values, now=NOW)
        try:
            yield platform
        finally:
            await platform.database.dispose()
            engine.dispose()
    if kind == "postgresql":
        await administer_postgresql(server, f"DROP DATABASE {name} WITH (FORCE)")
    elif kind == "mariadb":
        administer_mariadb(server, f"DROP DATABASE {name}")
