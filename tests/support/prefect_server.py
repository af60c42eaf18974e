"""A real Prefect server for tests: its own process, home and port, gone when the tests are."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

_NOT_NEEDED = ("SCHEDULER", "LATE_RUNS", "FOREMAN", "TRIGGERS", "PAUSE_EXPIRATIONS", "CANCELLATION_CLEANUP")
# What no test looks at keeps the server busy; one task run at a time, the default, does so as well.
_NONE: Mapping[str, str] = {}
_RECORDER = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}


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
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_until_healthy(f"{address}/health", server, log_file=home / "server.log")
            yield address
        finally:
            server.terminate()
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_until_healthy(url: str, server: subprocess.Popen[bytes], *, log_file: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"Prefect's server ended with {server.returncode}:\n{log_file.read_text()[-2000:]}")
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"Prefect's server does not answer:\n{log_file.read_text()[-2000:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
