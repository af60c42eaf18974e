"""Tokens renew themselves where a connection is set so, and the block has a token that works at each step."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from prefect.blocks.system import Secret
from sqlalchemy import update

from flows.follow_badges import follow_badges
from flows.reconcile import reconcile
from models.ledger.tables import BadgeIssuance
from models.setup.admin import put_token_end
from models.tables import table
from tests.support.seen import log_of, see
from tests.support.standin import Standin
from tests.support.world import BLOCK, ORGANIZATION, TOKEN, World

PREVIOUS = f"{BLOCK}-previous"


@pytest.fixture
async def ending(world: World, standin: Standin) -> World:
    """A token that ends in ten days."""
    ends_at = datetime.now(UTC) + timedelta(days=10)
    standin.seed(tokens=[{"token": TOKEN, "organization_id": ORGANIZATION, "expires_at": ends_at.isoformat()}])
    await world.change_connection(token_ends_at=ends_at, renew_token=True)
    if await value_of(PREVIOUS) is not None:
        await Secret.adelete(PREVIOUS)
    return world


async def value_of(block: str) -> str | None:
    try:
        found: Secret[str] = await Secret.aload(block)
    except ValueError:
        return None
    return str(found.get())


def is_accepted(standin: Standin, token: str | None) -> bool:
    reply = httpx.get(f"{standin.base_url}/organizations/{ORGANIZATION}", auth=(token or "", ""))
    return reply.status_code == 200


def made(standin: Standin) -> int:
    return sum(each["method"] == "POST" and "authorization_tokens" in each["path"] for each in standin.requests())


async def test_a_token_is_renewed_two_weeks_before_its_end(ending: World, standin: Standin) -> None:
    seen = await see(follow_badges)

    new, row = await value_of(BLOCK), await ending.connection()
    assert f"The token in {BLOCK} was renewed" in seen.message
    assert new not in (None, TOKEN)
    assert await value_of(PREVIOUS) == TOKEN
    assert is_accepted(standin, new)
    assert is_accepted(standin, TOKEN)
    assert row.token_ends_at > datetime.now(UTC) + timedelta(days=170)
    shown = "\n".join([seen.message, seen.page, *await log_of(seen.run_id)])
    assert TOKEN not in shown
    assert str(new) not in shown
    assert "Replace the Credly token" not in (await see(reconcile)).message
    await see(follow_badges)
    assert made(standin) == 1


async def test_renewal_is_off_by_default(ending: World, standin: Standin) -> None:
    await ending.change_connection(renew_token=False)

    await see(follow_badges)

    assert (made(standin), await value_of(BLOCK)) == (0, TOKEN)
    assert "Replace the Credly token of northwind" in (await see(reconcile)).message


@pytest.mark.parametrize("step", ["before_copy", "before_store", "after_store"])
async def test_a_crash_at_any_step_leaves_a_token_that_works(
    ending: World, standin: Standin, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    saved: list[str] = []
    asave = Secret.asave

    async def crashing(self: Any, name: str, **options: Any) -> Any:
        saved.append(name)
        if len(saved) == {"before_copy": 1, "before_store": 2}.get(step):
            raise RuntimeError("crash")
        return await asave(self, name, **options)

    def crashing_put(*arguments: Any) -> None:
        if saved:
            raise RuntimeError("crash")
        put_token_end(*arguments)

    with monkeypatch.context() as crash:
        crash.setattr(Secret, "asave", crashing)
        if step == "after_store":
            crash.setattr("models.setup.admin.put_token_end", crashing_put)
        first = await see(follow_badges)

    assert first.name == "Failed"
    assert is_accepted(standin, await value_of(BLOCK))
    assert (await value_of(BLOCK) == TOKEN) is (step != "after_store")
    await ending.enable()
    await ending.award("ada")
    assert "1 issued" in (await see(reconcile)).message
    await ending.change_connection(renewal_tried_at=datetime.now(UTC) - timedelta(days=2))
    await see(follow_badges)
    assert await value_of(BLOCK) != TOKEN
    assert is_accepted(standin, await value_of(BLOCK))


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "answer", "method": "POST", "path": "authorization_tokens", "status": 403},
        {"action": "drop_after", "method": "POST", "path": "authorization_tokens"},
        {
            "action": "answer",
            "method": "POST",
            "path": "authorization_tokens",
            "status": 201,
            "content": '{"data": {}}',
        },
    ],
)
async def test_what_credly_does_not_make_is_tried_again_in_a_day(
    ending: World, standin: Standin, fault: dict[str, Any]
) -> None:
    standin.fault(**fault)

    first = await see(follow_badges)
    await see(follow_badges)

    assert f"The token in {BLOCK} could not be renewed and is as it was" in first.message
    assert (made(standin), await value_of(BLOCK), await value_of(PREVIOUS)) == (1, TOKEN, None)
    assert "Replace the Credly token of northwind" in (await see(reconcile)).message
    await ending.change_connection(renewal_tried_at=datetime.now(UTC) - timedelta(hours=25))
    await see(follow_badges)
    assert (made(standin), await value_of(PREVIOUS)) == (2, TOKEN)


async def test_a_new_token_that_may_only_read_is_not_stored(ending: World, standin: Standin) -> None:
    read_only = "invented-read-only"
    flags = {"write_enabled": False, "delete_enabled": False}
    standin.seed(tokens=[{"token": read_only, "organization_id": ORGANIZATION, **flags}])
    content = f'{{"data": {{"id": "1", "token": "{read_only}"}}}}'
    standin.fault("answer", method="POST", path="authorization_tokens", status=201, content=content)

    seen = await see(follow_badges)

    assert "may only read" in seen.message
    assert await value_of(BLOCK) == TOKEN


async def test_where_the_end_cannot_be_read_180_days_are_assumed_and_named(world: World, standin: Standin) -> None:
    standin.fault("answer", method="GET", path="authorization_tokens", status=403, count=None)
    await world.change_connection(token_ends_at=None, connected_at=datetime.now(UTC) - timedelta(days=170, hours=1))

    assert (await see(reconcile)).message == (
        "0 issued. Replace the Credly token of northwind (ends in 9 days, assumed: 180 days after connecting. "
        "Then run connect-portal again)"
    )
    await world.change_connection(renew_token=True)
    await see(follow_badges)
    assert await value_of(BLOCK) != TOKEN
    assert (await see(reconcile)).message == "0 issued"


async def test_the_old_token_is_kept_until_the_new_one_has_issued(ending: World, standin: Standin) -> None:
    await see(follow_badges)
    await ending.change_connection(renewal_tried_at=datetime.now(UTC) - timedelta(hours=25))

    await see(follow_badges)
    assert await value_of(PREVIOUS) == TOKEN
    await ending.enable()
    await ending.award("ada")
    await see(reconcile)
    await ending.do(update(table(BadgeIssuance)).values(recorded_at=datetime.now(UTC)))
    await see(follow_badges)

    assert await value_of(PREVIOUS) is None
    assert (await ending.connection()).renewal_tried_at is None
