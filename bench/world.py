"""What a measure runs against: databases, the stand-in, a Prefect server; each a process of its own."""

import asyncio
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
from typing import Any

import psutil
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
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
        """Start Prefect's server with a home of its own."""
        self.prefect_port = servers.free_port(0)
        home = FOLDER / "prefect"
        shutil.rmtree(home, ignore_errors=True)
        self.environment = servers.prefect_environment(self.prefect_port) | {"PREFECT_HOME": str(home)}
        command = ["prefect", "server", "start", "--host", HOST, "--port", str(self.prefect_port)]
        self.prefect = servers.start(self.stack, "bench-prefect-server", command, self.environment)
        self.prefect.wait_until(lambda: servers.ask(self.prefect_port, "/api/health") is True)

    def start_standin(self, *, latency_ms: float, organizations: int = 1) -> "Standin":
        """Start a stand-in that answers after so many milliseconds and never fails."""
        port, name = servers.free_port(0), f"bench-standin-{next(_numbers)}"
        seed_file = FOLDER / f"{name}.json"
        seed_file.write_text(json.dumps(seed(organizations)), encoding="utf-8")
        command = ["credly.standin", "--host", HOST, "--port", str(port), "--seed", str(seed_file)]
        server = servers.start(self.stack, name, [*command, "--latency-ms", str(latency_ms)], os.environ)
        server.wait_until(lambda: servers.ask(port, "/_standin/health") == {"status": "ok"})
        return Standin(port=port, server=server)

    def new_database(self) -> str:
        """Return the address of a new and empty database on the chosen engine."""
        if self.engine == "sqlite":
            file = FOLDER / f"laurel-{next(_numbers)}.db"
            self.stack.callback(remove_sqlite, file)
            return f"sqlite+aiosqlite:///{file}"
        self.postgresql = self.postgresql or self.stack.enter_context(running_postgresql())
        return asyncio.run(create_database(self.postgresql, f"laurel_{next(_numbers)}"))

    def run(self, module: str, *arguments: object, database: str = "", **settings: object) -> dict[str, Any]:
        """Run a module in a process of its own and return the JSON of its last line."""
        chosen = {f"LAUREL_{name.upper()}": str(value) for name, value in settings.items()}
        environment = (
            (self.environment or dict(os.environ)) | chosen | ({"LAUREL_DATABASE_URL": database} if database else {})
        )
        return run_process(module, [str(each) for each in arguments], environment)


@dataclass(frozen=True, kw_only=True)
class Standin:
    """A running stand-in."""

    port: int
    server: Server

    @property
    def base_url(self) -> str:
        """Return where its API is."""
        return f"http://{HOST}:{self.port}/v1"

    @property
    def cpu_seconds(self) -> float:
        """Return how much CPU it has used so far."""
        return cpu_of(self.server.process.pid)


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process and of those it has started."""
    main = psutil.Process(pid)
    return sum(sum(each.cpu_times()[:2]) for each in (main, *main.children(recursive=True)))


def run_process(module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Run a module and return the JSON of its last line; raise with the end of what it said otherwise."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=dict(environment), capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise servers.DemoError(
            "\n".join([f"{module} ended with {done.returncode}", *(lines + done.stderr.splitlines())[-25:]])
        )
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def remove_sqlite(file: Path) -> None:
    """Remove a database with what SQLite keeps beside it."""
    for each in file.parent.glob(f"{file.name}*"):
        each.unlink()


@contextmanager
def running_postgresql() -> Iterator[str]:
    """Start a PostgreSQL server of its own that keeps its promise at each commit, as in production."""
    from tests.support.databases import running_postgresql as started

    with started() as address:
        yield address


async def create_database(server: str, name: str) -> str:
    """Make a database on the server and return its address."""
    engine = create_async_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
    await engine.dispose()
    return server.replace("/postgres?", f"/{name}?")


@contextmanager
def world(engine: str) -> Iterator[World]:
    """Give a world without any server, in an empty folder; whatever a measure starts in it is stopped at its end."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with ExitStack() as stack:
        yield World(stack=stack, engine=engine)
