"""A small platform with one portal, one achievement and two people, connected to the stand-in."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.blocks.system import Secret
from pydantic import SecretStr
from sqlalchemy import Connection, delete, insert, select, update

from credly.client import CredlyClient
from credly.wire import BadgeRequest
from models.base import Model
from models.database import Database
from models.ledger.tables import BadgeIssuance
from models.platform.tables import (
    Achievement,
    AchievementAward,
    Company,
    Portal,
    Project,
    User,
    UserEmail,
)
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table
from settings import settings
from tasks.runtime.run import Run, current_run
from tests.support.light_run import Clock

ORGANIZATION = "0a0a0a0a-0000-4000-8000-000000000001"
SECOND_ORGANIZATION = "0b0b0b0b-0000-4000-8000-000000000002"
TEMPLATE = "7e7e7e7e-0000-4000-8000-000000000001"
TOKEN = "invented-token-of-northwind"
BLOCK = "credly-northwind"

SEED: Mapping[str, Any] = {
    "organizations": [{"id": ORGANIZATION, "name": "Northwind"}],
    "tokens": [{"token": TOKEN, "organization_id": ORGANIZATION}],
    "templates": [{"id": TEMPLATE, "organization_id": ORGANIZATION, "name": "Forklift", "state": "active"}],
}

# What a person of that world would be sent, as it goes over the wire.
BADGE: dict[str, Any] = {
    "recipient_email": "ada@example.org",
    "issued_to_first_name": "Ada",
    "issued_to_last_name": "Lovelace",
    "badge_template_id": TEMPLATE,
    "issued_at": "2026-11-02T08:00:00Z",
}
_ADA: dict[str, Any] = {
    "recipient_email": "ada@example.org",
    "issued_to_first_name": "Ada",
    "issued_to_last_name": "Lovelace",
    "issuer_earner_id": "ada",
}


@dataclass
class World:
    """What a test changes on the platform and in Laurel's settings. Users are `ada` and `bob`."""

    database: Database
    base_url: str
    awards: int = 0
    blocks: set[str] = field(default_factory=set)
    """What `put_token` has made beside the block of every world, all of which share a server."""
    light_secrets: dict[str, str] | None = None
    """Where `put_token` puts tokens if there is no server of Prefect's."""

    async def build(self) -> None:
        await self.add(Portal, id="northwind", name="Northwind", url="https://northwind.example.org")
        await self.add(Achievement, id="forklift", portal_id="northwind", name="Forklift")
        await self.add(Company, id="acme", name="Acme", url="https://acme.example.org")
        await self.add(Project, id="bridge", name="Bridge", url="https://bridge.example.org")
        for user, first, last in (("ada", "Ada", "Lovelace"), ("bob", "Bob", "Babbage")):
            profile = f"https://platform.example.org/people/{user}"
            await self.add(User, id=user, first_name=first, last_name=last, profile_url=profile)
            await self.add(UserEmail, id=user, user_id=user, address=f"{user}@example.org", is_primary=True)
        await self.put_token()
        await self.connect()

    async def add_user(self, user: str) -> None:
        await self.add(User, id=user, first_name="A", last_name="B")
        await self.add(UserEmail, id=user, user_id=user, address=f"{user}@example.org", is_primary=True)

    async def put_token(self, value: str = TOKEN, *, block: str = BLOCK) -> None:
        if self.light_secrets is not None:
            self.light_secrets[block] = value
            return
        self.blocks |= {block} - {BLOCK}
        with suppress(ValueError):  # there is no such block
            stored: Secret[str] = await Secret.aload(block)
            if stored.get() == value:
                return  # an earlier world's: reading is one request, saving are five
        await Secret(value=value).asave(block, overwrite=True)

    async def remove_blocks(self) -> None:
        """Remove the other blocks, which later tests would find near to a name that they enter."""
        for block in self.blocks:
            with suppress(ValueError):  # the test has removed it
                await Secret.adelete(block)

    async def connect(self, portal_id: str = "northwind", **changes: Any) -> None:
        values = {
            "organization_id": ORGANIZATION,
            "token_block": BLOCK,
            "base_url": self.base_url,
            "calls_per_second": 1000,
            "missing_name": "",
            "connected_at": datetime.now(UTC),
        }
        await self.add(CredlyConnection, portal_id=portal_id, **values | changes)

    async def disconnect(self) -> None:
        await self.do(delete(table(CredlyConnection)))

    async def change_connection(self, **changes: Any) -> None:
        await self.do(update(table(CredlyConnection)).values(**changes))

    async def change_integration(self, **changes: Any) -> None:
        await self.do(update(table(CredlyIntegration)).values(**changes))

    async def connection(self) -> Any:
        (row,) = await self.read(select(table(CredlyConnection)))
        return row

    async def enable(self, achievement_id: str = "forklift", **changes: Any) -> None:
        plain = CredlyIntegration(
            achievement_id=achievement_id,
            badge_template_id=TEMPLATE,
            enabled_at=datetime.now(UTC) - timedelta(days=365),
        )
        await self.add(CredlyIntegration, **plain.model_dump(exclude={"id"}) | changes)

    async def forget(self, achievement_id: str) -> None:
        """As when the platform deletes an achievement and its awards, and nobody has disabled Credly before."""
        awards, achievements = table(AchievementAward), table(Achievement)
        await self.do(delete(awards).where(awards.c.achievement_id == achievement_id))
        await self.do(delete(achievements).where(achievements.c.id == achievement_id))

    async def change_template(self, achievement_id: str, badge_template_id: str) -> None:
        mine = table(CredlyIntegration).c.achievement_id == achievement_id
        await self.do(update(table(CredlyIntegration)).where(mine).values(badge_template_id=badge_template_id))

    async def withdraw_all(self) -> None:
        await self.do(update(table(AchievementAward)).values(withdrawn_at=datetime.now(UTC)))

    async def disable(self) -> None:
        await self.do(delete(table(CredlyIntegration)))

    async def award(self, user_id: str, *, achievement_id: str = "forklift", **changes: Any) -> str:
        self.awards += 1
        values = {
            "id": f"award-{self.awards}",
            "achievement_id": achievement_id,
            "user_id": user_id,
            "awarded_at": datetime.now(UTC) - timedelta(hours=1),
        }
        await self.add(AchievementAward, **values | changes)
        return f"award-{self.awards}"

    async def ledger(self) -> list[Any]:
        """All issuances, the oldest first."""
        return await self.rows(BadgeIssuance)

    async def rows(self, model: type[Model]) -> list[Any]:
        return await self.read(select(table(model)).order_by(table(model).c.id))

    async def end_leases(self) -> None:
        """As when those who hold claims have been silent for longer than a lease."""
        moment = datetime.now(UTC) - timedelta(seconds=1)
        leased = table(BadgeIssuance).c.state == "issuing"
        await self.do(update(table(BadgeIssuance)).where(leased).values(lease_until=moment))

    async def let_time_pass(self, span: timedelta) -> None:
        """As when so much time has passed: whatever waits has waited that much longer."""
        column = table(BadgeIssuance).c.not_before
        for row in await self.ledger():
            if row.state == "pending":
                await self.change_row(row.id, **{column.name: row.not_before - span})

    async def change_row(self, issuance_id: int, **changes: Any) -> None:
        await self.do(update(table(BadgeIssuance)).where(table(BadgeIssuance).c.id == issuance_id).values(**changes))

    async def replace_elsewhere(self, badge_id: str) -> None:
        request = BadgeRequest(badge_template_id=TEMPLATE, issued_at=datetime.now(UTC), **_ADA)
        async with self._client() as client:
            await client.replace_badge(badge_id, request=request)

    async def issue_elsewhere(self, *, recipient_email: str, issuer_earner_id: str) -> None:
        named = _ADA | {"recipient_email": recipient_email, "issuer_earner_id": issuer_earner_id}
        request = BadgeRequest(badge_template_id=TEMPLATE, issued_at=datetime.now(UTC), **named)
        async with self._client() as client:
            await client.issue_badge(request)

    def _client(self) -> CredlyClient:
        return CredlyClient(base_url=self.base_url, organization_id=ORGANIZATION, token=SecretStr(TOKEN))

    async def second_portal(self, **connection: Any) -> None:
        await self.add(Portal, id="second", name="Second")
        await self.add(Achievement, id="second-achievement", portal_id="second", name="Second")
        await self.enable("second-achievement")
        await self.connect("second", organization_id=SECOND_ORGANIZATION, **connection)

    async def row(self, model: type[Model], key: str) -> Mapping[str, Any]:
        (found,) = await self.read(select(table(model)).where(table(model).c.id == key))
        return dict(found._mapping)

    async def change(self, model: type[Model], key: str, **changes: Any) -> None:
        await self.do(update(table(model)).where(table(model).c.id == key).values(**changes))

    def configure(self, monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"LAUREL_{name}", value)
        settings.cache_clear()

    def set_clock(self, clock: Clock) -> None:
        """Let all flows of the test work within one run, as it is configured now, that has this clock."""
        current_run.set(Run(settings(), self.database, clock.now))

    async def add(self, model: type[Model], **values: Any) -> None:
        await self.do(insert(table(model)).values(**values))

    async def read(self, query: Any) -> list[Any]:
        return await self.database.read(lambda connection: list(connection.execute(query)))

    async def do(self, statement: Any) -> None:
        await self.database.write(Connection.execute, statement)
