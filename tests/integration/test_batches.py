"""How many badges share a task run."""

import pytest

from models.claiming import DueOrganization
from settings import Settings
from tasks.drain import batch_size


def an_organization(*, due: int, calls_per_second: float) -> DueOrganization:
    return DueOrganization(
        organization_id="org-1",
        base_url="https://api.credly.com/v1",
        token_block="block",
        calls_per_second=calls_per_second,
        portal_ids=("portal-1",),
        due=due,
    )


@pytest.mark.parametrize(
    ("due", "together", "calls_per_second", "size"),
    [
        (0, 0, 3, 1),
        (1, 1, 3, 1),
        (300, 300, 3, 1),
        (301, 301, 3, 2),
        (600, 0, 3, 2),
        (100, 800, 3, 3),
        (100, 100_000, 3, 10),
        (8, 100_000, 3, 1),
        (30_000, 30_000, 3, 90),
        (30_000, 30_000, 1000, 100),
        (1_000_000, 1_000_000, 3, 90),
        (1_000_000, 1_000_000, 1000, 150),
        (1_000_000, 1_000_000, 0.01, 1),
    ],
)
def test_a_run_makes_few_task_runs_and_a_batch_ends_within_half_its_lease(
    due: int, together: int, calls_per_second: float, size: int
) -> None:
    configured = Settings(calls_at_once=10, task_runs_per_run=300, lease=600)
    organization = an_organization(due=due, calls_per_second=calls_per_second)

    assert batch_size(organization, configured, due=due, together=together) == size
