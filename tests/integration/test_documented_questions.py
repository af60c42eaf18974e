"""Each question of docs/how-to/run-history.md: what its place shows is what plain SQL counts in the ledger's tables."""

import asyncio
import json
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from models.analytics.filters import CountFilter
from models.database import Database
from models.diagnostics.explain import history_of
from models.operations import run_log, run_summary
from models.operations.open_counts import open_counts, pending_counts
from reports import frames
from reports.export import ExportRequest, export
from rules.datasets import Dataset, Group
from rules.explain.diagnosis import answer
from rules.explain.timeline import timeline
from rules.forms.period import Period, period_of
from rules.ledger.reasons import DATA_REASONS, Reason
from rules.ledger.states import IssuanceState
from rules.monitoring.run_page import run_table
from settings import ROOT
from tests.support.asked_history import invent_asked, sql_of

PAGE = (ROOT / "docs" / "how-to" / "run-history.md").read_text(encoding="utf-8")
NOW = datetime(2026, 12, 31, tzinfo=UTC)
RUN, LATER_RUN = "month-05", "month-06"
FAILED, BLOCKED = IssuanceState.FAILED, IssuanceState.BLOCKED
BY_PORTAL = (Group.PORTAL,)
STAYS = """WITH stays AS (
    SELECT h.id, h.issuance_id, i.portal_id, h.to_state, h.reason, h.at,
        lead(h.at) OVER s AS until, lead(h.transition) OVER s AS ended_by, lead(h.flow_run_id) OVER s AS ended_run,
        lag(h.to_state) OVER s AS before, i.state AS state_now
    FROM issuance_history AS h JOIN badge_issuances AS i ON i.id = h.issuance_id
    WINDOW s AS (PARTITION BY h.issuance_id ORDER BY h.id))"""
# The users of the others have no last name, and the other portal is not connected.
SENDABLE = "portal_id = 'northwind' AND id % 2 = 1"
TESTED: set[str] = set()
Test = Callable[..., Any]


def question(words: str) -> Callable[[Test], Test]:
    """Mark the test of the question that the document words so."""
    TESTED.add(words)
    return lambda test: test


@pytest.fixture(scope="module")
def file(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ledger that all of these tests read and none changes."""
    file = tmp_path_factory.mktemp("asked") / "laurel.db"
    shutil.copyfile(migrated_file, file)
    asyncio.run(invent_asked(file))
    return file


@pytest.fixture
async def ledger(file: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{file}")
    yield database
    await database.dispose()


@pytest.fixture
def sql(file: Path) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    with closing(sqlite3.connect(file)) as connection:
        yield sql_of(connection)


@pytest.fixture
def asked(ledger: Database, tmp_path: Path) -> Callable[..., Any]:
    """Ask as the form `export` does, and return the rows of the artifact `export-table`."""

    async def ask(what: Dataset, **fields: Any) -> list[dict[str, Any]]:
        done = await export(ledger, ExportRequest(dataset=what, folder=str(tmp_path), **fields))
        assert len(done.shown) == done.rows > 0
        return done.shown

    return ask


def cells(rows: list[dict[str, Any]], *names: str) -> set[tuple[Any, ...]]:
    found = [tuple(row[name] for name in names) for row in rows]
    assert len(set(found)) == len(found)
    return set(found)


def nearest_rank(sorted_values: list[int], percent: int) -> int:
    return sorted_values[(len(sorted_values) * percent + 99) // 100 - 1]


def test_each_question_of_the_document_has_a_test() -> None:
    documented = re.findall(r"^\| (\d+\. .*?) \|", PAGE, re.MULTILINE)

    assert sorted(TESTED) == sorted(documented)


@question("1. What did last night's run do?")
async def test_what_a_run_did(ledger: Database, sql: Any) -> None:
    summary = await ledger.read(run_summary.summary, [RUN])

    found = {
        (row["portal"], row["achievement"]): (int(row["issued"]), int(row["failed"])) for row in run_table(summary)
    }
    last = """SELECT i.portal_id, i.achievement_id, sum(h.to_state = 'issued'), sum(h.to_state = 'failed')
        FROM issuance_history AS h JOIN badge_issuances AS i ON i.id = h.issuance_id
        WHERE h.flow_run_id = :run AND h.from_state = 'issuing' AND NOT EXISTS (
            SELECT 1 FROM issuance_history AS x WHERE x.issuance_id = h.issuance_id AND x.id > h.id
                AND x.flow_run_id = :run AND x.from_state = 'issuing')
        GROUP BY 1, 2"""
    assert found == {tuple(row[:2]): tuple(row[2:]) for row in sql(last, run=RUN)}
    assert summary.sentence.startswith(f"{sum(issued for issued, _ in found.values())} issued · ")


@question("2. Why has this learner no badge?")
async def test_why_a_user_has_no_badge(ledger: Database, sql: Any) -> None:
    failed = """SELECT i.user_id, i.achievement_id, u.last_name = '' FROM badge_issuances AS i
        JOIN users AS u ON u.id = i.user_id WHERE i.state = 'failed' AND i.portal_id = 'northwind' LIMIT 8"""
    found: dict[int, set[str]] = {}
    for user, achievement, is_missing in sql(failed):
        history = (await history_of(ledger, user_id=user, achievement_id=achievement, now=NOW)).history
        found.setdefault(is_missing, set()).add(answer(history, now=NOW).sentence)

    assert found == {
        1: {Reason.NAME_MISSING.sentence},
        0: {"It failed; since then the data or the settings have changed, so that the request would differ."},
    }


@question("3. When is it tried again?")
async def test_when_it_is_tried_again(ledger: Database, sql: Any) -> None:
    found = await ledger.read(pending_counts)

    waiting = "SELECT portal_id, count(*), min(not_before) FROM badge_issuances WHERE state = 'pending' GROUP BY 1"
    for portal, count, first in sql(waiting):
        of_portal = [each for each in found if each.portal_id == portal]
        assert sum(each.count for each in of_portal) == count > 0
        assert f"{min(each.next_at for each in of_portal):%Y-%m-%d %H:%M:%S}" == first[:19]
    of_one = f"SELECT user_id, achievement_id FROM badge_issuances WHERE state = 'pending' AND {SENDABLE} LIMIT 1"
    ((user, achievement),) = sql(of_one)
    one = await history_of(ledger, user_id=user, achievement_id=achievement, now=NOW)
    assert "next run" in answer(one.history, now=NOW).next


@question("4. Which badges were refused, and what is to be done?")
async def test_which_badges_were_refused(asked: Any, sql: Any) -> None:
    rows = await asked(Dataset.ISSUANCES, states=(FAILED,))

    assert cells(rows, "issuance_id", "user_id", "reason") == set(
        sql("SELECT id, user_id, reason FROM badge_issuances WHERE state = 'failed'")
    )
    assert all(Reason(row["reason"]).advice for row in rows)


@question("5. What did Credly itself say?")
async def test_what_credly_answered(asked: Any, sql: Any) -> None:
    rows = await asked(Dataset.ATTEMPTS, portal="northwind")

    assert cells(rows, "attempt_id", "outcome", "status", "credly_message") == set(
        sql(
            """SELECT a.id, a.outcome, a.status, a.credly_message FROM issuance_attempts AS a
            JOIN badge_issuances AS i ON i.id = a.issuance_id WHERE i.portal_id = 'northwind'"""
        )
    )
    assert "Name is invalid" in {row["credly_message"] for row in rows}


@question("6. Was last night better than the night before?")
async def test_whether_a_day_was_better_than_the_day_before(asked: Any, sql: Any) -> None:
    rows = await asked(Dataset.DAILY_EVENTS, period=period_of("2026-05-01", "2026-05-31"))

    by_day = """SELECT substr(at, 1, 10), sum(to_state = 'issued'), sum(to_state = 'failed') FROM stays
        WHERE at >= '2026-05-01' AND at < '2026-06-01' AND to_state IS NOT before GROUP BY 1"""
    assert {each for each in cells(rows, "day", "issued", "failed") if each[1:] != (0, 0)} == {
        each for each in sql(STAYS + by_day) if each[1:] != (0, 0)
    }
    assert len(rows) == 31


@question("7. Which portal, achievement or reason is getting worse?")
async def test_what_is_getting_worse(asked: Any, sql: Any) -> None:
    counted = """SELECT portal_id, reason, count(*), count(DISTINCT issuance_id), sum(until IS NULL) FROM stays
        WHERE to_state = 'failed' AND at >= :since AND at < :until GROUP BY 1, 2"""
    for first, last in ((date(2026, 4, 1), date(2026, 4, 30)), (date(2026, 5, 1), date(2026, 5, 31))):
        rows = await asked(Dataset.FAILURES, by=BY_PORTAL, period=Period(first=first, last=last))

        assert cells(rows, "portal_id", "reason", "failures", "issuances", "still_failed") == set(
            sql(STAYS + counted, since=str(first), until=str(last + timedelta(days=1)))
        )


@question("8. How long is it from award to badge?")
async def test_how_long_it_is_from_award_to_badge(asked: Any, sql: Any) -> None:
    rows = await asked(Dataset.TIME_TO_BADGE, by=BY_PORTAL)

    seconds: dict[str, list[int]] = {}
    for portal, each in sql(
        """SELECT portal_id, CAST(strftime('%s', substr(recorded_at, 1, 19)) AS INTEGER)
            - CAST(strftime('%s', substr(awarded_at, 1, 19)) AS INTEGER) AS seconds
        FROM badge_issuances WHERE state = 'issued' AND recorded_at >= awarded_at ORDER BY seconds"""
    ):
        seconds.setdefault(portal, []).append(each)
    assert cells(
        rows, "portal_id", "badges", "fastest_seconds", "median_seconds", "p95_seconds", "slowest_seconds"
    ) == {
        (portal, len(each), each[0], nearest_rank(each, 50), nearest_rank(each, 95), each[-1])
        for portal, each in seconds.items()
    }


@question("9. How many badges were claimed?")
async def test_how_many_badges_were_claimed(asked: Any, sql: Any) -> None:
    rows = await asked(Dataset.FUNNEL, by=(Group.ACHIEVEMENT,))

    assert cells(rows, "achievement_id", "entered", "issued", "claim_known", "claimed") == set(
        sql(
            """SELECT achievement_id, count(*), sum(state = 'issued'),
                sum(state = 'issued' AND audited_at >= recorded_at IS TRUE),
                sum(state = 'issued' AND audited_at >= recorded_at IS TRUE AND credly_state = 'accepted')
            FROM badge_issuances GROUP BY 1"""
        )
    )


@question("10. What is waiting now, and for what?")
async def test_what_is_waiting_now(ledger: Database, sql: Any) -> None:
    found = {(each.portal_id, each.state, each.reason, each.count) for each in await ledger.read(open_counts)}

    waiting = "state IN ('pending', 'issuing', 'blocked', 'failed')"
    assert found == set(
        sql(f"SELECT portal_id, state, reason, count(*) FROM badge_issuances WHERE {waiting} GROUP BY 1, 2, 3")
    )


@question("11. Which runs worked on this portal, achievement or badge?")
async def test_which_runs_worked_on_a_badge(ledger: Database, sql: Any) -> None:
    ((issuance, user, achievement),) = sql(
        """SELECT i.id, i.user_id, i.achievement_id FROM badge_issuances AS i JOIN issuance_history AS h
        ON h.issuance_id = i.id GROUP BY 1 ORDER BY count(DISTINCT h.flow_run_id) DESC LIMIT 1"""
    )

    found = timeline((await history_of(ledger, user_id=user, achievement_id=achievement, now=NOW)).history)

    runs = "SELECT DISTINCT flow_run_id FROM issuance_history WHERE issuance_id = :issuance AND flow_run_id IS NOT NULL"
    assert {(each.flow_run_id,) for each in found} >= set(sql(runs, issuance=issuance))


@question("12. What happened to this badge, when, by which run, under which settings?")
async def test_under_which_settings_a_badge_was_sent(asked: Any, sql: Any) -> None:
    rows = await asked(Dataset.SENT_SETTINGS, achievement="forklift")

    locales = """SELECT h.id, (
            SELECT json_extract(s.changes, '$.locale[1]') FROM settings_history AS s
            WHERE s.subject_id = 'forklift' AND json_type(s.changes, '$.locale') IS NOT NULL AND s.at <= coalesce((
                SELECT max(a.started_at) FROM issuance_attempts AS a
                WHERE a.issuance_id = h.issuance_id AND a.outcome = 'issued' AND a.started_at <= h.at), h.at)
            ORDER BY s.id DESC LIMIT 1) AS locale
        FROM issuance_history AS h JOIN badge_issuances AS i ON i.id = h.issuance_id
        WHERE h.transition = 'issue' AND i.achievement_id = 'forklift' AND locale IS NOT NULL"""
    found = cells([row for row in rows if row["setting"] == "locale"], "history_id", "value")
    assert found == set(sql(locales))
    assert {value for _, value in found} == {"en", "de"}


@question("13. Was there an interruption or a failure this week?")
async def test_whether_there_was_an_interruption(ledger: Database, sql: Any) -> None:
    found = await ledger.read(run_log.earlier_findings)

    kept = [(f"{each.at:%Y-%m-%d %H:%M:%S}", each.issued, each.failed, ", ".join(each.alarms)) for each in found]
    assert kept == sql("SELECT substr(at, 1, 19), issued, failed, alarms FROM run_findings ORDER BY at DESC")
    assert {alarms for *_, alarms in kept} > {""}


@question("14. What changed between two runs?")
async def test_what_changed_between_two_runs(asked: Any, sql: Any) -> None:
    rows = await asked(Dataset.BETWEEN_RUNS, run=LATER_RUN, other_run=RUN)

    ((since,), (until,)) = sql(
        "SELECT max(at) FROM issuance_history WHERE flow_run_id IN (:a, :b) GROUP BY flow_run_id ORDER BY 1",
        a=RUN,
        b=LATER_RUN,
    )
    between = "WHERE at > :since AND at <= :until"
    assert {row["history_id"] for row in rows if row["history_id"] is not None} == {
        key for (key,) in sql(f"SELECT id FROM issuance_history {between}", since=since, until=until)
    }
    assert {(row["transition"], row["changes"]) for row in rows if row["history_id"] is None} == set(
        sql(f"SELECT action, changes FROM settings_history {between}", since=since, until=until)
    )
    assert any(row["history_id"] is None for row in rows)


@question("15. Which badges did a change of settings cause?")
async def test_which_badges_a_change_caused(asked: Any, sql: Any) -> None:
    rows = await asked(Dataset.SETTINGS_EFFECTS, achievement="forklift")

    caused = """SELECT s.id, h.id FROM settings_history AS s
        JOIN badge_issuances AS i ON i.achievement_id = s.subject_id JOIN issuance_history AS h ON h.issuance_id = i.id
        WHERE s.settings_of = 'integration' AND s.subject_id = 'forklift' AND h.at >= s.at
            AND NOT EXISTS (SELECT 1 FROM settings_history AS n WHERE n.settings_of = s.settings_of
                AND n.subject_id = s.subject_id AND n.id > s.id AND n.at <= h.at)
            AND (h.flow_run_id = s.flow_run_id
                OR (h.from_state IS NULL AND i.awarded_at < s.at)
                OR (h.transition = 'issue' AND s.action IN ('resumed', 'released') AND i.planned_at < s.at)
                OR h.transition IN ('unblock', 'revive', 'change_template')
                OR h.reason IN ('integration_removed', 'portal_not_connected'))"""
    assert cells(rows, "settings_history_id", "history_id") == set(sql(caused))


@question("16. Who paused, held or released this, and when?")
async def test_who_paused_it(asked: Any, sql: Any) -> None:
    rows = await asked(Dataset.SETTINGS_HISTORY, achievement="forklift")

    changes = """SELECT s.id, s.action, substr(s.at, 1, 19) || 'Z', o.operator_id FROM settings_history AS s
        LEFT JOIN operator_runs AS o ON o.flow_run_id = s.flow_run_id WHERE s.subject_id = 'forklift'"""
    found = cells(rows, "settings_history_id", "action", "at", "operator_id")
    assert found == set(sql(changes))
    assert ("resumed", "op-7") in {(action, operator) for _, action, _, operator in found}


@question("17. What failed on a day, and how was it resolved?")
async def test_what_failed_on_a_day(asked: Any, sql: Any) -> None:
    ((day, count),) = sql(
        STAYS
        + "SELECT substr(at, 1, 10), count(*) FROM stays WHERE to_state = 'failed' GROUP BY 1 ORDER BY 2 DESC LIMIT 1"
    )
    rows = await asked(Dataset.STATES, states=(FAILED,), period=period_of(day, day))

    resolved = """SELECT s.id, s.ended_by, o.operator_id, s.state_now FROM stays AS s
        LEFT JOIN operator_runs AS o ON o.flow_run_id = s.ended_run
        WHERE s.to_state = 'failed' AND substr(s.at, 1, 10) = :day"""
    assert cells(rows, "history_id", "ended_by", "ended_by_operator_id", "state_now") == set(
        sql(STAYS + resolved, day=day)
    )
    assert len(rows) == count > 1


@question("18. How long does it wait for an operator, by reason?")
async def test_how_long_it_waits_by_reason(ledger: Database, sql: Any) -> None:
    which = CountFilter(states=(FAILED, BLOCKED), now=NOW)
    frame = await ledger.read(frames.counts_of, Dataset.TIME_IN_STATE, which)

    lasted: dict[tuple[str, str], list[int]] = {}
    still_open: dict[tuple[str, str], int] = {}
    for state, reason, seconds, is_open in sql(
        STAYS
        + """SELECT to_state, reason, CAST(strftime('%s', substr(coalesce(until, :now), 1, 19)) AS INTEGER)
            - CAST(strftime('%s', substr(at, 1, 19)) AS INTEGER) AS seconds, until IS NULL
        FROM stays WHERE to_state IN ('failed', 'blocked') ORDER BY seconds""",
        now=f"{NOW:%Y-%m-%d %H:%M:%S}",
    ):
        lasted.setdefault((state, reason), []).append(seconds)
        still_open[state, reason] = still_open.get((state, reason), 0) + is_open
    columns = ["state", "reason", "stays", "open", "median_seconds", "p95_seconds", "longest_seconds"]
    assert {tuple(row) for row in frame[columns].astype(object).to_numpy()} == {
        (*key, len(each), still_open[key], nearest_rank(each, 50), nearest_rank(each, 95), each[-1])
        for key, each in lasted.items()
    }


@question("19. Which portal's data causes most failures?")
async def test_which_portals_data_causes_most_failures(asked: Any, sql: Any) -> None:
    rows = await asked(Dataset.FAILURES, by=BY_PORTAL)

    found: dict[str, int] = {}
    for row in rows:
        if row["of_data"]:
            found[row["portal_id"]] = found.get(row["portal_id"], 0) + row["failures"]
    names = json.dumps(sorted(DATA_REASONS))
    of_data = """SELECT portal_id, count(*) FROM stays
        WHERE to_state = 'failed' AND reason IN (SELECT value FROM json_each(:names)) GROUP BY 1"""
    assert found == dict(sql(STAYS + of_data, names=names))


@question("20. What did Credly refuse, and in which words, by week?")
async def test_what_credly_refused_by_week(asked: Any, sql: Any) -> None:
    rows = await asked(Dataset.REFUSALS, by=BY_PORTAL)

    by_week = """SELECT i.portal_id, date(a.started_at, '-6 days', 'weekday 1'), a.credly_message, count(*)
        FROM issuance_attempts AS a JOIN badge_issuances AS i ON i.id = a.issuance_id
        WHERE a.outcome = 'refused' GROUP BY 1, 2, 3"""
    assert cells(rows, "portal_id", "week", "credly_message", "calls") == set(sql(by_week))


@question("21. Which badges were never claimed after 30 days?")
async def test_which_badges_were_never_claimed(asked: Any, sql: Any) -> None:
    rows = await asked(Dataset.UNCLAIMED)

    long_ago = f"{datetime.now(UTC) - timedelta(days=30):%Y-%m-%d %H:%M:%S}"
    unclaimed = """SELECT id, user_id FROM badge_issuances WHERE state = 'issued' AND recorded_at <= :long_ago
        AND (audited_at IS NULL OR audited_at < recorded_at OR credly_state = 'pending')"""
    assert cells(rows, "issuance_id", "user_id") == set(sql(unclaimed, long_ago=long_ago))


@question("22. What would this run do differently today?")
async def test_what_a_run_would_do_differently_today(asked: Any, sql: Any) -> None:
    rows = await asked(Dataset.RUN_TODAY, run=RUN)

    # The history's users all have an address; those with an even number have no last name, and one portal is connected.
    left = """SELECT h.issuance_id, h.to_state,
            CASE WHEN i.portal_id <> 'northwind' THEN 'block' WHEN h.issuance_id % 2 THEN 'issue' ELSE 'failed' END
        FROM issuance_history AS h JOIN badge_issuances AS i ON i.id = h.issuance_id
        WHERE h.id IN (SELECT max(id) FROM issuance_history WHERE flow_run_id = :run GROUP BY issuance_id)"""
    expected = sql(left, run=RUN)
    assert cells(rows, "issuance_id", "to_state", "would") == set(expected)
    assert {row["issuance_id"] for row in rows if row["differs"]} == {
        issuance for issuance, state, would in expected if (state == "issued") != (would == "issue")
    }
