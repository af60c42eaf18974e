"""What holds for every test: nothing of the shell's Prefect, Credly or database settings is seen."""

import gc
import os
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import certifi
import hypothesis
import pytest

from settings import Settings
from tests.support.locks import runtime_python

__all__ = ["runtime_python"]

_PREFECT_HOME = tempfile.TemporaryDirectory(prefix="laurel-prefect-", ignore_cleanup_errors=True)


def _one_authority(folder: Path) -> str:
    """Return a file with one certificate: each of Prefect's clients reads all, for longer than a test's calls take."""
    file = folder / "authority.pem"
    end = "-----END CERTIFICATE-----\n"
    file.write_text(Path(certifi.where()).read_text().partition(end)[0] + end)
    return str(file)


def _scrub_environment() -> None:
    for name in [name for name in os.environ if name.startswith(("LAUREL_", "PREFECT_"))]:
        # The contract tests' own and the browser tests' own, set on purpose.
        if not name.startswith(("LAUREL_SANDBOX_", "LAUREL_CHROMIUM")):
            del os.environ[name]
    os.environ |= {
        "PREFECT_HOME": _PREFECT_HOME.name,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # A task called by its .fn logs outside a run, which is no mistake here.
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_API_SSL_CERT_FILE": _one_authority(Path(_PREFECT_HOME.name)),
    }


# At import: test modules may import Prefect, which reads the environment once.
_scrub_environment()
Settings.model_config["env_file"] = None  # a developer's .env is not the tests' business


def pytest_unconfigure(config: pytest.Config) -> None:
    _PREFECT_HOME.cleanup()


# Files that take minutes, then folders: so no process ends long before the others.
_SLOWEST_FIRST = ("test_unattended", "test_in_the_browser", "test_demo", "test_machine")
_SLOW_FOLDERS = ("model", "acceptance", "browser", "flows", "integration")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""

    def place(item: pytest.Item) -> tuple[int, int]:
        return _index(_SLOWEST_FIRST, item.path.stem), _index(_SLOW_FOLDERS, item.path.parent.name)

    items.sort(key=place)


# What test modules import stays: looking through it for garbage takes a quarter of the time of collecting tests.
@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _index(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else len(names)


@pytest.fixture(scope="session", autouse=True)
def _no_statement_names_both_sides() -> Iterator[None]:
    from tests.support.two_sides import held_apart  # imports SQLAlchemy, which not every test needs at once

    with held_apart():
        yield


@pytest.fixture(scope="session", autouse=True)
def _shared_compilation() -> Iterator[None]:
    from tests.support.compiled import shared_compilation

    with shared_compilation():
        yield


@pytest.fixture
def unmeasured() -> Iterator[None]:
    """For tests that go over what others measure: without coverage, their own thread needs half the time."""
    measuring = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(measuring)


# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("laurel", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("laurel")
