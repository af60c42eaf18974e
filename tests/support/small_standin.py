"""The stand-in as fixtures: one for all tests of a process, empty but for the small world's organization."""

from collections.abc import Iterator

import pytest

from tests.support.standin import Standin, running_standin
from tests.support.world import SEED


@pytest.fixture(scope="session")
def shared_standin() -> Iterator[Standin]:
    """One stand-in for all tests of a process."""
    with running_standin() as running:
        yield running


@pytest.fixture
def standin(shared_standin: Standin) -> Standin:
    """A stand-in that knows the small world's organization, and nothing else."""
    shared_standin.control("POST", "reset")
    shared_standin.seed(**SEED)
    return shared_standin
