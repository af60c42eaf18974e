"""Workers of the pool `badges` in processes of their own, and what they take their work from."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from demo.servers import groups_below
from settings import ROOT
from tests.support.prefect_server import unmeasured


def deploy(api: str, names: Sequence[str]) -> None:
    """Make the work pool, and apply these deployments of prefect.yaml."""
    _prefect(api, ["work-pool", "create", "badges", "--type", "process", "--overwrite"])
    for name in names:
        _prefect(api, ["--no-prompt", "deploy", "--name", name])


@contextmanager
def worker(api: str, log: Path, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker until the block ends; its runs end with it."""
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "badges"]
    own = _environment(api) | {"PREFECT_WORKER_QUERY_SECONDS": "1"} | dict(environment or {})
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=own, stdout=output, stderr=output, start_new_session=True)
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a worker and the flow runs that it has started, as a power cut does."""
    if process.poll() is None:
        for group in groups_below(process.pid) | {process.pid}:
            os.killpg(group, 9)
    process.wait(timeout=30)


def _prefect(api: str, command: Sequence[str]) -> None:
    whole = [sys.executable, "-m", "prefect", *command]
    subprocess.run(whole, cwd=ROOT, env=_environment(api), check=True, timeout=120)


def _environment(api: str) -> dict[str, str]:
    return {**unmeasured(os.environ), "PREFECT_API_URL": api, "LAUREL_ROOT": str(ROOT), "LAUREL_PYTHON": sys.executable}
