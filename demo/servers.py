"""Starts the processes of the demo, `make up` and `make start`, waits until they answer, and stops them all."""

import fcntl
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import psutil

from rules.monitoring.alerts import RECONCILED
from rules.monitoring.liveness import HEARTBEAT, PREFECTS_HEARTBEAT, PROGRESS, RUN_ENDED
from rules.monitoring.schedule import NEXT_RUNS
from settings import ONLY_THE_OWNER, ROOT

HOST = "127.0.0.1"
PREFECT_PORT = 4200
STANDIN_PORT = 8090
# As on any network: a stand-in that never fails would demonstrate little.
FAULT_SHARE = 0.02
RUNS_AT_ONCE = 8
FOLDER = ROOT / ".laurel"
READY_WITHIN_SECONDS = 60.0
STOPPED_WITHIN_SECONDS = 10.0
SET_UP_WITHIN_SECONDS = 180.0
LOG_LINES_SHOWN = 15
EVENTS_KEPT_SECONDS = 2 * 3600
FREQUENT_EVENTS = (
    *(
        f"prefect.flow-run.{each}"
        for each in ("Submitting", "Pending", "Running", "Completed", "Nothing due", "Cancelled")
    ),
    *(f"prefect.task-run.{each}" for each in ("Pending", "Running", "Completed")),
    *(PREFECTS_HEARTBEAT, "prefect.flow-run.pull-step.executed"),
    *("prefect.worker.submitted-flow-run", "prefect.worker.executed-flow-run"),
    *(HEARTBEAT, PROGRESS, RUN_ENDED, RECONCILED),
)


class DemoError(Exception):
    """Something that ends the demo with one clear sentence and no traceback."""


def free_port(usual: int | None = None) -> int:
    """Return the usual port, or another one when it is taken, or reserved for a process that is just starting."""
    for port in (*([usual] if usual else []), *random.sample(_OTHER_PORTS, 100)):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            if port not in _reserved:
                _reserve(port)
                return port
    raise DemoError("No port of 127.0.0.1 is free.")


# Below those that any system gives to outgoing connections: one of these could take the port before its server listens.
_OTHER_PORTS = range(20_000, 32_000)
_reserved: set[int] = set()


@cache
def _reservations() -> int:
    # Never closed: closing any descriptor of the file would end all of this process's locks on it.
    return os.open(Path(tempfile.gettempdir()) / f"laurel-ports-{os.getuid()}.lock", os.O_RDWR | os.O_CREAT, 0o600)


def _reserve(port: int) -> None:
    # A server takes seconds to listen. Until then a lock on the port's byte, held until this process ends, keeps it.
    fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    _reserved.add(port)


def ask(port: int, path: str, *, body: Mapping[str, Any] | None = None, method: str = "", timeout: float = 10) -> Any:
    """Return the JSON that a server of this machine answers; raise OSError when it does not answer well.

    The method is POST where there is a body, else GET, unless another one is given.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        if body is None:
            connection.request(method or "GET", path)
        else:
            connection.request(method or "POST", path, json.dumps(body), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        text = reply.read()
    except http.client.HTTPException as error:
        raise OSError(f"No answer from port {port} to {path}.") from error
    finally:
        connection.close()
    if reply.status >= 300:
        raise OSError(f"Port {port} answers {path} with status {reply.status}.")
    return json.loads(text) if text else None


@contextmanager
def only_one_here() -> Iterator[None]:
    """Hold the checkout's lock, so that the demo never removes the files of a running `make up`."""
    os.umask(ONLY_THE_OWNER)  # also for the processes that are started, and their logs
    FOLDER.mkdir(exist_ok=True)
    FOLDER.chmod(0o700)
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DemoError(
                "`make up` or `make demo` is already running in this folder; stop it first (Ctrl-C)."
            ) from error
        yield


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Turn Ctrl-C, SIGTERM and SIGHUP into one SystemExit, so that all started processes are stopped.

    Signals that the parent process ignores (nohup) stay ignored.
    """

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        # A second signal must not interrupt the stopping.
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        sys.stderr.write("\nStopping ...\n")
        raise SystemExit(128 + number)

    stopping = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in stopping if signal.getsignal(number) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Server:
    """A process of this machine in a group of its own, with a log file."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = FOLDER / "logs" / f"{name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Return once `ready` holds; raise with the end of the log when the process ends or takes too long."""
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise self.failure(f"ended with code {self.process.returncode}")
            with suppress(OSError, ValueError):
                if ready():
                    return
            time.sleep(0.1)
        raise self.failure(f"was not ready after {READY_WITHIN_SECONDS:.0f} seconds")

    def listens_on(self, port: int) -> bool:
        # Another process may have taken the port a moment before.
        with suppress(psutil.Error):
            main = psutil.Process(self.process.pid)
            found = [each for process in (main, *main.children(recursive=True)) for each in process.net_connections()]
            return any(each.status == psutil.CONN_LISTEN and each.laddr[1] == port for each in found)
        return False

    def finish(self, *, within_seconds: float, meanwhile: Callable[[], None]) -> None:
        """Return when the process has ended well, calling `meanwhile` as it goes on; raise otherwise."""
        deadline = time.monotonic() + within_seconds
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise self.failure(f"had not ended after {within_seconds:.0f} seconds")
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=1)
            meanwhile()
        if self.process.returncode != 0:
            raise self.failure(f"ended with code {self.process.returncode}")

    def failure(self, what: str) -> DemoError:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        return DemoError("\n".join([f"{self.name} {what}. The end of {self.log.relative_to(ROOT)}:", *lines]))

    def stop(self) -> None:
        """End the process and all that it started: asked first, then killed.

        A worker's flow runs are in groups of their own, so their groups are looked up before their parent goes.
        """
        groups = {self.process.pid} | groups_below(self.process.pid)
        for number, seconds in ((signal.SIGTERM, STOPPED_WITHIN_SECONDS), (signal.SIGKILL, 5.0)):
            for group in groups:
                with suppress(ProcessLookupError):
                    os.killpg(group, number)
            if self._gone(groups, within_seconds=seconds):
                return

    def _gone(self, groups: set[int], *, within_seconds: float) -> bool:
        deadline = time.monotonic() + within_seconds
        while time.monotonic() < deadline:
            self.process.poll()
            if not any(_is_alive(group) for group in groups):
                return True
            time.sleep(0.05)
        return False


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def groups_below(ancestor: int) -> set[int]:
    """Return the process groups of everything that a process has started, directly or not."""
    children: dict[int, list[int]] = {}
    for pid, parent in _processes():
        children.setdefault(parent, []).append(pid)
    groups: set[int] = set()
    below = list(children.get(ancestor, []))
    while below:
        pid = below.pop()
        below.extend(children.get(pid, []))
        with suppress(ProcessLookupError):
            groups.add(os.getpgid(pid))
    return groups


def _processes() -> Iterator[tuple[int, int]]:
    # From /proc on Linux, otherwise from ps, as on macOS.
    if Path("/proc/self/stat").exists():
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                yield int(stat.parent.name), int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
        return
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False)
    for line in listed.stdout.splitlines():
        pid, parent = line.split()
        yield int(pid), int(parent)


def prefect_environment(port: int) -> dict[str, str]:
    """Return the environment of processes that use the Prefect server at this port: no other settings of Prefect."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    past_proxies = ",".join(filter(None, [os.environ.get("NO_PROXY", os.environ.get("no_proxy")), HOST, "localhost"]))
    return kept | {
        "NO_PROXY": past_proxies,
        "no_proxy": past_proxies,
        "PREFECT_HOME": str(FOLDER / "prefect"),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_UI_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
        # One task run at a time, the default, keeps the server too busy to start the next sub-flow for many seconds.
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        # In memory, the default, a restart loses who holds the schedule's one slot, which then is never freed.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        # The default, 300 seconds, is how long a run that dies before it begins keeps that slot.
        "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": "150",
        # Each run leaves some of these, also the one each minute that has nothing to do.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_EVENT_RETENTION_OVERRIDES": json.dumps(
            dict.fromkeys(FREQUENT_EVENTS, EVENTS_KEPT_SECONDS), separators=(",", ":")
        ),
        # The default, 10 seconds, is a long wait after starting a run on the page.
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_CLI_COLORS": "false",
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
        "LAUREL_ROOT": str(ROOT),
        "LAUREL_PYTHON": sys.executable,
    }


def start(stack: ExitStack, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Server:
    server = Server(name, command, environment)
    stack.callback(server.stop)
    return server


def start_prefect(stack: ExitStack, port: int) -> Server:
    """Start Prefect's server with its UI; wait for it with `prefect_ready`."""
    command = ["scripts.prefect_server", "start", "--host", HOST, "--port", str(port)]
    return start(stack, "prefect-server", command, prefect_environment(port))


def prefect_ready(server: Server, port: int) -> bool:
    return server.listens_on(port) and ask(port, "/api/health") is True


def start_standin(stack: ExitStack, port: int, *, database: Path, seed: Mapping[str, Any]) -> Server:
    """Start the stand-in for Credly with this seed, which it uses if its database is new."""
    # Its lists do not lag, so that a badge not found there after a second was not made.
    os.environ.setdefault("LAUREL_LOOKUP_GRACE", "1")
    seed_file = FOLDER / "standin-seed.json"
    seed_file.write_text(json.dumps(seed, ensure_ascii=False, indent=1), encoding="utf-8")
    command = ["credly.standin", "--host", HOST, "--port", str(port)]
    command += ["--database", str(database), "--seed", str(seed_file), "--fault-share", str(FAULT_SHARE)]
    return start(stack, "credly-standin", command, os.environ)


def standin_ready(server: Server, port: int) -> bool:
    return server.listens_on(port) and ask(port, "/_standin/health") == {"status": "ok"}


def start_worker(stack: ExitStack, prefect_port: int) -> Server:
    # A limit, because more runs at once would only slow each other down.
    command = ["prefect", "worker", "start", "--pool", "badges", "--type", "process", "--limit", str(RUNS_AT_ONCE)]
    return start(stack, "prefect-worker", command, prefect_environment(prefect_port))


def run(name: str, command: Sequence[str], environment: Mapping[str, str], *, within_seconds: float = 90) -> str:
    with ExitStack() as stack:
        process = start(stack, name, command, environment)
        process.finish(within_seconds=within_seconds, meanwhile=lambda: None)
        return process.log.read_text(encoding="utf-8")


def set_up_laurel(prefect_port: int) -> list[str]:
    """Run `scripts.setup_deployment`, and return its lines about the next runs, that of reconcile first."""
    environment = prefect_environment(prefect_port)
    printed = run("setup", ["scripts.setup_deployment"], environment, within_seconds=SET_UP_WITHIN_SECONDS)
    return [line for line in printed.partition(NEXT_RUNS)[2].splitlines() if line.startswith("  ")]


def worker_online(prefect_port: int) -> bool:
    workers = ask(prefect_port, "/api/work_pools/badges/workers/filter", body={})
    return any(worker["status"] == "ONLINE" for worker in workers)


def start_laurel(stack: ExitStack, prefect_port: int) -> tuple[Server, list[str]]:
    """Set up what is new since the last start, and start a worker. Returns it with the lines about the next runs."""
    next_runs = set_up_laurel(prefect_port)
    worker = start_worker(stack, prefect_port)
    worker.wait_until(lambda: worker_online(prefect_port))
    return worker, next_runs
