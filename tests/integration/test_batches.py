"""How many badges share a task run."""

import pytest

from settings import Settings
from tasks.issuing.badge import LONGEST_CALL
from tasks.issuing.drain import batch_size


@pytest.mark.parametrize(
    ("due", "together", "calls_per_second", "size"),
    [
        (0, 0, 3, 1),
        (1, 1, 3, 1),
        (300, 300, 3, 1),
        (301, 301, 3, 2),
        (600, 0, 3, 2),
        (100, 800, 3, 3),
        (100, 100_000, 3, 5),
        (8, 100_000, 3, 1),
        (30_000, 30_000, 3, 45),
        (30_000, 30_000, 1000, 75),
        (1_000_000, 1_000_000, 3, 45),
        (1_000_000, 1_000_000, 1000, 75),
        (1_000_000, 1_000_000, 0.01, 1),
    ],
)
def test_a_run_makes_few_task_runs_and_a_batch_ends_within_half_its_lease(
    due: int, together: int, calls_per_second: float, size: int
) -> None:
    configured = Settings(calls_at_once=10, task_runs_per_run=300, lease=600)

    assert batch_size(configured, due=due, together=together, calls_per_second=calls_per_second) == size


def test_the_shortest_lease_has_room_for_the_longest_call() -> None:
    least = next(each.ge for each in Settings.model_fields["lease"].metadata if hasattr(each, "ge"))

    assert least > LONGEST_CALL
