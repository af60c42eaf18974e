"""What planning does when integrations, awards and achievements change, on SQLite and PostgreSQL."""

from datetime import datetime
from typing import Any

import pytest

from models.database import Database
from models.planning.writing import PlanCounts
from models.platform.tables import AchievementAward
from models.setup.tables import CredlyConnection, CredlyIntegration
from rules.forms.inputs import EarnedAgain
from rules.ledger.reasons import Reason
from rules.ledger.states import NO_MOMENT, IssuanceState, Origin
from tests.support.factories import (
    ENABLED,
    NOW,
    PORTAL,
    TEMPLATE,
    a_connection,
    an_achievement,
    an_award,
    an_integration,
    an_issuance,
    change,
    remove,
)
from tests.support.plans import (
    BLOCKED,
    CANCELLED,
    DAY,
    FAILED,
    HOUR,
    ISSUED,
    ISSUING,
    NOTHING,
    PENDING,
    ledger,
    planned,
    the_issuance,
)

REASONS = {BLOCKED: Reason.TOKEN_REFUSED, FAILED: Reason.ATTEMPTS_USED_UP}

# Integrations that go away and come back


@pytest.mark.parametrize("state", [PENDING, BLOCKED])
async def test_what_waits_is_cancelled_with_its_integration(ready: Database, state: IssuanceState) -> None:
    await an_award(ready)
    await an_issuance(ready, state=state)
    await remove(ready, CredlyIntegration)

    counts = await planned(ready)

    row = await the_issuance(ready)
    assert counts == PlanCounts(cancelled=1)
    assert (row.state, row.reason, row.updated_at) == (CANCELLED, Reason.INTEGRATION_REMOVED, NOW)


@pytest.mark.parametrize("state", [ISSUING, ISSUED, FAILED])
async def test_what_does_not_wait_stays_when_its_integration_goes(ready: Database, state: IssuanceState) -> None:
    await an_award(ready)
    await an_issuance(ready, state=state)
    before = await ledger(ready)
    await remove(ready, CredlyIntegration)

    assert await planned(ready) == NOTHING
    assert await ledger(ready) == before


@pytest.mark.parametrize("state", [PENDING, BLOCKED, FAILED])
async def test_what_was_not_sent_yet_has_the_new_template(ready: Database, state: IssuanceState) -> None:
    await an_award(ready)
    issuance = await an_issuance(ready, state=state, reason=REASONS.get(state))
    await change(ready, CredlyIntegration, 1, badge_template_id="template-2")

    counts = await planned(ready)

    row = await the_issuance(ready)
    assert counts == NOTHING
    assert (row.id, row.badge_template_id, row.state) == (issuance, "template-2", state)


@pytest.mark.parametrize("disabled", [True, False])
@pytest.mark.parametrize("state", [PENDING, BLOCKED, FAILED])
async def test_what_has_a_call_outstanding_keeps_its_template_and_waits(
    ready: Database, state: IssuanceState, disabled: bool
) -> None:
    await an_award(ready, withdrawn_at=NOW)
    await an_issuance(ready, state=state, reason=REASONS.get(state), unclear_at=NOW, sent_to=1)
    if disabled:
        await remove(ready, CredlyIntegration)
    else:
        await change(ready, CredlyIntegration, 1, badge_template_id="template-2")
    before = await ledger(ready)

    assert await planned(ready) == NOTHING
    assert await ledger(ready) == before


@pytest.mark.parametrize("state", [ISSUED, ISSUING, FAILED])
async def test_nobody_gets_a_second_badge_because_the_template_changed(ready: Database, state: IssuanceState) -> None:
    await an_award(ready)
    await an_issuance(ready, state=state)
    await change(ready, CredlyIntegration, 1, badge_template_id="template-2")

    assert await planned(ready) == NOTHING
    assert len(await ledger(ready)) == 1


async def test_nobody_gets_a_second_badge_because_the_template_changed_and_changed_back(ready: Database) -> None:
    await an_award(ready)
    await an_issuance(ready, state=CANCELLED, badge_template_id=TEMPLATE)
    await an_issuance(ready, state=ISSUED, badge_template_id="template-2", former=True)

    assert await planned(ready) == NOTHING
    assert [row.state for row in await ledger(ready)] == [CANCELLED, ISSUED]


async def test_what_was_cancelled_is_taken_up_again_when_the_integration_covers_its_award(ready: Database) -> None:
    await an_award(ready, "award-1", awarded_at=NOW - DAY)
    await an_issuance(ready, state=CANCELLED)

    counts = await planned(ready)

    row = await the_issuance(ready)
    assert counts == PlanCounts(revived=1)
    assert (row.state, row.reason, row.award_id, row.awarded_at) == (PENDING, None, "award-1", NOW - DAY)
    assert (row.not_before, row.updated_at) == (NOW - DAY, NOW)


async def test_enabled_again_later_it_does_not_cover_what_was_cancelled_before(ready: Database) -> None:
    await an_award(ready, awarded_at=NOW - DAY)
    await an_issuance(ready, state=CANCELLED)
    await change(ready, CredlyIntegration, 1, enabled_at=NOW - HOUR)

    assert await planned(ready) == NOTHING
    assert (await the_issuance(ready)).state is CANCELLED


async def test_enabled_again_with_a_moment_in_the_past_it_covers_what_was_cancelled(ready: Database) -> None:
    await an_award(ready, awarded_at=NOW - DAY)
    await an_issuance(ready, state=CANCELLED)
    await change(ready, CredlyIntegration, 1, enabled_at=NOW - HOUR, issue_since=NOW - DAY)

    assert await planned(ready) == PlanCounts(revived=1)


async def test_what_was_cancelled_for_another_template_is_revived_with_the_present_one(ready: Database) -> None:
    await an_award(ready)
    await an_issuance(ready, state=CANCELLED, badge_template_id="template-0")
    await an_issuance(ready, state=CANCELLED, former=True)  # of the present template, from before a pair had one row

    counts = await planned(ready)

    rows = [(row.badge_template_id, row.state) for row in await ledger(ready)]
    assert counts == PlanCounts(revived=1)
    assert rows == [(TEMPLATE, PENDING), ("former-2", CANCELLED)]


async def test_what_was_cancelled_by_hand_without_an_award_stays_cancelled(ready: Database) -> None:
    await an_issuance(ready, state=CANCELLED, origin=Origin.BY_HAND)

    assert await planned(ready) == NOTHING


async def test_what_is_taken_up_again_for_an_unconnected_portal_is_blocked(ready: Database) -> None:
    await an_award(ready)
    await an_issuance(ready, state=CANCELLED)
    await remove(ready, CredlyConnection)

    await planned(ready)

    row = await the_issuance(ready)
    assert (row.state, row.reason) == (BLOCKED, Reason.PORTAL_NOT_CONNECTED)


@pytest.mark.parametrize("state", [PENDING, BLOCKED, FAILED])
async def test_what_was_not_sent_follows_its_achievement(ready: Database, state: IssuanceState) -> None:
    await an_award(ready)
    waits = {"reason": Reason.PORTAL_NOT_CONNECTED} if state is BLOCKED else {}
    await an_issuance(ready, portal="portal-before", state=state, **waits)

    await planned(ready)

    row = await the_issuance(ready)
    assert (row.portal_id, row.state) == (PORTAL, FAILED if state is FAILED else PENDING)


@pytest.mark.parametrize("changes", [{"sent_to": 1}, {"replaces_badge_id": "badge-1"}])
async def test_what_was_sent_stays_with_its_portal(ready: Database, changes: dict[str, Any]) -> None:
    await an_award(ready)
    await a_connection(ready, portal="portal-before")
    await an_issuance(ready, portal="portal-before", **changes)

    await planned(ready)

    assert (await the_issuance(ready)).portal_id == "portal-before"


# Awards that are withdrawn


@pytest.mark.parametrize("state", [PENDING, BLOCKED, FAILED])
async def test_a_withdrawn_award_cancels_what_is_not_issued(ready: Database, state: IssuanceState) -> None:
    await an_award(ready, withdrawn_at=NOW - HOUR)
    await an_issuance(ready, state=state)

    counts = await planned(ready)

    row = await the_issuance(ready)
    assert counts == PlanCounts(cancelled=1)
    assert (row.state, row.reason, row.updated_at) == (CANCELLED, Reason.AWARD_WITHDRAWN, NOW)


@pytest.mark.parametrize("state", [ISSUED, ISSUING])
async def test_a_withdrawn_award_does_not_touch_what_is_issued_or_under_way(
    ready: Database, state: IssuanceState
) -> None:
    await an_award(ready, withdrawn_at=NOW - HOUR)
    await an_issuance(ready, state=state)
    before = await ledger(ready)

    assert await planned(ready) == NOTHING
    assert await ledger(ready) == before


async def test_a_withdrawn_award_cancels_nothing_while_the_user_holds_another(ready: Database) -> None:
    await an_award(ready, withdrawn_at=NOW - HOUR)
    await an_award(ready, awarded_at=NOW - HOUR)
    await an_issuance(ready)

    assert await planned(ready) == NOTHING
    assert (await the_issuance(ready)).state is PENDING


@pytest.mark.parametrize("other", [{"user": "bob"}, {"achievement": "crane"}])
async def test_somebody_elses_or_another_award_does_not_keep_it(ready: Database, other: dict[str, Any]) -> None:
    await an_award(ready, withdrawn_at=NOW - HOUR)
    await an_award(ready, awarded_at=ENABLED - DAY, **other)
    await an_issuance(ready)

    assert (await planned(ready)).cancelled == 1


async def test_what_a_person_asked_for_by_hand_needs_no_award(ready: Database) -> None:
    await an_issuance(ready, origin=Origin.BY_HAND)

    assert await planned(ready) == NOTHING


async def test_a_new_award_takes_up_again_what_was_withdrawn(ready: Database) -> None:
    await an_award(ready, withdrawn_at=NOW - HOUR)
    await an_issuance(ready, state=CANCELLED, reason=Reason.AWARD_WITHDRAWN)
    await an_award(ready, "again", awarded_at=NOW + HOUR)

    counts = await planned(ready)

    row = await the_issuance(ready)
    assert counts == PlanCounts(revived=1)
    assert (row.state, row.award_id, row.not_before) == (PENDING, "again", NOW + HOUR)
    assert row.reason is Reason.AWARDED_IN_FUTURE


async def test_a_new_award_takes_up_again_what_was_by_hand_and_cancelled(ready: Database) -> None:
    await an_issuance(ready, state=CANCELLED, origin=Origin.BY_HAND)
    await an_award(ready, "award-1")

    await planned(ready)

    row = await the_issuance(ready)
    assert (row.state, row.origin, row.award_id) == (PENDING, Origin.AWARD, "award-1")


# Only the portal that was asked for


async def test_planning_one_portal_leaves_the_others_as_they_are(database: Database) -> None:
    for portal in ("one", "two"):
        await an_achievement(database, f"unblocked-{portal}", portal=portal)
        await an_achievement(database, f"withdrawn-{portal}", portal=portal)
        await an_achievement(database, f"revived-{portal}", portal=portal)
        await a_connection(database, portal=portal)
        for kind in ("unblocked", "withdrawn", "revived"):
            await an_integration(database, achievement=f"{kind}-{portal}")
        await an_award(database, achievement=f"unblocked-{portal}")
        await an_award(database, achievement=f"withdrawn-{portal}", withdrawn_at=NOW)
        await an_award(database, achievement=f"revived-{portal}")
        await an_issuance(database, achievement=f"unblocked-{portal}", portal=portal, state=BLOCKED)
        await an_issuance(database, achievement=f"withdrawn-{portal}", portal=portal)
        await an_issuance(database, achievement=f"revived-{portal}", portal=portal, state=CANCELLED)
        await an_issuance(database, achievement=f"removed-{portal}", portal=portal, origin=Origin.BY_HAND)
    before = [row for row in await ledger(database) if row.portal_id == "two"]

    counts = await planned(database, portal_id="one")

    assert counts == PlanCounts(cancelled=2, revived=1, unblocked=1)
    assert [row for row in await ledger(database) if row.portal_id == "two"] == before


# Earned again


@pytest.fixture
async def replacing(database: Database) -> Database:
    """As `ready`, and a later award replaces the badge."""
    await an_integration(database, earned_again=EarnedAgain.REPLACE)
    await a_connection(database)
    return database


async def issued_for_a_first_award(database: Database) -> None:
    await an_award(database, "first", awarded_at=NOW - 2 * DAY)
    await an_issuance(
        database,
        state=ISSUED,
        award_id="first",
        awarded_at=NOW - 2 * DAY,
        credly_badge_id="badge-1",
        attempts=3,
    )


async def test_earned_again_the_badge_is_to_be_replaced_where_the_integration_says_so(replacing: Database) -> None:
    await issued_for_a_first_award(replacing)
    await an_award(replacing, "again", awarded_at=NOW - DAY)
    await an_award(replacing, "once-more", awarded_at=NOW - HOUR)

    counts = await planned(replacing)

    row = await the_issuance(replacing)
    assert counts == PlanCounts(revived=1)
    assert (row.state, row.award_id, row.awarded_at) == (PENDING, "once-more", NOW - HOUR)
    assert (row.credly_badge_id, row.replaces_badge_id, row.recorded_at) == (None, "badge-1", None)
    assert (row.attempts, row.not_before) == (0, NOW)


async def test_planning_again_replaces_nothing_twice(replacing: Database) -> None:
    await issued_for_a_first_award(replacing)
    await an_award(replacing, "again", awarded_at=NOW - DAY)
    await planned(replacing)

    assert await planned(replacing) == NOTHING


async def test_earned_again_changes_nothing_where_the_integration_does_not_say_so(ready: Database) -> None:
    await issued_for_a_first_award(ready)
    await an_award(ready, "again", awarded_at=NOW - DAY)
    before = await ledger(ready)

    assert await planned(ready) == NOTHING
    assert await ledger(ready) == before


@pytest.mark.parametrize(
    "later",
    [
        {"awarded_at": NOW - 2 * DAY},
        {"awarded_at": NOW - 3 * DAY},
        {"awarded_at": NOW + DAY},
        {"awarded_at": NOW - DAY, "withdrawn_at": NOW},
        {"awarded_at": NOW - DAY, "user": "bob"},
    ],
)
async def test_only_a_later_standing_award_of_the_same_user_replaces(
    replacing: Database, later: dict[str, Any]
) -> None:
    await issued_for_a_first_award(replacing)
    await an_award(replacing, **later)

    await planned(replacing)

    assert [row.state for row in await ledger(replacing) if row.user_id == "ada"] == [ISSUED]


@pytest.mark.parametrize("state", [PENDING, BLOCKED, FAILED])
async def test_a_badge_that_was_to_be_replaced_stands_when_the_integration_goes(
    ready: Database, state: IssuanceState
) -> None:
    await an_award(ready)
    await an_issuance(ready, state=state, replaces_badge_id="badge-1")
    await remove(ready, CredlyIntegration)

    counts = await planned(ready)

    row = await the_issuance(ready)
    assert counts == NOTHING
    assert (row.state, row.reason, row.credly_badge_id, row.replaces_badge_id) == (ISSUED, None, "badge-1", None)


@pytest.mark.parametrize("reason", [Reason.INTEGRATION_REMOVED, Reason.AWARD_WITHDRAWN])
async def test_a_badge_that_was_to_be_replaced_stands_when_that_was_cancelled(ready: Database, reason: Reason) -> None:
    await an_issuance(ready, state=CANCELLED, reason=reason, replaces_badge_id="badge-1")

    await planned(ready)

    row = await the_issuance(ready)
    assert (row.state, row.reason, row.credly_badge_id, row.replaces_badge_id) == (ISSUED, None, "badge-1", None)


@pytest.mark.parametrize("state", [PENDING, BLOCKED, FAILED])
async def test_a_badge_that_was_to_be_replaced_stands_when_all_awards_are_withdrawn(
    ready: Database, state: IssuanceState
) -> None:
    await an_award(ready, withdrawn_at=NOW)
    await an_issuance(ready, state=state, replaces_badge_id="badge-1")

    await planned(ready)

    row = await the_issuance(ready)
    assert (row.state, row.credly_badge_id) == (ISSUED, "badge-1")


async def test_what_is_issued_is_never_touched(ready: Database) -> None:
    await an_award(ready, "first", awarded_at=NOW - DAY, withdrawn_at=NOW)
    await an_award(ready, "again", awarded_at=NOW - HOUR)
    await an_issuance(ready, state=ISSUED, award_id="first", awarded_at=NOW - DAY)
    before = await ledger(ready)

    await planned(ready)
    await remove(ready, CredlyIntegration)
    await planned(ready)
    await remove(ready, AchievementAward)
    await planned(ready)

    assert await ledger(ready) == before


@pytest.mark.parametrize(
    ("state", "reason", "wrong"),
    [
        (PENDING, Reason.AWARDED_IN_FUTURE, NOW + 99 * DAY),
        (PENDING, Reason.AWARDED_IN_FUTURE, NO_MOMENT),
        (FAILED, Reason.AWARD_DATE_UNUSABLE, NO_MOMENT),
    ],
)
async def test_a_row_takes_the_corrected_date_of_its_award(
    ready: Database, state: IssuanceState, reason: Reason, wrong: datetime
) -> None:
    await an_award(ready, "award-1", awarded_at=NOW - DAY)
    await an_issuance(ready, state=state, reason=reason, award_id="award-1", awarded_at=wrong, not_before=wrong)

    await planned(ready)

    row = await the_issuance(ready)
    assert (row.state, row.reason, row.awarded_at, row.not_before) == (state, reason, NOW - DAY, NOW - DAY)


async def test_a_row_waits_for_the_corrected_date_of_its_award(ready: Database) -> None:
    await an_award(ready, "award-1", awarded_at=NOW + DAY)
    future = Reason.AWARDED_IN_FUTURE
    await an_issuance(ready, reason=future, award_id="award-1", awarded_at=NOW + 9 * DAY, not_before=NOW + 9 * DAY)

    await planned(ready)

    row = await the_issuance(ready)
    assert (row.state, row.awarded_at, row.not_before) == (PENDING, NOW + DAY, NOW + DAY)
