"""What a request by hand makes of the ledger, whatever is there already; each on SQLite and PostgreSQL."""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from models.database import Database
from models.ledger import claiming
from models.ledger import manual as by_hand
from models.ledger.manual import ManualIssue
from models.ledger.tables import BadgeIssuance
from rules.ledger.eligibility import Award, Issuance, Pair
from rules.ledger.manual import award_for
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState, Origin
from tests.support.databases import holding
from tests.support.factories import ACHIEVEMENT, AWARDED, NOW, PORTAL, TEMPLATE, USER, an_award, an_issuance
from tests.support.plans import BLOCKED, CANCELLED, DAY, FAILED, HOUR, ISSUED, ISSUING, PENDING, ledger, the_issuance

EARLIER = "template-0"
ASKED = ManualIssue(
    achievement_id=ACHIEVEMENT,
    user_id=USER,
    portal_id=PORTAL,
    badge_template_id=TEMPLATE,
    requested_by="grace",
    reason="She asked",
)
REPLACING = replace(ASKED, replace=True)


async def entered(database: Database, request: ManualIssue = ASKED) -> BadgeIssuance:
    row = await by_hand.enter(database, request, now=NOW)
    assert row is not None
    return row


async def found(database: Database, request: ManualIssue = ASKED) -> BadgeIssuance | None:
    return await database.read(by_hand.issuance_of, request)


async def standing(database: Database, *, preferred: str | None = None) -> Award | None:
    pair = await by_hand.pair_of(database, ASKED.key, now=NOW)
    row = Issuance(issuance_id=1, badge_template_id=TEMPLATE, portal_id=PORTAL, state=PENDING, award_id=preferred)
    return award_for(pair, row if preferred else None)


async def until_somebody_waits(database: Database) -> None:
    """Return once a statement waits for another transaction. On SQLite it waits before its first one, unseen."""
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    while database.engine.dialect.name == "postgresql":
        if await database.read(lambda connection: connection.scalar(waiting)):
            return


# A new row


async def test_before_the_award_a_badge_is_due_at_once_and_of_this_moment(ready: Database) -> None:
    row = await entered(ready, replace(ASKED, project_id="bridge", company_id="acme"))

    assert (row.achievement_id, row.user_id, row.portal_id) == (ACHIEVEMENT, USER, PORTAL)
    assert (row.badge_template_id, row.state, row.reason, row.origin) == (TEMPLATE, PENDING, None, Origin.BY_HAND)
    assert (row.award_id, row.awarded_at, row.not_before) == (None, NOW, NOW)
    assert (row.project_id, row.company_id) == ("bridge", "acme")
    assert (row.requested_by, row.request_reason) == ("grace", "She asked")
    assert (row.planned_at, row.updated_at, row.looked_again_at, row.attempts) == (NOW, NOW, NOW, 0)
    assert row.id == (await the_issuance(ready)).id


async def test_an_award_that_is_there_gives_its_moment(ready: Database) -> None:
    await an_award(ready, "award-1", awarded_at=AWARDED)

    row = await entered(ready)

    assert (row.award_id, row.awarded_at, row.not_before) == ("award-1", AWARDED, NOW)


async def test_many_who_ask_at_the_same_moment_ask_for_one_badge(ready: Database) -> None:
    rows = await asyncio.gather(*(entered(ready) for _ in range(8)))

    assert {row.id for row in rows} == {(await the_issuance(ready)).id}


# A row that is there


@pytest.mark.parametrize(
    "before",
    [
        {"state": PENDING, "not_before": NOW + DAY, "reason": Reason.THROTTLED},
        {"state": BLOCKED, "reason": Reason.TOKEN_REFUSED},
        {"state": FAILED, "credly_message": "No."},
        {"state": CANCELLED},
    ],
)
async def test_what_is_not_issued_becomes_due_at_once(ready: Database, before: dict[str, Any]) -> None:
    issuance = await an_issuance(ready, attempts=7, unclear_at=NOW - DAY, **before)

    row = await entered(ready)

    assert (row.id, row.state, row.reason, row.credly_message) == (issuance, PENDING, None, None)
    assert (row.attempts, row.not_before, row.updated_at, row.origin) == (0, NOW, NOW, Origin.BY_HAND)
    assert (row.requested_by, row.request_reason) == ("grace", "She asked")
    assert row.unclear_at == NOW - DAY  # Credly may have it: it is asked first


@pytest.mark.parametrize(("state", "replacing"), [(ISSUING, False), (ISSUING, True), (ISSUED, False)])
async def test_what_is_issued_or_being_issued_stays_as_it_is(
    ready: Database, state: IssuanceState, replacing: bool
) -> None:
    await an_award(ready)
    await an_issuance(ready, state=state)
    before = await ledger(ready)

    assert (await entered(ready, replace(ASKED, replace=replacing))).state is state
    assert await ledger(ready) == before


async def test_an_issued_badge_is_replaced_where_that_is_asked_for(ready: Database) -> None:
    await an_issuance(ready, state=ISSUED, credly_badge_id="badge-1", awarded_at=AWARDED, attempts=3)

    row = await entered(ready, REPLACING)

    assert (row.state, row.replaces_badge_id, row.credly_badge_id) == (PENDING, "badge-1", None)
    assert (row.recorded_at, row.attempts, row.not_before, row.awarded_at) == (None, 0, NOW, AWARDED)


async def test_the_row_keeps_its_award_while_that_stands(ready: Database) -> None:
    await an_award(ready, "first", awarded_at=AWARDED - DAY)
    await an_award(ready, "second", awarded_at=AWARDED)
    await an_issuance(ready, state=FAILED, award_id="second", awarded_at=AWARDED)

    row = await entered(ready)

    assert (row.award_id, row.awarded_at) == ("second", AWARDED)


async def test_a_row_takes_another_award_where_its_own_was_withdrawn(ready: Database) -> None:
    await an_award(ready, "first", awarded_at=AWARDED - DAY, withdrawn_at=NOW)
    await an_award(ready, "second", awarded_at=AWARDED)
    await an_issuance(ready, state=CANCELLED, award_id="first", awarded_at=AWARDED - DAY)

    row = await entered(ready)

    assert (row.award_id, row.awarded_at) == ("second", AWARDED)


async def test_a_badge_whose_award_was_withdrawn_is_of_this_moment_and_by_hand(ready: Database) -> None:
    await an_award(ready, "first", withdrawn_at=NOW)
    await an_issuance(ready, state=CANCELLED, reason=Reason.AWARD_WITHDRAWN, award_id="first", awarded_at=AWARDED - DAY)

    row = await entered(ready)

    assert (row.state, row.award_id, row.awarded_at, row.origin) == (PENDING, None, NOW, Origin.BY_HAND)


@pytest.mark.parametrize("origin", Origin)
async def test_a_badge_whose_award_has_no_row_any_more_keeps_the_moment_of_the_award(
    ready: Database, origin: Origin
) -> None:
    await an_issuance(ready, state=FAILED, award_id="first", awarded_at=AWARDED - DAY, origin=origin)

    row = await entered(ready)

    assert (row.state, row.award_id, row.awarded_at) == (PENDING, "first", AWARDED - DAY)


@pytest.mark.parametrize("origin", Origin)
async def test_a_withdrawn_award_gives_no_moment_whoever_asked_for_the_badge(ready: Database, origin: Origin) -> None:
    await an_award(ready, "first", withdrawn_at=NOW)
    await an_issuance(ready, state=FAILED, award_id="first", awarded_at=AWARDED - DAY, origin=origin)

    assert (await entered(ready)).awarded_at == NOW


async def test_company_and_project_stay_where_none_is_asked_for(ready: Database) -> None:
    await an_issuance(ready, state=FAILED, company_id="acme", project_id="bridge")

    row = await entered(ready, replace(ASKED, project_id="tower"))

    assert (row.company_id, row.project_id) == ("acme", "tower")


async def test_rows_of_other_people_and_achievements_stay(ready: Database) -> None:
    await an_issuance(ready, user="bob", state=FAILED)
    await an_issuance(ready, achievement="crane", state=FAILED)

    await entered(ready)

    assert [row.state for row in await ledger(ready)] == [FAILED, FAILED, PENDING]


async def test_a_row_that_a_run_claims_at_the_same_moment_is_the_run_s(ready: Database) -> None:
    issuance = await an_issuance(ready)

    async with holding(ready, partial(claiming.claim, issuance_ids=[issuance], token="run-1", now=NOW, lease=HOUR)):
        asking = asyncio.ensure_future(entered(ready))
        await asyncio.wait_for(until_somebody_waits(ready), timeout=60)

    assert (await asking).state is ISSUING
    row = await the_issuance(ready)
    assert (row.claim, row.requested_by) == ("run-1", "")


# Another template by now


@pytest.mark.parametrize("state", [ISSUED, ISSUING])
async def test_a_badge_of_an_earlier_template_stands(ready: Database, state: IssuanceState) -> None:
    issuance = await an_issuance(ready, badge_template_id=EARLIER, state=state)

    assert (await entered(ready)).id == issuance
    assert (await the_issuance(ready)).badge_template_id == EARLIER


@pytest.mark.parametrize("state", [PENDING, BLOCKED, FAILED, CANCELLED])
async def test_what_never_became_a_badge_of_an_earlier_template_is_issued_with_this(
    ready: Database, state: IssuanceState
) -> None:
    issuance = await an_issuance(ready, badge_template_id=EARLIER, state=state)

    await entered(ready)

    row = await the_issuance(ready)
    assert (row.id, row.badge_template_id, row.state) == (issuance, TEMPLATE, PENDING)


@pytest.mark.parametrize("state", [PENDING, BLOCKED, FAILED, CANCELLED])
async def test_what_has_a_call_outstanding_is_settled_with_the_template_of_that_call(
    ready: Database, state: IssuanceState
) -> None:
    await an_issuance(ready, badge_template_id=EARLIER, state=state, unclear_at=NOW, sent_to=1)

    await entered(ready)

    row = await the_issuance(ready)
    assert (row.badge_template_id, row.state, row.sent_to) == (EARLIER, PENDING, 1)


async def test_a_badge_of_an_earlier_template_is_replaced_by_one_of_this(ready: Database) -> None:
    issuance = await an_issuance(ready, badge_template_id=EARLIER, state=ISSUED, credly_badge_id="badge-1")

    row = await entered(ready, REPLACING)

    assert (row.id, row.badge_template_id) == (issuance, TEMPLATE)
    assert (row.state, row.replaces_badge_id) == (PENDING, "badge-1")


async def test_a_badge_that_is_to_be_replaced_already_is_not_joined_by_a_second_one(ready: Database) -> None:
    issuance = await an_issuance(ready, badge_template_id=EARLIER, state=FAILED, replaces_badge_id="badge-1")

    row = await entered(ready)

    assert (row.id, row.badge_template_id) == (issuance, TEMPLATE)
    assert (row.state, row.replaces_badge_id) == (PENDING, "badge-1")
    assert len(await ledger(ready)) == 1


async def test_a_badge_of_an_earlier_template_stands_beside_a_row_that_never_became_one(ready: Database) -> None:
    """As where the template was changed, and changed back, before a pair had one row."""
    await an_issuance(ready, state=CANCELLED)
    issued = await an_issuance(ready, badge_template_id=EARLIER, state=ISSUED, former=True)
    before = await ledger(ready)

    assert (await entered(ready)).id == issued
    assert await ledger(ready) == before


async def test_of_two_who_replace_it_at_the_same_moment_one_does(ready: Database) -> None:
    cancelled = await an_issuance(ready, state=CANCELLED)
    issued = await an_issuance(ready, badge_template_id=EARLIER, state=ISSUED, credly_badge_id="badge-1", former=True)

    async with holding(ready, lambda connection: by_hand._write_request(connection, REPLACING, Pair(), now=NOW)):
        other = asyncio.ensure_future(entered(ready, replace(REPLACING, requested_by="another")))
        await asyncio.wait_for(until_somebody_waits(ready), timeout=60)

    assert ((await other).id, (await other).replaces_badge_id) == (issued, "badge-1")
    rows = {row.id: (row.badge_template_id, row.state) for row in await ledger(ready)}
    assert rows == {cancelled: (f"former-{cancelled}", CANCELLED), issued: (TEMPLATE, PENDING)}


async def test_a_badge_follows_its_award_to_the_user_who_has_it_now(ready: Database) -> None:
    issuance = await an_issuance(ready, user="the-former", state=ISSUED, award_id="award-1", awarded_at=AWARDED)
    await an_award(ready, "award-1")

    row = await entered(ready)

    assert (row.id, row.user_id, row.state) == (issuance, USER, ISSUED)


async def test_an_award_whose_badge_may_be_another_user_s_waits_until_that_is_known(ready: Database) -> None:
    await an_issuance(ready, user="the-former", award_id="award-1", awarded_at=AWARDED, unclear_at=NOW, sent_to=1)
    await an_award(ready, "award-1")
    before = await ledger(ready)

    assert await by_hand.enter(ready, ASKED, now=NOW) is None
    assert await ledger(ready) == before


# The award that stands


async def test_the_first_award_stands_unless_another_is_preferred(ready: Database) -> None:
    await an_award(ready, "later", awarded_at=AWARDED)
    await an_award(ready, "b", awarded_at=AWARDED - DAY)
    await an_award(ready, "a", awarded_at=AWARDED - DAY)

    assert await standing(ready) == Award(award_id="a", awarded_at=AWARDED - DAY)
    assert await standing(ready, preferred="later") == Award(award_id="later", awarded_at=AWARDED)
    assert await standing(ready, preferred="nowhere") == Award(award_id="a", awarded_at=AWARDED - DAY)


async def test_awards_that_were_withdrawn_or_are_not_this_user_s_do_not_stand(ready: Database) -> None:
    await an_award(ready, "withdrawn", withdrawn_at=NOW)
    await an_award(ready, "of-bob", user="bob")
    await an_award(ready, "crane", achievement="crane")

    assert await standing(ready) is None
    assert await standing(ready, preferred="withdrawn") is None
    assert await standing(ready, preferred="of-bob") is None


@pytest.mark.parametrize("state", [PENDING, BLOCKED, FAILED, CANCELLED])
async def test_a_row_of_another_portal_follows_its_achievement(ready: Database, state: IssuanceState) -> None:
    await an_issuance(ready, portal="portal-before", state=state)

    row = await entered(ready)

    assert (row.portal_id, row.state) == (PORTAL, PENDING)
