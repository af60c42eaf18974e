"""The questions of docs/how-to/run-history.md, asked in the form `export` and answered on the run's page."""

import re
from pathlib import Path
from typing import Any

import pytest

from flows.export import export
from flows.pause_credly import pause_credly
from flows.retry_failed import retry_failed
from models.platform.tables import UserEmail
from rules.datasets import Dataset, Group
from rules.ledger.states import IssuanceState
from settings import ROOT
from tests.support.running import run_reconcile
from tests.support.seen import refused, see
from tests.support.standin import Standin
from tests.support.world import World

PAGE = (ROOT / "docs" / "how-to" / "run-history.md").read_text(encoding="utf-8")
FAILED, BLOCKED = IssuanceState.FAILED, IssuanceState.BLOCKED


async def answer(what: Dataset, **parameters: Any) -> list[dict[str, Any]]:
    """Ask in the form, and return the table of the run's page."""
    seen = await see(export, what=what, **parameters)
    assert seen.name == "Completed", seen.message
    return seen.tables[0] if seen.tables else []


@pytest.fixture
async def two_runs(world: World, standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A run in which one badge of three failed; it was corrected and retried, and a second run issued it."""
    world.configure(monkeypatch, REPORTS_FOLDER=str(tmp_path))
    await world.enable()
    await world.add_user("eve")
    for user in ("ada", "bob", "eve"):
        await world.award(user)
    await world.change(UserEmail, "bob", address="not an address")
    standin.fault("answer", method="POST", status=422, body="eve", content='{"data": {"message": "Name is invalid"}}')
    first = await run_reconcile()
    standin.control("DELETE", "faults")
    await world.change(UserEmail, "bob", address="bob@example.org")
    await see(retry_failed, achievement="forklift", preview=False, operator="op-7")
    second = await run_reconcile()
    return str(first.state_details.flow_run_id), str(second.state_details.flow_run_id)


def test_the_document_names_every_kind_of_data_and_no_other() -> None:
    named = set(re.findall(r"`what` \*(\w+)\*", PAGE)) | set(re.findall(r"and \*(funnel)\*", PAGE))

    assert named <= {each.value for each in Dataset}
    assert {each.value for each in Dataset if each.of_run} | {"states_at", "unclaimed", "refusals"} <= named
    assert len(re.findall(r"^\| \d+\. ", PAGE, re.MULTILINE)) == 22


async def test_what_failed_and_how_it_was_resolved(two_runs: tuple[str, str]) -> None:
    rows = await answer(Dataset.STATES, states=(FAILED,))

    assert {(row["user_id"], row["reason"], row["state_now"]) for row in rows} == {
        ("bob", "email_malformed", "issued"),
        ("eve", "refused_by_credly", "issued"),
    }
    assert {row["ended_by"] for row in rows} == {"retry"}
    assert [row["ended_by_operator_id"] for row in rows if row["user_id"] == "eve"] == ["op-7"]


async def test_what_changed_between_the_runs_and_who_changed_it(two_runs: tuple[str, str]) -> None:
    await see(pause_credly, achievement="forklift", operator="op-9")

    rows = await answer(
        Dataset.BETWEEN_RUNS, run=two_runs[0], other_run=f"http://prefect.example.org/runs/{two_runs[1]}"
    )
    settings = await answer(Dataset.SETTINGS_HISTORY, achievement="forklift")

    assert [row["transition"] for row in rows if row["user_id"] == "eve"] == ["retry", "issue"]
    assert {row["user_id"] for row in rows} == {"bob", "eve"}
    assert (settings[-1]["action"], settings[-1]["operator_id"]) == ("paused", "op-9")


@pytest.mark.prefect
async def test_what_the_first_run_would_do_today(two_runs: tuple[str, str]) -> None:
    rows = await answer(Dataset.RUN_TODAY, run=two_runs[0])

    found = {row["user_id"]: (row["to_state"], row["would"], row["differs"]) for row in rows}
    assert found == {
        "ada": ("issued", "issue", False),
        "bob": ("failed", "issue", True),
        "eve": ("failed", "issue", True),
    }


async def test_what_credly_refused_and_why_most_failed(two_runs: tuple[str, str]) -> None:
    refusals = await answer(Dataset.REFUSALS, by=(Group.PORTAL,))
    failures = await answer(Dataset.FAILURES, by=(Group.PORTAL,))

    assert [(row["portal_id"], row["status"], row["calls"]) for row in refusals] == [("northwind", 422, 1)]
    assert {(row["reason"], row["of_data"], row["still_failed"]) for row in failures} == {
        ("email_malformed", True, 0),
        ("refused_by_credly", False, 0),
    }


async def test_how_long_it_waited_and_how_things_stand(two_runs: tuple[str, str]) -> None:
    waits = await answer(Dataset.TIME_IN_STATE, states=(FAILED, BLOCKED))
    standing = await answer(Dataset.STATES_AT)
    ever = await answer(Dataset.FUNNEL_EVENTS)

    assert {(row["reason"], row["stays"], row["open"]) for row in waits} == {
        ("email_malformed", 1, 0),
        ("refused_by_credly", 1, 0),
    }
    assert [(row["state"], row["issuances"]) for row in standing] == [("issued", 3)]
    assert [(row["issued"], row["issued_directly"], row["failed_then_issued"]) for row in ever] == [(3, 1, 2)]


async def test_under_which_settings_and_what_they_caused(two_runs: tuple[str, str]) -> None:
    sent = await answer(Dataset.SENT_SETTINGS, achievement="forklift")

    assert {row["user_id"] for row in sent if row["setting"] == "badge_template_id"} <= {"ada", "bob", "eve"}
    assert await answer(Dataset.UNCLAIMED) == []
    assert {row["state_now"] for row in await answer(Dataset.SETTINGS_EFFECTS, achievement="forklift")} <= {"issued"}


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"what": Dataset.RUN_TODAY}, "run: give the id of a flow run"),
        ({"what": Dataset.RUN_TODAY, "run": "9" * 8 + "-0000-4000-8000-000000000000"}, "run: the ledger has nothing"),
        ({"what": Dataset.DAILY, "run": "9" * 8 + "-0000-4000-8000-000000000000"}, "run: daily are not of one"),
        ({"what": Dataset.DAILY, "by": (Group.USER,)}, "by: daily cannot be grouped by user. Choose of portal, "),
        ({"what": Dataset.RUNS, "achievement": "forklift"}, "achievement: runs are not of one"),
        ({"what": Dataset.HISTORY, "achievement": "forklfit"}, "achievement: there is no achievement `forklfit`. Did"),
    ],
)
async def test_a_question_that_makes_no_sense_gets_one_sentence(
    two_runs: tuple[str, str], parameters: dict[str, Any], words: str
) -> None:
    assert (await refused(export, **parameters)).startswith(words)
