"""Runs every test. Arguments, and PYTEST_ARGS, go to pytest.

Coverage is measured, and its floors held, where CI=true says so or `--cov` is given: measuring takes a fifth of the
time. A part of the tests cannot hold the floors.
"""

import hashlib
import io
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from coverage import Coverage
from coverage.exceptions import NoDataError

ROOT = Path(__file__).resolve().parent.parent
# Two more than cores: a third of the time tests wait, for processes of their own and for the pace of calls.
PROCESSES = (os.cpu_count() or 1) + 2

# Where files are in memory: on a disk, tests wait 3 ms for each commit of the ledger and of Prefect's server.
_MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a folder of its own in it
_ROOM = 8 * 1024**3  # bytes; a whole run leaves less than a tenth of that

# Per cent of lines and branches together, by what it is counted over.
FLOORS: tuple[tuple[str, float], ...] = (
    ("*", 95.0),
    ("rules/*", 100.0),
    ("credly/errors.py", 100.0),
    ("models/ledger/tables.py", 100.0),
)


def scrubbed_environment(shell: Mapping[str, str], home: str) -> dict[str, str]:
    """Return the shell's environment without what would reach a real Prefect, Credly or database."""
    wanted = ("LAUREL_SANDBOX_", "LAUREL_CHROMIUM")  # which tests/contract and tests/browser use, if they are set
    ours = ("PREFECT_", "LAUREL_")
    kept = {name: value for name, value in shell.items() if name.startswith(wanted) or not name.startswith(ours)}
    if _has_room(_MEMORY):
        kept["TMPDIR"] = str(_MEMORY)
    return kept | {
        "PREFECT_HOME": home,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # Processes started in another folder write their coverage here too.
        "COVERAGE_FILE": str(ROOT / ".coverage"),
    }


def _has_room(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > _ROOM


def run_pytest(arguments: Sequence[str], *, measured: bool = False) -> int:
    """Run pytest on several processes, in random order but the slowest files first, and return its exit code."""
    processes = ["-n", str(PROCESSES), "--dist", "loadfile", "--no-loadscope-reorder"]
    coverage = ["--cov", "--cov-branch"] if measured else []
    command = [sys.executable, "-m", "pytest", *processes, *coverage]
    with tempfile.TemporaryDirectory(prefix="laurel-prefect-", ignore_cleanup_errors=True) as home:
        environment = scrubbed_environment(os.environ, home)
        return subprocess.run([*command, *arguments], cwd=ROOT, env=environment, check=False).returncode


def below_floor(coverage: Coverage) -> list[str]:
    """Print what each floor is counted over, and return one sentence for each that does not hold."""
    found = []
    for pattern, floor in FLOORS:
        if not any(ROOT.glob(pattern)):
            continue
        percent = _percent(coverage, pattern)
        print(f"coverage {pattern:<18} {percent:6.2f} %, floor {floor:g} %")
        if percent < floor:
            found.append(f"coverage of {pattern} is below {floor:g} %: see the table above pytest's last line")
    return found


def _percent(coverage: Coverage, pattern: str) -> float:
    try:
        return coverage.report(include=None if pattern == "*" else [pattern], file=io.StringIO())
    except NoDataError:
        return 0.0


def calibration() -> float:
    """Return the seconds that a fixed piece of work takes on one core, so that times of two machines compare."""
    started = time.perf_counter()
    digest = b"laurel"
    for _ in range(1_000_000):
        digest = hashlib.sha256(digest).digest()
    return time.perf_counter() - started


def main(arguments: Sequence[str]) -> int:
    print(f"calibration: {calibration():.2f} s for a million hashes on one of {os.cpu_count()} cores", flush=True)
    arguments = [*shlex.split(os.environ.get("PYTEST_ARGS", "")), *arguments]
    os.chdir(ROOT)
    started = time.monotonic()
    measured = os.environ.get("CI") == "true" or "--cov" in arguments
    code = run_pytest([each for each in arguments if each != "--cov"], measured=measured)
    print(f"tests took {time.monotonic() - started:.0f} s")
    if not measured:
        return code
    coverage = Coverage(data_file=str(ROOT / ".coverage"))
    coverage.load()
    found = below_floor(coverage)
    for sentence in found:
        print(sentence, file=sys.stderr)
    return code or (1 if found else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
