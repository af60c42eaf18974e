"""How many badges share a task run, and how many are in progress."""

import pytest

from settings import Settings
from tasks.issuing.badge import LONGEST_CALL
from tasks.issuing.drain import batch_size, most_in_progress


@pytest.mark.parametrize(
    ("due", "calls_per_second", "size"),
    [
        (0, 3, 1),
        (1, 3, 1),
        (300, 3, 1),
        (301, 3, 2),
        (600, 3, 2),
        (20_000, 3, 67),
        (1_000_000, 3, 100),
        (1_000_000, 0.3, 70),
        (1_000_000, 0.1, 10),
        (1_000_000, 0.01, 1),
    ],
)
def test_a_run_makes_few_task_runs_and_a_batch_ends_within_half_its_lease(
    due: int, calls_per_second: float, size: int
) -> None:
    configured = Settings(calls_at_once=10, task_runs_per_run=300, lease=600)

    assert batch_size(configured, due=due, calls_per_second=calls_per_second) == size


@pytest.mark.parametrize(("calls_per_second", "badges"), [(1000, 20), (3, 20), (0.05, 15), (0.001, 1)])
def test_as_many_badges_are_in_progress_as_can_be_sent_within_half_a_lease(
    calls_per_second: float, badges: int
) -> None:
    configured = Settings(calls_at_once=10, lease=600)

    assert most_in_progress(configured, calls_per_second=calls_per_second) == badges


def test_the_shortest_lease_has_room_for_the_longest_call() -> None:
    least = next(each.ge for each in Settings.model_fields["lease"].metadata if hasattr(each, "ge"))

    assert least > LONGEST_CALL
