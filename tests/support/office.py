"""What `make up` starts, for tests: Prefect's server with its pages, the deployments of prefect.yaml, and a worker."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from settings import ROOT
from tests.support.prefect_server import running_prefect_server, unmeasured


@dataclass(frozen=True, kw_only=True)
class Office:
    """A running Prefect with a worker whose flows use the database."""

    api: str
    environment: Mapping[str, str] = field(repr=False)

    @property
    def address(self) -> str:
        """Where its pages are."""
        return self.api.removesuffix("/api")

    def everything_stored(self) -> str:
        """Return what Prefect's database holds, as text."""
        home = Path(self.environment["PREFECT_HOME"])
        return "".join(file.read_bytes().decode(errors="replace") for file in home.glob("prefect.db*"))

    def started(self, words: Sequence[str]) -> str:
        """Run a command line that starts a run, and return the run's id."""
        done = self.command(words)
        found = re.search(r"UUID: ([0-9a-f-]{36})", done.stdout)
        assert found, done.stdout + done.stderr
        return found[1]

    def command(self, words: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """Run a command line of Prefect's as a person does in the checkout."""
        return subprocess.run(
            [sys.executable, "-m", *words], cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )


@contextmanager
def running_office(folder: Path, *, database_url: str) -> Iterator[Office]:
    """Start everything; it is gone when the block ends."""
    with running_prefect_server(folder / "prefect", with_ui=True) as api:
        own = _environment(folder, api=api, database_url=database_url)
        office = Office(api=api, environment=unmeasured(os.environ) | own)
        _make_work_pool(api)
        with (
            _started(office, folder / "worker.log", "prefect", "worker", "start", "--pool", "badges"),
            _started(office, folder / "tokens.log", "demo.save_tokens") as tokens,
        ):
            deployed = office.command(["prefect", "--no-prompt", "deploy", "--all"])
            assert deployed.returncode == 0, deployed.stdout + deployed.stderr
            assert tokens.wait(timeout=60) == 0, (folder / "tokens.log").read_text()
            yield office


def _environment(folder: Path, *, api: str, database_url: str) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": api,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_WORKER_HEARTBEAT_SECONDS": "30",
        "PREFECT_CLI_COLORS": "false",
        "COLUMNS": "200",
        "LAUREL_ROOT": str(ROOT),
        "LAUREL_DATABASE_URL": database_url,
        "LAUREL_LOOKUP_GRACE": "0",
        "LAUREL_RETRY_DELAY": "0.05",
    }


def _make_work_pool(api: str) -> None:
    made = httpx.post(f"{api}/work_pools/", json={"name": "badges", "type": "process"}, timeout=30)
    made.raise_for_status()


@contextmanager
def _started(office: Office, log: Path, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=office.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
