"""What the README sets up, for tests: Prefect's server, `scripts.setup_deployment`, and a worker that may be killed."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx

from demo.servers import free_port
from settings import ROOT
from tests.support.prefect_server import assert_no_errors, running_prefect_server, unmeasured
from tests.support.waiting import until
from tests.support.workers import worker

MISTAKES_IN_FORMS = (r"Flow run '.*' - (\w+: |Finished in state Failed)",)


class Installation:
    """A Prefect server and workers of one Laurel. `settings` are environment variables, of the server as well."""

    def __init__(
        self, folder: Path, *, database_url: str, settings: Mapping[str, str], may_log: Sequence[str] = ()
    ) -> None:
        self._home, self._port = folder / "prefect", free_port()
        self._worker_log = folder / "worker.log"
        self._may_log = may_log
        self.api = f"http://127.0.0.1:{self._port}/api"
        self.own = {
            "PREFECT_HOME": str(self._home),
            "PREFECT_API_URL": self.api,
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_CLI_COLORS": "false",
            # In memory, the default, a restarted server forgets who holds the schedule's one slot.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            "COLUMNS": "200",
            "LAUREL_ROOT": str(ROOT),
            "LAUREL_PYTHON": sys.executable,
            "LAUREL_DATABASE_URL": database_url,
            "LAUREL_LOOKUP_GRACE": "0",
            "LAUREL_RETRY_DELAY": "0.05",
            **settings,
        }
        self.environment = unmeasured(os.environ) | self.own

    @property
    def address(self) -> str:
        """Where its pages are."""
        return self.api.removesuffix("/api")

    def server(self, *, with_ui: bool = False) -> AbstractContextManager[str]:
        """Run Prefect's server until the block ends; it can be started again."""
        return running_prefect_server(
            self._home, port=self._port, with_ui=with_ui, settings=self.own, may_log=self._may_log
        )

    @contextmanager
    def worker(self) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a worker until the block ends; it is killed then, with its runs. Its log is read."""
        begins_at = self._worker_log.stat().st_size if self._worker_log.exists() else 0
        with worker(self.api, self._worker_log, self.own) as process:
            yield process
        assert_no_errors(self._worker_log, may_log=self._may_log, begins_at=begins_at)

    def set_up(self) -> str:
        """Run the documented command, and return what it printed."""
        done = self.command(["scripts.setup_deployment"])
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def everything_stored(self) -> str:
        """Return what Prefect's database holds, as text."""
        return "".join(file.read_bytes().decode(errors="replace") for file in self._home.glob("prefect.db*"))

    def started(self, words: Sequence[str]) -> str:
        """Run a command line that starts a run, and return the run's id."""
        done = self.command(words)
        found = re.search(r"UUID: ([0-9a-f-]{36})", done.stdout)
        assert found, done.stdout + done.stderr
        return found[1]

    def command(self, words: Sequence[str], **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run a command line as a person does in the checkout."""
        return subprocess.run(
            [sys.executable, "-m", *words],
            cwd=ROOT,
            env=self.environment | settings,
            capture_output=True,
            text=True,
            check=False,
        )

    def ask(self, path: str, **body: Any) -> Any:
        """Return what the server answers to a POST."""
        reply = httpx.post(f"{self.api}{path}", json=body, timeout=60)
        reply.raise_for_status()
        return reply.json() if reply.content else None

    def deployment(self, name: str) -> dict[str, Any]:
        """Return the deployment of this name."""
        (found,) = [each for each in self.ask("/deployments/filter") if each["name"] == name]
        return dict(found)

    def run(self, name: str, **parameters: Any) -> dict[str, Any]:
        """Submit a form, and return its run."""
        path = f"/deployments/{self.deployment(name)['id']}/create_flow_run"
        return dict(self.ask(path, parameters=parameters))

    def runs(self, name: str) -> list[dict[str, Any]]:
        """Return the runs of a deployment that have begun or ended, the earliest first."""
        wanted = {"deployments": {"id": {"any_": [self.deployment(name)["id"]]}}, "sort": "EXPECTED_START_TIME_ASC"}
        found = self.ask("/flow_runs/filter", **wanted)
        return [each for each in found if each["state_type"] != "SCHEDULED" or each["state_name"] == "Late"]

    def planned_by_automation(self, name: str) -> list[dict[str, Any]]:
        """Return the runs of a deployment that an automation started, also those that no worker has taken."""
        wanted = {"deployments": {"id": {"any_": [self.deployment(name)["id"]]}}}
        found = self.ask("/flow_runs/filter", **wanted)
        return [each for each in found if each["created_by"] and each["created_by"]["type"] == "AUTOMATION"]

    def state_of(self, run_id: str) -> dict[str, Any]:
        """Return the state of a run."""
        return dict(httpx.get(f"{self.api}/flow_runs/{run_id}", timeout=60).json()["state"])

    def end_of(self, run_id: str, *, within: float = 180) -> dict[str, Any]:
        """Wait until a run is over, and return its state."""

        def ended() -> dict[str, Any] | None:
            state = self.state_of(run_id)
            return state if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

        return until(ended, what=f"run {run_id} ends", within=within) or {}

    def alarms(self) -> list[tuple[str, str]]:
        """Return for each time that an automation was triggered its name, and the id of its run if it is about one."""
        wanted = {"event": {"name": ["prefect.automation.triggered"]}}
        events = self.ask("/events/filter", filter=wanted, limit=50)["events"]
        return [
            (event["resource"]["prefect.resource.name"], str(labels.get("prefect.resource.id", "")).rpartition(".")[2])
            for event in events
            for labels in [event["payload"].get("triggering_labels") or {}]
        ]

    def every(self, seconds: float, name: str = "reconcile") -> None:
        self.reschedule(name, {"interval": seconds, "timezone": "UTC"})

    def reschedule(self, name: str, to: dict[str, Any]) -> None:
        """Change a schedule, by way of its deployment: then runs are planned within seconds."""
        deployment = self.deployment(name)
        (schedule,) = deployment["schedules"]
        changed = {"slug": schedule["slug"], "schedule": to}
        path = f"{self.api}/deployments/{deployment['id']}"
        httpx.patch(path, json={"schedules": [changed]}, timeout=60).raise_for_status()


@contextmanager
def running_installation(folder: Path, *, database_url: str) -> Iterator[Installation]:
    """Set everything up with Prefect's pages and the demo's tokens; it is gone when the block ends."""
    installation = Installation(folder, database_url=database_url, settings={}, may_log=MISTAKES_IN_FORMS)
    with installation.server(with_ui=True):
        saved = installation.command(["demo.save_tokens"])
        assert saved.returncode == 0, saved.stderr
        installation.set_up()
        # A run of the schedule that begins at the moment of a quick run has reconcile's one slot, and the other ends.
        installation.reschedule("reconcile", {"cron": "0 0 1 1 *", "timezone": "UTC"})
        with installation.worker():
            yield installation
