"""Random sequences of all that can happen, on both databases; `make soak` tries others for as long as it is told."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.databases import ENGINES, migrated_postgresql_database, sqlite_database
from tests.support.machine import LaurelMachine, Surroundings
from tests.support.standin import Standin

pytestmark = pytest.mark.usefixtures("unmeasured")

BOUNDED = settings(
    max_examples=8,
    stateful_step_count=30,
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=False,
    phases=[Phase.generate],  # a sequence that fails is shrunk by hand, with Phase.shrink: it takes minutes
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a run that dies closes nothing
@pytest.mark.parametrize("engine", ENGINES)
def test_whatever_happens_nobody_gets_two_badges_and_none_is_lost(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path, shared_standin: Standin
) -> None:
    if engine == "sqlite":
        file = request.getfixturevalue("migrated_file")
        surroundings = Surroundings(shared_standin, lambda: sqlite_database(tmp_path, copy_of=file))
    else:
        address = request.getfixturevalue("migrated_address")
        surroundings = Surroundings(shared_standin, lambda: migrated_postgresql_database(address))
    machine = type("Machine", (LaurelMachine,), {"surroundings": surroundings})

    run_state_machine_as_test(machine, settings=BOUNDED, _min_steps=20)

    print(surroundings.tried)
    lost_answers = sum(surroundings.tried[f"fault {how}_after"] for how in ("drop", "cut", "answer"))
    assert min(lost_answers, *(surroundings.tried[what] for what in ("crashes", "badges", "at once"))) > 0
