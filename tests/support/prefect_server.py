"""A real Prefect server for tests: its own process, home and port, gone when the tests are."""

import atexit
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import httpx

from tests.support.waiting import until

_NOT_NEEDED = ("SCHEDULER", "LATE_RUNS", "FOREMAN", "TRIGGERS", "PAUSE_EXPIRATIONS", "CANCELLATION_CLEANUP")
# What no test looks at keeps the server busy; one task run at a time, the default, does so as well.
_NONE: Mapping[str, str] = {}
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


def _light(needed: Collection[str]) -> dict[str, str]:
    off = [name for name in _NOT_NEEDED if name not in needed]
    return _RECORDER | {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in off}


@contextmanager
def running_prefect_server(
    home: Path,
    *,
    port: int = 0,
    with_ui: bool = False,
    needed: Collection[str] = (),
    settings: Mapping[str, str] = _NONE,
) -> Iterator[str]:
    """Start a server, with its pages if wanted, wait until it answers, and give its API's address.

    `needed` names services to leave on that most tests can do without.
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
        | _light(needed)
        | dict(settings)
    )
    _furnish(home)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_until_healthy(f"{address}/health", server, log_file=home / "server.log")
            _remember_new(home)
            yield address
        finally:
            server.terminate()
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
