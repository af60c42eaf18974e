"""The two locks, and an environment that holds what the first of them names and nothing else."""

import re
import sys
import venv
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from settings import ROOT

RUNS, DEVELOPS = "requirements.lock", "requirements-dev.lock"


def entries(lock: str) -> list[str]:
    """Each requirement in one line, with its hashes."""
    joined = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", "")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


@cache
def locked(lock: str) -> dict[str, list[str]]:
    """The entries of each package; one has several where versions differ by platform."""
    found: dict[str, list[str]] = {}
    for entry in entries(lock):
        name = re.match(r"[\w.-]+", entry)
        assert name, entry
        found.setdefault(canonicalize_name(name[0]), []).append(entry)
    return found


@pytest.fixture(scope="session")
def runtime_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the packages of requirements.lock alone, each a link to the tests' own installation."""
    folder = tmp_path_factory.mktemp("runtime")
    venv.create(folder, symlinks=True)
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for package in _installed(locked(RUNS)):
        for name in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
            if not (site / name).exists():
                (site / name).symlink_to(Path(str(package.locate_file(name))))
    return folder / "bin" / "python"


def _installed(names: dict[str, list[str]]) -> Iterator[Distribution]:
    for name in names:
        try:
            yield distribution(name)
        except PackageNotFoundError:  # for another platform
            assert all(";" in entry for entry in names[name]), name
