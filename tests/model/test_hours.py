"""What takes hours of the clock: Laurel's and Credly's clocks are moved on together."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.ledger.tables import BadgeIssuance
from tests.support.databases import sqlite_database
from tests.support.machine import LaurelMachine, Surroundings
from tests.support.standin import Standin

pytestmark = pytest.mark.usefixtures("unmeasured")

QUARTER = 15
USERS = ("ada", "bob", "cy")


@pytest.fixture
def laurel(migrated_file: Path, tmp_path: Path, shared_standin: Standin) -> Iterator[LaurelMachine]:
    surroundings = Surroundings(shared_standin, lambda: sqlite_database(tmp_path, copy_of=migrated_file))
    running: LaurelMachine = type("Machine", (LaurelMachine,), {"surroundings": surroundings})()
    running.begin(duplicates_allowed=True, assumed={})
    yield running
    running.teardown()  # which also holds that nobody has two badges, and who is owed one has it


@pytest.mark.parametrize("fault", [{"action": "answer", "status": 503}, {"action": "drop"}, {"action": "drop_after"}])
def test_credly_away_for_an_hour_costs_few_calls_and_no_badge(
    laurel: LaurelMachine, shared_standin: Standin, fault: dict[str, Any]
) -> None:
    for user in USERS:
        laurel.award(user, "forklift", 0)
    shared_standin.fault(**fault, count=None)
    before = len(shared_standin.requests())
    for _ in range(4):
        laurel.run([], [])
        laurel.let_time_pass(QUARTER)
    calls = len(shared_standin.requests()) - before
    shared_standin.control("DELETE", "faults")

    for _ in range(4):
        laurel.run([], [])
        laurel.let_time_pass(QUARTER)

    assert {row.state for row in laurel._rows(BadgeIssuance)} == {"issued"}
    assert len(shared_standin.badges()) == len(USERS)
    assert calls <= 4 * (2 + 2 * len(USERS))


def test_throttled_for_hours_uses_no_attempt(laurel: LaurelMachine, shared_standin: Standin) -> None:
    for user in USERS:
        laurel.award(user, "forklift", 0)
    shared_standin.fault("answer", method="POST", status=429, headers={"Retry-After": "7200"}, count=None)
    for _ in range(8):
        laurel.run([], [])
        laurel.let_time_pass(QUARTER)
    shared_standin.control("DELETE", "faults")
    laurel.let_time_pass(QUARTER)
    laurel.run([], [])

    rows = laurel._rows(BadgeIssuance)
    assert [(row.state, row.attempts) for row in rows] == [("issued", 1)] * len(USERS)
    assert len([r for r in shared_standin.requests() if r["status"] == 429]) == len(USERS)
