import sys
from collections.abc import Iterator

import pytest

from tests.integration.conftest import migrated_address, migrated_file, postgresql
from tests.support.running import prefect_api, prefect_server
from tests.support.small_standin import shared_standin

__all__ = ["migrated_address", "migrated_file", "postgresql", "prefect_api", "prefect_server", "shared_standin"]


@pytest.fixture(autouse=True)
def _unmeasured(prefect_server: str, shared_standin: object) -> Iterator[None]:
    """These go a thousand times over lines that other tests measure: measuring here only makes them slow.

    What tests share is started before, and is measured.
    """
    measuring = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(measuring)
