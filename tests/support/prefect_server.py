"""A real Prefect server for tests: its own process, home and port, gone when the tests are."""

import atexit
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import httpx

from demo.servers import free_port
from settings import ROOT
from tests.support.waiting import until

_NONE: Mapping[str, str] = {}
# One task run at a time, the default, keeps the server busy.
_RECORDER = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}
# What the first server has in its home before anything is asked of it: the next ones need not migrate theirs.
_NEW_HOME = tempfile.TemporaryDirectory(prefix="laurel-prefect-", ignore_cleanup_errors=True)
atexit.register(_NEW_HOME.cleanup)
_DATABASE, _BLOCKS_ARE_THERE = "prefect.db", "memo_store.toml"


def unmeasured(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a process of Prefect's alone: measuring its coverage only makes it slow."""
    return {name: value for name, value in environment.items() if name != "COVERAGE_PROCESS_CONFIG"}


@contextmanager
def running_prefect_server(
    home: Path,
    *,
    port: int = 0,
    with_ui: bool = False,
    settings: Mapping[str, str] = _NONE,
    may_log: Sequence[str] = (),
) -> Iterator[str]:
    """Start a server with every service on, and its pages if wanted; wait until it answers, and give its API's address.

    At its end its log is read, up to the moment when it was stopped: an error that does not match one of `may_log`
    fails the test that ended it.
    """
    port = port or free_port()
    address = f"http://127.0.0.1:{port}/api"
    environment = (
        unmeasured(os.environ)
        | {
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": address,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_UI_ENABLED": str(with_ui).lower(),
            "PREFECT_SERVER_UI_API_URL": address,
            "PREFECT_UI_STATIC_DIRECTORY": str(home / "ui"),  # else servers at once overwrite each other's pages
            "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
        }
        | _RECORDER
        | dict(settings)
    )
    _furnish(home)
    log_file = home / "server.log"
    command = [sys.executable, "-m", "scripts.prefect_server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with log_file.open("ab") as log:
        begins_at = log.tell()
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_until_healthy(f"{address}/health", server, log_file=log_file)
            _remember_new(home)
            yield address
        finally:
            ends_at = log_file.stat().st_size  # what it was about to write when it was stopped is cancelled, and logged
            server.terminate()
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    assert_no_errors(log_file, may_log=may_log, begins_at=begins_at, ends_at=ends_at)


def remove_what_is_left(address: str) -> None:
    """Delete deployments, automations and runs that have not ended."""
    not_ended = {"flow_runs": {"state": {"type": {"not_any_": ["COMPLETED", "FAILED", "CANCELLED", "CRASHED"]}}}}
    with httpx.Client(base_url=address, timeout=60) as http:
        for kind, wanted in (("automations", {}), ("deployments", {}), ("flow_runs", not_ended)):
            for each in http.post(f"/{kind}/filter", json=wanted).raise_for_status().json():
                http.delete(f"/{kind}/{each['id']}").raise_for_status()


def assert_no_errors(
    log_file: Path, *, may_log: Sequence[str] = (), begins_at: int = 0, ends_at: int | None = None
) -> None:
    """Fail where a process logged an error or a traceback that the test does not expect."""
    lines = log_file.read_bytes()[begins_at:ends_at].decode(errors="replace").splitlines()
    found = [
        line
        for line in lines
        if re.search(r"\bERROR\b|\bCRITICAL\b|^Traceback", line) and not any(re.search(each, line) for each in may_log)
    ]
    assert found == [], f"{log_file} has {len(found)} errors, see there: {found[:3]}"


def _furnish(home: Path) -> None:
    """Make the home, with the database of a new server if there has been one."""
    home.mkdir(parents=True, exist_ok=True)
    if not (home / _DATABASE).exists():
        shutil.copytree(_NEW_HOME.name, home, dirs_exist_ok=True)


def _remember_new(home: Path) -> None:
    """Keep what the first server has made."""
    kept = Path(_NEW_HOME.name)
    if not any(kept.iterdir()) and (home / _BLOCKS_ARE_THERE).exists():
        with closing(sqlite3.connect(home / _DATABASE)) as source, closing(sqlite3.connect(kept / _DATABASE)) as copy:
            source.backup(copy)
        shutil.copy(home / _BLOCKS_ARE_THERE, kept)


def _wait_until_healthy(url: str, server: subprocess.Popen[bytes], *, log_file: Path) -> None:
    with httpx.Client(timeout=2) as http:

        def answers() -> bool:
            if server.poll() is not None:
                raise RuntimeError(f"Prefect's server ended with {server.returncode}:\n{log_file.read_text()[-2000:]}")
            try:
                return http.get(url).is_success
            except httpx.HTTPError:
                return False

        until(answers, what=f"Prefect's server answers, see {log_file}", within=120)
