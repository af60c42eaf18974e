"""The questions of docs/how-to/run-history.md that are answered by a list of rows, on both databases."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from models.analytics.counts import refusals
from models.analytics.filters import CountFilter
from models.database import Database
from models.ledger.issuance_data import facts_of
from models.ledger.tables import AttemptOutcome, BadgeIssuance
from models.operations.run_log import RunOrganization
from models.platform.tables import User
from models.setup import admin as setting_up
from models.setup.operator_runs import put_operator
from models.tables import table
from reports import frames
from reports.dictionary import fields
from rules.badge.request import Prepared, prepare_request
from rules.datasets import Dataset, Group
from rules.forms.inputs import InvalidInput
from rules.forms.period import period_of
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from rules.ledger.transitions import Transition
from tests.integration.test_frames import assert_agrees
from tests.support.factories import (
    ACHIEVEMENT,
    NOW,
    PORTAL,
    TEMPLATE,
    a_user,
    an_achievement,
    an_attempt,
    an_award,
    an_issuance,
    change,
    do,
)

RUN, OTHER, PART = (f"{number}0000000-0000-4000-8000-000000000000" for number in "123")
SETTINGS: dict[str, Any] = {"badge_template_id": TEMPLATE, "issue_since": None}
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
FAILED, ISSUED, PENDING = IssuanceState.FAILED, IssuanceState.ISSUED, IssuanceState.PENDING


async def moved(
    database: Database, issuance: int, to: IssuanceState, by: Transition, at: datetime, **more: Any
) -> None:
    """Write a transition as the ledger does: the trigger appends it to the history."""
    (row,) = [each for each in await rows(database) if each.id == issuance]
    values: dict[str, Any] = {"state": to, "transition": by, "moves": row.moves + 1, "updated_at": at, "reason": None}
    claimed = to is IssuanceState.ISSUING
    values |= {"claim": "run-1" if claimed else None, "lease_until": NOW if claimed else None}
    if to is ISSUED:
        values |= {"recorded_at": at, "credly_badge_id": f"badge-{issuance}"}
    await change(database, BadgeIssuance, issuance, **values | more)


async def claimed(database: Database, issuance: int) -> None:
    await moved(database, issuance, IssuanceState.ISSUING, Transition.CLAIM, NOW)


async def rows(database: Database) -> Any:
    query = table(BadgeIssuance).select()
    return await database.read(lambda connection: connection.execute(query).all())


async def a_ran_organization(database: Database, *, run: str, started_by: str, ended_at: datetime) -> None:
    values = {"flow_run_id": run, "started_by": started_by, "organization_id": "o", "base_url": "u", "begun_at": NOW}
    await do(database, table(RunOrganization).insert().values(values | {"ended_at": ended_at}))


async def test_what_changed_between_two_runs(ready: Database) -> None:
    early = await an_issuance(ready, user="ada", updated_at=NOW - HOUR)
    failing = await an_issuance(ready, user="bob", updated_at=NOW - HOUR, state=IssuanceState.ISSUING)
    await moved(ready, failing, FAILED, Transition.FAIL, NOW, reason=Reason.NAME_MISSING, flow_run_id=PART)
    await a_ran_organization(ready, run=PART, started_by=RUN, ended_at=NOW)  # with its last transition
    ready.flow_run = lambda: "form-run"
    await ready.write(put_operator, creator="USER: jo", operator_id="op-7", now=NOW)
    await ready.write(setting_up.enable, ACHIEVEMENT, SETTINGS | {"locale": "de"}, now=NOW + 2 * HOUR)
    await moved(ready, failing, PENDING, Transition.RETRY, NOW + 3 * HOUR, flow_run_id="form-run")
    await moved(ready, early, IssuanceState.BLOCKED, Transition.BLOCK, NOW + 4 * HOUR, reason=Reason.TOKEN_MISSING)
    await change(ready, BadgeIssuance, early, flow_run_id=OTHER)
    await moved(ready, early, PENDING, Transition.UNBLOCK, NOW + 5 * HOUR, flow_run_id=OTHER)
    await moved(
        ready,
        early,
        IssuanceState.CANCELLED,
        Transition.CANCEL,
        NOW + DAY,
        reason=Reason.AWARD_WITHDRAWN,
        flow_run_id="later",
    )

    found = await frames.between_runs(ready, OTHER, RUN)

    assert_agrees(found, fields(Dataset.BETWEEN_RUNS))
    assert found["transition"].tolist() == ["changed", "retry", "block", "unblock"]
    assert found["user_id"].tolist() == [pd.NA, "bob", "ada", "ada"]
    assert found["achievement_id"].tolist() == [ACHIEVEMENT] * 4
    assert found["operator_id"].tolist() == ["op-7", "op-7", pd.NA, pd.NA]
    assert '"locale"' in found["changes"].iloc[0]
    assert found["at"].tolist() == [NOW + number * HOUR for number in (2, 3, 4, 5)]


@pytest.mark.parametrize(
    ("run", "field"), [("", "run: give the id of a flow run"), ("9" * 36, "run: the ledger has nothing")]
)
async def test_a_run_that_is_missing_or_unknown_is_one_sentence(ready: Database, run: str, field: str) -> None:
    for ask in (frames.between_runs(ready, run, run), frames.run_today(ready, run)):
        with pytest.raises(InvalidInput, match=f"^{field}"):
            await ask


async def test_which_badges_a_change_of_settings_caused(ready: Database) -> None:
    await an_achievement(ready, "crane")
    ready.flow_run = lambda: "enabling"
    await ready.write(setting_up.enable, ACHIEVEMENT, SETTINGS | {"badge_template_id": "template-2"}, now=NOW)
    await ready.write(setting_up.enable, "crane", SETTINGS, now=NOW)
    old: dict[str, Any] = {"awarded_at": NOW - DAY, "planned_at": NOW + HOUR, "updated_at": NOW + HOUR}
    reached_back = await an_issuance(ready, user="ada", **old)
    later = await an_issuance(ready, user="bob", **old | {"awarded_at": NOW + timedelta(minutes=1)})
    await an_issuance(ready, user="ada", achievement="crane", **old | {"updated_at": NOW - HOUR})
    ready.flow_run = lambda: "disabling"
    await ready.write(setting_up.remove_integration, ACHIEVEMENT, now=NOW + DAY)

    found = await frames.settings_effects(ready, achievement=ACHIEVEMENT)

    assert_agrees(found, fields(Dataset.SETTINGS_EFFECTS))
    columns = ["action", "flow_run_id", "issuance_id", "to_state", "state_now"]
    assert found[columns].to_numpy().tolist() == [
        ["changed", "enabling", reached_back, "pending", "cancelled"],
        ["disabled", "disabling", reached_back, "cancelled", "cancelled"],
        ["disabled", "disabling", later, "cancelled", "cancelled"],
    ]
    assert len(await frames.settings_effects(ready, portal=PORTAL)) == 0


async def test_which_badges_were_never_claimed_after_30_days(ready: Database) -> None:
    now = datetime.now(UTC)
    old, edge, recent = now - 45 * DAY, now - 30 * DAY - HOUR, now - 29 * DAY
    audited: dict[str, Any] = {"audited_at": now, "credly_state": "pending"}
    for user, at, more in (
        ("ada", old, audited),
        ("bob", edge, {}),
        ("claimed", old, audited | {"credly_state": "accepted"}),
        ("recent", recent, audited),
    ):
        await an_issuance(ready, user=user, state=ISSUED, recorded_at=at, **more)

    found = await frames.unclaimed(ready)

    assert_agrees(found, fields(Dataset.UNCLAIMED))
    assert found[["user_id", "days"]].to_numpy().tolist() == [["ada", 45], ["bob", 30]]
    assert found["claimed"].tolist() == [False, pd.NA]
    assert len(await frames.unclaimed(ready, portal="elsewhere")) == 0


async def test_which_badges_took_longest_and_what_they_waited_for(ready: Database) -> None:
    waiting = await an_issuance(ready, user="bob", awarded_at=NOW - DAY, planned_at=NOW, updated_at=NOW)
    await moved(ready, waiting, IssuanceState.BLOCKED, Transition.BLOCK, NOW + HOUR, reason=Reason.TOKEN_MISSING)
    await moved(ready, waiting, PENDING, Transition.UNBLOCK, NOW + 4 * HOUR)
    await claimed(ready, waiting)
    await moved(ready, waiting, ISSUED, Transition.ISSUE, NOW + 5 * HOUR)
    await an_issuance(ready, user="ada", state=ISSUED, awarded_at=NOW - HOUR, credly_badge_id="badge-of-ada")

    found = await frames.slowest(ready)

    assert_agrees(found, fields(Dataset.SLOWEST))
    names, hour = (
        ["place", "user_id", "seconds_to_badge", "failed_seconds", "blocked_seconds", "pending_seconds"],
        3_600,
    )
    assert found[names].to_numpy().tolist() == [
        [1, "bob", 29 * hour, 0, 3 * hour, 2 * hour],
        [2, "ada", hour, 0, 0, 0],
    ]
    assert found["reason"].dropna().tolist() == ["token_missing"]
    assert len(await frames.slowest(ready, period_of(None, "2026-11-09"))) == 0


async def test_which_portals_data_causes_most_failures_and_what_is_still_failed(ready: Database) -> None:
    await an_achievement(ready, "crane", portal="aeolus")
    for number, (portal, achievement, reason) in enumerate(
        [("aeolus", "crane", Reason.NAME_MISSING)] * 3
        + [(PORTAL, ACHIEVEMENT, Reason.NAME_MISSING), (PORTAL, ACHIEVEMENT, Reason.REFUSED_BY_CREDLY)]
    ):
        where: dict[str, Any] = {"portal": portal, "achievement": achievement, "user": f"user-{number}"}
        issuance = await an_issuance(ready, state=FAILED, reason=reason, updated_at=NOW, **where)
        if number == 0:
            await moved(ready, issuance, PENDING, Transition.RETRY, NOW + HOUR)
            await moved(
                ready, issuance, IssuanceState.ISSUING, Transition.CLAIM, NOW + HOUR, claim="c", lease_until=NOW
            )
            await moved(
                ready, issuance, FAILED, Transition.FAIL, NOW + HOUR, reason=reason, claim=None, lease_until=None
            )

    found = await frames.failures(ready, period_of("2026-11-10", "2026-11-10"), by=(Group.PORTAL,))

    assert_agrees(found, fields(Dataset.FAILURES, by=(Group.PORTAL,)))
    assert found.to_numpy().tolist() == [
        ["aeolus", "name_missing", True, 4, 3, 3],
        [PORTAL, "name_missing", True, 1, 1, 1],
        [PORTAL, "refused_by_credly", False, 1, 1, 1],
    ]


async def test_what_credly_refused_and_in_which_words_by_week(ready: Database) -> None:
    issuance = await an_issuance(ready)
    monday = datetime(2026, 11, 2, tzinfo=UTC)
    refused = {"outcome": AttemptOutcome.REFUSED, "status": 422, "code": "refused"}
    for at, words in (
        (monday - timedelta(microseconds=1), "No such template"),
        (monday, "Name is invalid"),
        (monday + 6 * DAY, "Name is invalid"),
        (monday + 7 * DAY, "Name is invalid"),
    ):
        await an_attempt(ready, issuance=issuance, started_at=at, credly_message=words, **refused)
    await an_attempt(ready, issuance=issuance, started_at=monday)

    found = await ready.read(refusals, CountFilter(by=(Group.PORTAL,)))

    assert found == [
        (PORTAL, "2026-11-09", 422, "refused", "Name is invalid", 1, 1),
        (PORTAL, "2026-11-02", 422, "refused", "Name is invalid", 2, 1),
        (PORTAL, "2026-10-26", 422, "refused", "No such template", 1, 1),
    ]
    assert_agrees(await frames.refusals(ready), fields(Dataset.REFUSALS))


async def test_what_a_run_would_do_differently_today(ready: Database) -> None:
    ids = {}
    for user in ("same", "renamed", "corrected", "withdrawn"):
        await a_user(ready, user, last_name="" if user == "corrected" else "Muster")
        award = await an_award(ready, user=user)
        ids[user] = await an_issuance(ready, user=user, award_id=award, flow_run_id="earlier", awarded_at=NOW - DAY)
    for user in ("same", "renamed"):
        facts = (await facts_of(ready, [ids[user]], now=NOW))[0]
        prepared = prepare_request(facts, now=NOW)
        assert isinstance(prepared, Prepared)
        sent = {"request_fingerprint": prepared.request.fingerprint, "flow_run_id": PART}
        await an_attempt(ready, issuance=ids[user], outcome=AttemptOutcome.ISSUED, **sent)
        await claimed(ready, ids[user])
        await moved(ready, ids[user], ISSUED, Transition.ISSUE, NOW, flow_run_id=PART)
    for user, reason in (("corrected", Reason.NAME_MISSING), ("withdrawn", Reason.NAME_MISSING)):
        await claimed(ready, ids[user])
        failed = {"reason": reason, "flow_run_id": PART}
        await moved(ready, ids[user], FAILED, Transition.FAIL, NOW, **failed)
    await a_ran_organization(ready, run=PART, started_by=RUN, ended_at=NOW)
    await change(ready, User, "renamed", last_name="Mustermann")
    await change(ready, User, "corrected", last_name="Muster")
    await change(ready, User, "withdrawn", last_name="")

    found = await frames.run_today(ready, RUN)

    assert_agrees(found, fields(Dataset.RUN_TODAY))
    columns = ["user_id", "to_state", "would", "request_changed", "differs"]
    assert found[columns].to_numpy().tolist() == [
        ["same", "issued", "issue", False, False],
        ["renamed", "issued", "issue", True, True],
        ["corrected", "failed", "issue", pd.NA, True],
        ["withdrawn", "failed", "failed", pd.NA, False],
    ]
    assert found["why"].iloc[3].startswith("The user's first or last name")
    assert "Muster" not in found.to_csv()
