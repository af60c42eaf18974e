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
    ("due", "calls_per_second", "limit", "size"),
    [
        (1, 3, None, 1),
        (300, 3, None, 1),
        (301, 3, None, 2),
        (30_000, 3, 600, 2),
        (30_000, 3, None, 90),
        (30_000, 1000, None, 100),
        (1_000_000, 3, None, 90),
        (1_000_000, 1000, None, 150),
        (1_000_000, 0.01, None, 1),
    ],
)
def test_a_batch_ends_within_half_its_lease_at_the_pace_and_at_two_seconds_a_call(
    due: int, calls_per_second: float, limit: int | None, size: int
) -> None:
    configured = Settings(calls_at_once=10, task_runs_per_run=300, lease=600)

    assert batch_size(an_organization(due=due, calls_per_second=calls_per_second), configured, limit=limit) == size
