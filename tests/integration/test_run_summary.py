"""What the ledger counts of flow runs, each on SQLite and PostgreSQL."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Connection, event

from credly.wire import Badge
from models.database import Database
from models.ledger import claiming
from models.ledger.recording import Attempt, Result, RunIds, record
from models.ledger.tables import AttemptKind, AttemptOutcome
from models.operations import run_log
from models.operations.run_summary import summary
from rules.ledger import outcome
from rules.ledger.outcome import Outcome
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from rules.monitoring.alerts import RunHealth
from rules.monitoring.run_summary import NAMED, SLOWEST, IssuanceRef, Results
from tests.support.factories import NOW, PORTAL, an_issuance, together
from tests.support.plans import BLOCKED, CANCELLED, DAY, FAILED, HOUR, ISSUED, ISSUING, PENDING

REFUSED = outcome.failed(Reason.REFUSED_BY_CREDLY)
LATER = Outcome(state=PENDING, reason=Reason.NOT_REACHABLE, not_before=NOW)
_badges = count(1)


def issued(*, adopted: bool = False) -> Outcome:
    return outcome.issued(Badge(id=f"badge-of-{next(_badges)}"), adopted=adopted)


@dataclass
class FlowRun:
    """A flow run that works on issuances."""

    database: Database
    id: str = "run-1"
    milliseconds: list[int] = field(default_factory=list)

    async def works_on(self, issuance: int, result: Outcome) -> None:
        """Claim it and record what became of it, with the calls if there were any."""
        self.database.flow_run = lambda: self.id
        await self.database.write(
            claiming.claim, [issuance], token=self.id, now=NOW, lease=timedelta(minutes=10), ignore_wait=True
        )
        calls = [self._call(issuance, duration) for duration in self.milliseconds]
        runs = RunIds(flow_run_id=self.id)
        known = Result(issuance_id=issuance, outcome=result, token=self.id, now=NOW, runs=runs, calls=calls)
        assert await self.database.write(record, known) is not None

    def _call(self, issuance: int, milliseconds: int) -> Attempt:
        return Attempt(
            issuance_id=issuance,
            kind=AttemptKind.ISSUE,
            outcome=AttemptOutcome.ISSUED,
            started_at=NOW,
            duration=timedelta(milliseconds=milliseconds),
        )


def results(state: IssuanceState, number: int, reason: Reason | None = None, **changes: Any) -> Results:
    where = {"flow_run_id": "run-1", "portal_id": PORTAL, "achievement_id": "forklift"} | changes
    return Results(**where, state=state, reason=reason, count=number)


async def done(database: Database, *runs: str) -> dict[tuple[str, str, str, str | None], int]:
    """What the runs left, by run, achievement, state and reason."""
    found = await database.read(summary, runs)
    return {(each.flow_run_id, each.achievement_id, each.state, each.reason): each.count for each in found.results}


async def test_results_are_counted_by_portal_achievement_state_and_reason(database: Database) -> None:
    run = FlowRun(database)
    for user, achievement, result in (
        ("ada", "forklift", issued()),
        ("bob", "forklift", issued(adopted=True)),
        ("eve", "forklift", REFUSED),
        ("ada", "crane", outcome.blocked(Reason.TEMPLATE_NOT_ACTIVE)),
        ("bob", "crane", outcome.not_sendable(Reason.AWARD_WITHDRAWN)),
        ("eve", "crane", LATER),
    ):
        await run.works_on(await an_issuance(database, user=user, achievement=achievement), result)
    await an_issuance(database, user="dan")

    found = await database.read(summary, ["run-1"])

    assert sorted(found.results, key=str) == sorted(
        [
            Results(
                flow_run_id="run-1",
                portal_id=PORTAL,
                achievement_id="forklift",
                state=ISSUED,
                count=2,
                adopted=1,
            ),
            results(FAILED, 1, Reason.REFUSED_BY_CREDLY),
            results(BLOCKED, 1, Reason.TEMPLATE_NOT_ACTIVE, achievement_id="crane"),
            results(CANCELLED, 1, Reason.AWARD_WITHDRAWN, achievement_id="crane"),
            results(PENDING, 1, Reason.NOT_REACHABLE, achievement_id="crane"),
        ],
        key=str,
    )


async def test_an_issuance_counts_once_with_its_last_result(database: Database) -> None:
    tried_again = await an_issuance(database, user="ada")
    first, second = FlowRun(database, "run-1"), FlowRun(database, "run-2")
    await first.works_on(tried_again, LATER)
    await first.works_on(tried_again, issued())
    both_worked_on = await an_issuance(database, user="bob")
    await first.works_on(both_worked_on, LATER)
    await second.works_on(both_worked_on, REFUSED)

    assert await done(database, "run-1") == {
        ("run-1", "forklift", "issued", None): 1,
        ("run-1", "forklift", "pending", "not_reachable"): 1,
    }
    assert await done(database, "run-1", "run-2") == {
        ("run-1", "forklift", "issued", None): 1,
        ("run-2", "forklift", "failed", "refused_by_credly"): 1,
    }
    assert await done(database) == {}


async def test_what_was_refused_and_put_back_is_to_be_tried_again(database: Database) -> None:
    run, issuance = FlowRun(database), await an_issuance(database)
    await run.works_on(issuance, REFUSED)

    await database.write(claiming.put_back, [issuance], REFUSED.reason, not_before=NOW + DAY, now=NOW)

    assert await done(database, "run-1") == {("run-1", "forklift", "pending", "refused_by_credly"): 1}


async def test_only_what_was_claimed_is_a_result(database: Database) -> None:
    database.flow_run = lambda: "run-1"
    await an_issuance(database, user="ada", flow_run_id="run-1")
    taken = await an_issuance(database, user="bob")
    await database.write(claiming.claim, [taken], token="t", now=NOW, lease=HOUR)
    await database.write(claiming.release, [taken], token="t", now=NOW)
    lost: dict[str, Any] = {"state": ISSUING, "claim": "t", "lease_until": NOW - DAY, "flow_run_id": "run-1"}
    lapsed = await an_issuance(database, user="eve", **lost)
    await database.write(claiming.claim, [lapsed], token="u", now=NOW, lease=HOUR)

    await database.write(claiming.block_due, Reason.TOKEN_REFUSED, claiming.Scope([PORTAL]), now=NOW)

    assert await done(database, "run-1") == {}


async def test_ids_are_named_up_to_a_number_for_each_reason(database: Database) -> None:
    async def make(connection: Any) -> list[int]:
        return [await an_issuance(connection, user=f"user-{number}") for number in range(NAMED + 2)]

    run, rows = FlowRun(database), await together(database, make)
    for issuance in rows[:-1]:
        await run.works_on(issuance, REFUSED)
    await run.works_on(rows[-1], outcome.not_sendable(Reason.NO_PRIMARY_EMAIL))

    found = await database.read(summary, ["run-1"])

    assert found.done == {(FAILED, Reason.REFUSED_BY_CREDLY): NAMED + 1, (FAILED, Reason.NO_PRIMARY_EMAIL): 1}
    assert [each.issuance_id for each in found.named[FAILED, Reason.REFUSED_BY_CREDLY]] == rows[:NAMED]
    last = IssuanceRef(rows[-1], "forklift", f"user-{NAMED + 1}", PORTAL)
    assert found.named[FAILED, Reason.NO_PRIMARY_EMAIL] == [last]


async def test_the_slowest_calls_are_those_of_the_run(database: Database) -> None:
    issuance = await an_issuance(database)
    await FlowRun(database, "run-0", milliseconds=[9_000]).works_on(issuance, LATER)
    await FlowRun(database, "run-1", milliseconds=[100, 300, 200, 700]).works_on(issuance, LATER)
    await FlowRun(database, "run-1", milliseconds=[400, 50, 600, 500]).works_on(issuance, issued())

    found = await database.read(summary, ["run-1"])

    assert [each.duration // timedelta(milliseconds=1) for each in found.slowest] == [700, 600, 500, 400, 300]
    assert (len(found.slowest), found.slowest[0].kind, found.slowest[0].outcome) == (SLOWEST, "issue", "issued")


async def log_organization(
    database: Database,
    run: str,
    organization: str,
    stopped: Reason | None = None,
    *,
    started_by: str = "reconcile-1",
    ended: datetime | None = NOW + HOUR,
) -> None:
    row = await database.write(
        run_log.begin_organization,
        flow_run_id=run,
        started_by=started_by,
        organization_id=organization,
        base_url="https://credly.example.org/v1",
        now=NOW,
    )
    if ended is not None:
        await database.write(run_log.end_organization, row, stopped=stopped, now=ended)


async def test_the_run_log_has_who_started_a_run_and_which_organizations_were_stopped(database: Database) -> None:
    await log_organization(database, "run-1", "org-1", Reason.TOKEN_REFUSED)
    await log_organization(database, "run-2", "org-2", Reason.NOT_REACHABLE)
    await log_organization(database, "run-2", "org-2")  # run again by Prefect, and well this time
    await log_organization(database, "run-3", "org-3", Reason.TOKEN_MISSING, started_by="run-3")

    assert await database.read(run_log.started_by, "reconcile-1") == {"run-1", "run-2"}
    assert await database.read(run_log.stops, ["run-1", "run-2"]) == {"org-1": Reason.TOKEN_REFUSED}


async def test_findings_are_read_the_latest_first_and_forgotten_after_a_while(database: Database) -> None:
    def found(at: datetime, *alarms: str) -> RunHealth:
        return RunHealth(at=at, issued=1, failed=2, backlog=3, alarms=alarms)

    earlier, later = found(NOW - DAY), found(NOW, "backlog_grows:", "organization_stopped:org-1")
    for each in (earlier, later):
        await database.write(run_log.keep_finding, each, flow_run_id="run-1")
    assert await database.read(run_log.earlier_findings) == [later, earlier]

    await database.write(run_log.forget, before=NOW)

    assert await database.read(run_log.earlier_findings) == [later]


async def test_a_portal_has_a_series_of_the_runs_that_worked_for_it(database: Database) -> None:
    north, south = {ISSUED: 3, FAILED: 1}, {PENDING: 2}
    await database.write(run_log.keep_portals, {"north": north}, flow_run_id="run-1", now=NOW - DAY)
    await database.write(run_log.keep_portals, {"south": south}, flow_run_id="run-2", now=NOW - HOUR)

    series = await database.write(run_log.keep_portals, {"north": south}, flow_run_id="run-3", now=NOW)

    none = dict.fromkeys((ISSUED, FAILED, BLOCKED, PENDING, CANCELLED), 0)
    assert series == {"north": [(NOW, none | south), (NOW - DAY, none | north)]}
    assert await database.write(run_log.keep_portals, {}, flow_run_id="run-4", now=NOW) == {}


async def test_an_organization_counts_as_stopped_by_its_latest_run(database: Database) -> None:
    for organization, ended, stopped in (
        ("once", NOW - HOUR, Reason.TOKEN_REFUSED),
        ("again", NOW - 2 * HOUR, None),
        ("again", NOW - HOUR, Reason.TOKEN_REFUSED),
        ("well", NOW - 2 * HOUR, Reason.TOKEN_REFUSED),
        ("well", NOW - HOUR, None),
        ("long ago", NOW - DAY, Reason.TOKEN_REFUSED),
        ("under way", None, None),
    ):
        await log_organization(database, "run", organization, stopped, ended=ended)

    found = await database.read(run_log.recently_stopped, since=NOW - 3 * HOUR)

    assert {organization for organization, _ in found} == {"once", "again"}


async def test_the_runs_of_months_are_not_read_for_those_of_the_last_minutes(database: Database) -> None:
    if database.engine.dialect.name == "postgresql":
        pytest.skip("PostgreSQL reads a small table as a whole, and uses the index where it is large")
    statements: list[str] = []

    def kept(*arguments: Any) -> None:
        statements.append(arguments[2])

    event.listen(database.engine, "before_cursor_execute", kept)
    await database.read(run_log.recently_stopped, since=NOW)
    (statement,) = [each for each in statements if "FROM run_organizations" in each]

    def plan(connection: Connection) -> str:
        return str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", ("2026",)).all())

    assert "USING INDEX ix_run_organizations_ended_at" in await database.read(plan)
