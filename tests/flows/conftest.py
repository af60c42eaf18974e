"""The flows on both databases and the stand-in, without Prefect's engine and server (tests/support/light_prefect.py).

A test that is marked `prefect` runs in the engine, and on a real server, as all in tests/acceptance do.
"""

from collections.abc import Iterator

import pytest

from tests.integration.conftest import _migrated, database, migrated_address, migrated_file, postgresql
from tests.support.light_prefect import light_engine
from tests.support.running import _emptied, any_world, light_address, prefect_api, prefect_server, world
from tests.support.small_standin import shared_standin, standin

__all__ = [
    "_emptied",
    "_migrated",
    "any_world",
    "database",
    "light_address",
    "migrated_address",
    "migrated_file",
    "postgresql",
    "prefect_api",
    "prefect_server",
    "shared_standin",
    "standin",
    "world",
]


@pytest.fixture
def light_secrets(request: pytest.FixtureRequest) -> Iterator[dict[str, str] | None]:
    """The Secret blocks of a test without Prefect, by name; None for one that is marked `prefect`."""
    if request.node.get_closest_marker("prefect"):
        request.getfixturevalue("prefect_server")
        yield None
    else:
        with light_engine():
            yield {}
