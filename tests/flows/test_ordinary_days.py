"""Whole days in which one call in seven goes wrong somehow: what people and schedules do still ends as it should."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from flows.issue_badge import issue_badge
from flows.issue_badges import issue_badges
from models.ledger.tables import BadgeIssuance
from models.platform.tables import AchievementAward, User
from models.tables import table
from rules.forms.inputs import IfBadgeExists
from tests.support.resent import sent_blindly
from tests.support.running import run_reconcile
from tests.support.standin import Standin
from tests.support.world import TEMPLATE, World

pytestmark = pytest.mark.usefixtures("unmeasured")

issuances = table(BadgeIssuance)


@pytest.fixture(params=[1, 2, 3])
def day(request: pytest.FixtureRequest, standin: Standin) -> Standin:
    """A stand-in with a fault share, where Credly's own rule would not save us from a second badge."""
    standin.allow_duplicates(TEMPLATE)
    standin.settings(fault_share=0.15, fault_seed=request.param)
    return standin


async def until_nothing_waits(world: World) -> None:
    """Run as the schedule does, with all waits over, until nothing is left to do."""
    for _ in range(8):
        await run_reconcile()
        if not any(row.state in ("pending", "issuing", "blocked") for row in await world.ledger()):
            return
        moment = datetime.now(UTC) - timedelta(seconds=1)
        await world.do(update(issuances).where(issuances.c.state == "pending").values(not_before=moment))
    raise AssertionError(Counter((row.state, row.reason) for row in await world.ledger()))


async def test_everybody_ends_with_one_badge(world: World, day: Standin) -> None:
    await world.enable(portal_evidence=True)
    for user in (f"user-{number}" for number in range(10)):
        await world.add_user(user)
        await world.award(user)
    withdrawn = await world.award("ada")
    await world.change(AchievementAward, withdrawn, withdrawn_at=datetime.now(UTC))
    await issue_badge("bob", "forklift", return_state=True)  # before the award
    await world.award("bob")
    await issue_badges("user,achievement\nuser-1,forklift\nuser-2,forklift\n", return_state=True)

    await until_nothing_waits(world)
    await world.change(User, "bob", first_name="Robert")
    await issue_badge("bob", "forklift", if_badge_exists=IfBadgeExists.REPLACE, return_state=True)
    await until_nothing_waits(world)

    standing = [badge for badge in day.badges() if not badge["replacement_badge_id"]]
    assert Counter(badge["issuer_earner_id"] for badge in standing) == Counter(
        ["bob", *(f"user-{number}" for number in range(10))]
    )
    assert [badge["issued_to_first_name"] for badge in standing if badge["issuer_earner_id"] == "bob"] == ["Robert"]
    assert len(day.mails()) == len(day.badges())
    issued = [row for row in await world.ledger() if row.state == "issued"]
    assert {row.credly_badge_id for row in issued} == {badge["id"] for badge in standing}
    assert sent_blindly(day.requests()) == []
    assert sum(day.faults()["happened"].values()) > 0
