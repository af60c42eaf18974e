"""What a measure runs against: databases, the stand-in, a Prefect server; each a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import psutil
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from bench.rows import seed
from demo import servers
from demo.servers import HOST, Server
from settings import ROOT

FOLDER = ROOT / ".laurel" / "bench"
_numbers = count(1)


@dataclass
class World:
    """The running servers, and where they are. Nothing of it outlives the stack."""

    stack: ExitStack
    engine: str = "sqlite"
    prefect: Server | None = None
    prefect_port: int = 0
    postgresql: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    def start_prefect(self) -> None:
        self.prefect_port = servers.free_port()
        home = FOLDER / "prefect"
        shutil.rmtree(home, ignore_errors=True)
        self.environment = servers.prefect_environment(self.prefect_port) | {"PREFECT_HOME": str(home)}
        command = ["scripts.prefect_server", "start", "--host", HOST, "--port", str(self.prefect_port)]
        self.prefect = servers.start(self.stack, "bench-prefect-server", command, self.environment)
        self.prefect.wait_until(lambda: servers.ask(self.prefect_port, "/api/health") is True)

    def start_standin(self, *, latency_ms: float, organizations: int = 1, calls_per_second: int = 0) -> "Standin":
        """Start a stand-in that answers after so many milliseconds and fails only what exceeds the pace, if any."""
        port, name = servers.free_port(), f"bench-standin-{next(_numbers)}"
        seed_file = FOLDER / f"{name}.json"
        seed_file.write_text(json.dumps(seed(organizations)), encoding="utf-8")
        command = ["credly.standin", "--host", HOST, "--port", str(port), "--seed", str(seed_file)]
        limits = ["--latency-ms", str(latency_ms), "--calls-per-second", str(calls_per_second)]
        server = servers.start(self.stack, name, [*command, *limits], os.environ)
        server.wait_until(lambda: servers.ask(port, "/_standin/health") == {"status": "ok"})
        return Standin(port=port, server=server)

    def new_database(self) -> str:
        """Return the address of a new and empty database on the chosen engine."""
        if self.engine == "sqlite":
            file = FOLDER / f"laurel-{next(_numbers)}.db"
            self.stack.callback(remove_sqlite, file)
            return f"sqlite:///{file}"
        self.postgresql = self.postgresql or self.stack.enter_context(running_postgresql())
        return create_database(self.postgresql, f"laurel_{next(_numbers)}")

    def run(self, module: str, *arguments: object, database: str = "", **settings: object) -> dict[str, Any]:
        """Run a module in a process of its own and return the JSON of its last line."""
        return self.begin(module, *arguments, database=database, **settings).result()

    def begin(self, module: str, *arguments: object, database: str = "", **settings: object) -> "Running":
        chosen = {f"LAUREL_{name.upper()}": str(value) for name, value in settings.items()}
        environment = (
            (self.environment or dict(os.environ)) | chosen | ({"LAUREL_DATABASE_URL": database} if database else {})
        )
        running = Running(module, [str(each) for each in arguments], environment)
        self.stack.callback(running.stop)
        return running


@dataclass(frozen=True, kw_only=True)
class Standin:
    port: int
    server: Server

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self.port}/v1"

    def requests(self) -> list[dict[str, Any]]:
        return list(servers.ask(self.port, "/_standin/requests", timeout=60)["requests"])

    def badges_made(self) -> int:
        return sum(1 for each in self.requests() if each["method"] == "POST" and each["status"] == 201)

    def always(self, path: str, **answer: object) -> None:
        """Answer every request of such a path in this way."""
        fault = {"action": "answer", "path": path, "count": None, **answer}
        servers.ask(self.port, "/_standin/faults", body=fault)

    @property
    def cpu_seconds(self) -> float:
        return cpu_of(self.server.process.pid)


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process and of those it has started."""
    main = psutil.Process(pid)
    return sum(sum(each.cpu_times()[:2]) for each in (main, *main.children(recursive=True)))


class Running:
    """A module that runs in a process of its own and prints JSON as its last line."""

    def __init__(self, module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.module = module
        self._said, self._complained = TemporaryFile("w+"), TemporaryFile("w+")  # noqa: SIM115 - gone with us
        command = [sys.executable, "-m", module, *arguments]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=dict(environment), stdout=self._said, stderr=self._complained, text=True
        )

    def result(self) -> dict[str, Any]:
        """Wait for its end and return that JSON. After a failure, raise with the end of its output."""
        code = self.process.wait()
        for file in (self._said, self._complained):
            file.seek(0)
        lines = self._said.read().splitlines()
        if code or not lines:
            said = (lines + self._complained.read().splitlines())[-25:]
            raise servers.DemoError("\n".join([f"{self.module} ended with {code}", *said]))
        found: dict[str, Any] = json.loads(lines[-1])
        return found

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def remove_sqlite(file: Path) -> None:
    for each in file.parent.glob(f"{file.name}*"):
        each.unlink()


@contextmanager
def running_postgresql() -> Iterator[str]:
    """Start a PostgreSQL server of its own that keeps its promise at each commit, as in production."""
    from tests.support.databases import running_postgresql as started

    with started() as address:
        yield address


def create_database(server: str, name: str) -> str:
    engine = create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    return server.replace("/postgres?", f"/{name}?")


@contextmanager
def world(engine: str) -> Iterator[World]:
    """Give a world without any server, in an empty folder; whatever a measure starts in it is stopped at its end."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with ExitStack() as stack:
        yield World(stack=stack, engine=engine)
