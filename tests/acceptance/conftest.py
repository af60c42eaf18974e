"""The acceptance tests run flows on the real parts: both databases, Prefect's server, the stand-in."""

from tests.integration.conftest import _migrated, database, mariadb, migrated_address, migrated_file, postgresql
from tests.support.demo_checkout import checkout, demo
from tests.support.running import _emptied, any_world, light_secrets, prefect_api, prefect_server, world
from tests.support.small_standin import shared_standin, standin

__all__ = [
    "_emptied",
    "_migrated",
    "any_world",
    "checkout",
    "database",
    "demo",
    "light_secrets",
    "mariadb",
    "migrated_address",
    "migrated_file",
    "postgresql",
    "prefect_api",
    "prefect_server",
    "shared_standin",
    "standin",
    "world",
]
