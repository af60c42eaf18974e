from tests.integration.conftest import migrated_address, migrated_file, postgresql
from tests.support.running import light_address
from tests.support.small_standin import shared_standin

__all__ = [
    "light_address",
    "migrated_address",
    "migrated_file",
    "postgresql",
    "shared_standin",
]
