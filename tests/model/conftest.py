from tests.integration.conftest import migrated_address, migrated_file, postgresql
from tests.support.running import _emptied, prefect_api, prefect_server
from tests.support.small_standin import shared_standin

__all__ = [
    "_emptied",
    "migrated_address",
    "migrated_file",
    "postgresql",
    "prefect_api",
    "prefect_server",
    "shared_standin",
]
