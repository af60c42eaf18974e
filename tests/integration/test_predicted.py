"""What `explain` says that the next run does is what planning does, for rows, awards and settings of every kind."""

import random
from datetime import timedelta
from typing import Any

import pytest

from models.database import Database
from models.ledger.tables import BadgeIssuance
from rules.forms.inputs import EarnedAgain, WhenDataChanges
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState, Origin
from tests.support.factories import (
    ENABLED,
    NOW,
    TEMPLATE,
    a_connection,
    a_user,
    an_achievement,
    an_award,
    an_integration,
    an_issuance,
    rows_of,
)
from tests.support.plans import planned
from tests.support.predicted import predicted

USERS = 40
OTHER = "template-0"
MOMENTS = [ENABLED - timedelta(days=1), ENABLED, NOW - timedelta(hours=2), NOW - timedelta(hours=1), NOW + timedelta(1)]
WITHDRAWN = [None, None, NOW - timedelta(minutes=1), NOW + timedelta(minutes=1)]
REASONS: dict[IssuanceState, list[Reason]] = {
    IssuanceState.BLOCKED: [Reason.PORTAL_NOT_CONNECTED, Reason.PORTAL_NOT_CONNECTED, Reason.TOKEN_REFUSED],
    IssuanceState.FAILED: [Reason.REFUSED_BY_CREDLY],
    IssuanceState.CANCELLED: [Reason.AWARD_WITHDRAWN, Reason.INTEGRATION_REMOVED],
}
ACHIEVEMENTS = ("enabled", "replacing", "other-template", "disabled", "not-connected", "deletions", "following")


async def settings(database: Database) -> None:
    for achievement in ACHIEVEMENTS:
        portal = achievement if achievement in ("not-connected", "deletions") else "northwind"
        await an_achievement(database, achievement, portal=portal)
        changes: dict[str, Any] = {"badge_template_id": "template-2"} if achievement == "other-template" else {}
        if achievement == "replacing":
            changes = {"earned_again": EarnedAgain.REPLACE}
        if achievement == "following":
            changes = {"when_data_changes": WhenDataChanges.REPLACE}
        if achievement != "disabled":
            await an_integration(database, achievement=achievement, **changes)
    await a_connection(database)
    await a_connection(database, portal="deletions", deletion_withdraws=True)


async def a_pair(database: Database, chance: random.Random, user: str, achievement: str) -> None:
    portal = achievement if achievement in ("not-connected", "deletions") else "northwind"
    awards = [
        (f"{user}-{achievement}-{number}", chance.choice(MOMENTS))
        for number in range(chance.choice([0, 1, 1, 2]) if achievement != "deletions" else 1)
    ]
    for award, moment in awards:
        await an_award(
            database,
            award,
            user=user,
            achievement=achievement,
            awarded_at=moment,
            withdrawn_at=chance.choice(WITHDRAWN),
        )
    for place, template in enumerate(chance.choice([(), (), (TEMPLATE,), (TEMPLATE,), (OTHER,), (TEMPLATE, OTHER)])):
        state = chance.choice(list(IssuanceState))
        award, moment = chance.choice([*awards, ("gone", NOW - timedelta(hours=3))])
        can_replace = state not in (IssuanceState.ISSUED, IssuanceState.ISSUING)
        replaces = f"badge-of-{user}-{achievement}-{template}" if can_replace and chance.random() < 0.2 else None
        # Where deletions count, it takes two steps: the row moves, and then the deletion of its award counts.
        moves = can_replace and replaces is None and achievement != "deletions"
        await an_issuance(
            database,
            user=user,
            achievement=achievement,
            portal="portal-before" if moves and chance.random() < 0.2 else portal,
            badge_template_id=template,
            state=state,
            reason=chance.choice(REASONS.get(state, [Reason.NAME_CORRECTED, None] if replaces else [None])),
            origin=chance.choice([Origin.AWARD, Origin.AWARD, Origin.BY_HAND]),
            award_id=award,
            awarded_at=moment,
            replaces_badge_id=replaces,
            name_digest=chance.choice([None, "0000000010", "0000000011"]),
            former=place > 0,
            sent_to=1 if can_replace and chance.random() < 0.2 else None,
        )


@pytest.mark.parametrize("seed", [0, 1, 2, 15, 18])
async def test_the_next_run_does_what_explain_foretells(database: Database, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same each time
    await settings(database)
    pairs = [(f"user-{chance.randrange(10**6)}-{n}", chance.choice(ACHIEVEMENTS)) for n in range(USERS)]
    for user, achievement in pairs:
        await a_user(database, user)
        await a_pair(database, chance, user, achievement)
    told = [await predicted(database, user, achievement, now=NOW) for user, achievement in pairs]

    await planned(database)

    rows = await rows_of(database, BadgeIssuance)
    for each in told:
        each.hold_against(rows)
    assert len({each.cause for each in told}) >= 10
    assert len({decision.action for each in told for decision in each.decisions}) >= 6
