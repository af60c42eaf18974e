"""Dispatching: which organizations have work, and how many badges each may issue in this run."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from models import claiming
from models.claiming import DueOrganization
from tasks.resources import database, now


@task(name="dispatch", cache_policy=NO_CACHE, persist_result=False, retries=3, retry_delay_seconds=[1, 5, 20])
async def organizations_with_work(portals: list[str] | None = None) -> list[DueOrganization]:
    """Return the organizations with something due, or blocked by what may have been mended since.

    Args:
        portals: Only these portals' work; all if left out.
    """
    async with database().reading() as connection:
        return await claiming.due_organizations(connection, now=now(), portal_ids=portals)


def shares(organizations: list[DueOrganization], *, limit: int) -> list[tuple[DueOrganization, int]]:
    """Return how many badges each organization may issue so that all together stay within `limit`; 0 is no limit.

    An organization for which nothing is left is not in the list.
    """
    if not limit:
        return [(organization, 0) for organization in organizations]
    allotted = []
    for organization in organizations:
        share = min(limit, organization.due)
        limit -= share
        if share:
            allotted.append((organization, share))
    return allotted
