"""Badges whose earner's name was corrected since: found in a round, replaced where an integration is set so."""

from typing import Any

import pytest

from models.database import Database
from models.ledger.history import IssuanceTransition
from models.ledger.tables import BadgeIssuance
from models.planning.names import corrected_names, sweep_names
from models.planning.planner import Sweep
from models.planning.progress import PlanningProgress, Round
from models.planning.writing import PlanCounts
from models.platform.tables import AchievementAward, User, UserEmail
from models.setup.tables import CredlyConnection, CredlyIntegration
from rules.badge.names import name_digest
from rules.forms.inputs import WhenDataChanges
from rules.ledger.reasons import Reason
from rules.ledger.states import Origin
from rules.ledger.transitions import Transition
from tests.support.factories import (
    AWARDED,
    NOW,
    a_connection,
    a_user,
    an_award,
    an_integration,
    an_issuance,
    change,
    remove,
    rows_of,
    the_row_of,
)
from tests.support.plans import DAY, HOUR, ISSUED, NOTHING, PENDING, ledger, planned, the_issuance


@pytest.fixture
async def following(database: Database) -> Database:
    """A connected portal whose achievement `forklift` replaces badges when a name is corrected."""
    await an_integration(database, when_data_changes=WhenDataChanges.REPLACE)
    await a_connection(database)
    return database


async def issued(database: Database, user: str = "ada", **changes: Any) -> int:
    """A badge that was issued with the name that the platform has."""
    award = await an_award(database, f"award-of-{user}", user=user)
    values: dict[str, Any] = {
        "award_id": award,
        "awarded_at": AWARDED,
        "state": ISSUED,
        "credly_badge_id": f"badge-of-{user}",
    }
    issuance_id = await an_issuance(database, user=user, **values | changes)
    if "name_digest" not in changes:
        digest = name_digest(issuance_id, user.title(), "Muster")
        await change(database, BadgeIssuance, issuance_id, name_digest=digest)
    return issuance_id


async def correct(database: Database, user: str = "ada", **names: Any) -> None:
    await change(database, User, user, **names or {"first_name": f"Corrected {user}"})


async def swept(database: Database, *, hold_above: int = 100, days: float = 0, **options: Any) -> PlanCounts:
    portal_id = options.pop("portal_id", None)
    wanted = Sweep(hold_above=hold_above, **options)
    return await sweep_names(database, wanted, now=NOW + days * DAY, portal_id=portal_id)


async def previewed(database: Database, **scope: Any) -> list[int]:
    return [each async for each in corrected_names(database, now=NOW, **scope)]


async def test_a_badge_with_a_corrected_name_is_to_be_replaced_for_the_same_award(following: Database) -> None:
    await issued(following)
    await correct(following, first_name="Augusta")

    assert await swept(following) == PlanCounts(revived=1, renamed=1)

    row = await the_issuance(following)
    assert (row.state, row.reason, row.not_before) == (PENDING, Reason.NAME_CORRECTED, NOW)
    assert (row.award_id, row.awarded_at, row.origin) == ("award-of-ada", AWARDED, Origin.AWARD)
    assert (row.credly_badge_id, row.replaces_badge_id) == (None, "badge-of-ada")
    assert await swept(following) == await planned(following) == NOTHING
    *_, last = await rows_of(following, IssuanceTransition)
    assert (last.transition, last.reason) == (Transition.REPLACE, Reason.NAME_CORRECTED)


async def test_a_badge_issued_by_hand_without_an_award_keeps_its_moment(following: Database) -> None:
    await issued(following, origin=Origin.BY_HAND, award_id=None)
    await remove(following, AchievementAward)
    await correct(following)

    assert await swept(following) == PlanCounts(revived=1, renamed=1)
    assert (await the_issuance(following)).awarded_at == AWARDED


LEFT: dict[str, Any] = {
    "the setting is off": (CredlyIntegration, 1, {"when_data_changes": WhenDataChanges.LEAVE}),
    "the name is shown alike": (User, "ada", {"first_name": " Ada\u200b"}),
    "a name is empty": (User, "ada", {"last_name": ""}),
    "a name is a placeholder": (User, "ada", {"last_name": "N/A"}),
    "a name is too long": (User, "ada", {"last_name": "x" * 256}),
    "it could not be sent": (UserEmail, None, {"address": ""}),
    "the award is withdrawn": (AchievementAward, "award-of-ada", {"withdrawn_at": AWARDED}),
    "the template is another one": (CredlyIntegration, 1, {"badge_template_id": "template-2"}),
    "it was rejected": (BadgeIssuance, 1, {"credly_state": "rejected"}),
    "it was erased": (BadgeIssuance, 1, {"transition": Transition.ERASE}),
}


@pytest.mark.parametrize("why", LEFT)
async def test_a_badge_stays(following: Database, why: str) -> None:
    model, key, values = LEFT[why]
    issuance = await issued(following)
    if model is not User:
        await correct(following)
    key = issuance if model is BadgeIssuance else key or (await the_row_of(following, UserEmail)).id
    await change(following, model, key, **values)

    assert await previewed(following) == []
    assert await swept(following) == NOTHING
    assert (await the_issuance(following)).state is ISSUED


@pytest.mark.parametrize("gone", [(AchievementAward, UserEmail, User), (CredlyConnection,)])
async def test_a_badge_stays_without_its_user_and_without_a_connection(following: Database, gone: Any) -> None:
    await issued(following)
    await correct(following)
    for model in gone:
        await remove(following, model)

    assert await swept(following) == NOTHING


async def test_a_badge_without_a_known_name_gets_the_present_one_and_is_replaced_after_that(
    following: Database,
) -> None:
    await issued(following, name_digest=None)
    await correct(following, first_name="Augusta")

    assert await previewed(following) == []
    assert (await the_issuance(following)).name_digest is None
    assert await swept(following) == NOTHING
    assert await swept(following) == NOTHING
    await correct(following, first_name="Ada")
    assert await previewed(following) == [1]
    assert await swept(following) == PlanCounts(revived=1, renamed=1)


async def test_too_many_at_once_are_held(following: Database) -> None:
    for user in ("ada", "bob", "cy"):
        await issued(following, user)
        await correct(following, user)

    assert len(await previewed(following)) == 3
    assert await swept(following, hold_above=2) == PlanCounts(held_names=3)
    assert {row.state for row in await ledger(following)} == {ISSUED}
    assert await swept(following, hold_above=3) == PlanCounts(revived=3, renamed=3)


async def test_too_many_within_a_day_are_held_but_for_those_that_were_let_through(following: Database) -> None:
    for user in ("ada", "bob", "cy"):
        await issued(following, user)
    await correct(following, "ada")
    assert (await swept(following, hold_above=1)).renamed == 1
    await correct(following, "bob")

    assert await swept(following, hold_above=1, days=0.9) == PlanCounts(held_names=2)
    assert (await swept(following, hold_above=1, days=1.1)).renamed == 1
    await correct(following, "cy")
    assert (await swept(following, hold_above=0, days=1.2)).renamed == 0
    assert (await swept(following, hold_above=2, days=1.2)).renamed == 1


async def test_runs_with_a_higher_limit_do_not_count(following: Database) -> None:
    for user in ("ada", "bob", "cy"):
        await issued(following, user)
    await correct(following, "ada")
    await correct(following, "bob")
    await swept(following, hold_above=2)
    await correct(following, "cy")

    assert (await swept(following, hold_above=1, days=0.1)).renamed == 1


async def test_each_run_looks_at_a_part(following: Database) -> None:
    following.rows_per_page = 2
    for user in ("ada", "bob", "cy", "dan", "eve"):
        await issued(following, user)
        await correct(following, user)

    counts = [(await swept(following)).renamed for _ in range(4)]

    # Of the second part three are left, since those of the first are no longer issued.
    assert counts == [2, 2, 1, 0]
    (place,) = [row for row in await rows_of(following, PlanningProgress) if row.round is Round.NAMES]
    assert (place.after_achievement, place.rows_looked_through) == ("", 0)


async def test_a_full_run_looks_at_all(following: Database) -> None:
    following.rows_per_page = 2
    for user in ("ada", "bob", "cy", "dan", "eve"):
        await issued(following, user)
        await correct(following, user)

    assert len(await previewed(following)) == 5
    assert await swept(following, full=True, hold_above=4) == PlanCounts(held_names=5)
    assert (await swept(following, full=True)).renamed == 5


async def test_only_the_portal_and_the_achievement_that_were_given_are_looked_at(following: Database) -> None:
    await an_integration(following, achievement="crane", when_data_changes=WhenDataChanges.REPLACE)
    await issued(following)
    await correct(following)

    assert await swept(following, portal_id="southwind") == NOTHING
    assert await previewed(following, portal_id="southwind") == []
    assert await previewed(following, within="crane") == []
    assert await previewed(following, within="forklift") == await previewed(following, portal_id="northwind") == [1]
    assert (await swept(following, portal_id="northwind")).renamed == 1


async def test_a_badge_that_waits_to_be_replaced_stays_if_the_setting_is_switched_off(following: Database) -> None:
    await issued(following)
    await correct(following)
    await swept(following)

    await change(following, CredlyIntegration, 1, when_data_changes=WhenDataChanges.LEAVE)
    await planned(following, now=NOW + HOUR)

    row = await the_issuance(following)
    assert (row.state, row.credly_badge_id, row.replaces_badge_id) == (ISSUED, "badge-of-ada", None)
    assert row.name_digest is not None


async def test_others_with_the_name_are_not_replaced(following: Database) -> None:
    await a_user(following, "bob")
    await issued(following)
    await issued(following, "cy")
    await correct(following, "bob")

    assert await swept(following) == NOTHING
