"""The demo and `make up` in a copy of the checkout, as a newcomer starts them, and runs of its deployments."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from settings import ROOT
from tests.support.waiting import until


def environment() -> dict[str, str]:
    """Without coverage: it would count the copy's files beside ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("COV", "LAUREL_", "PREFECT_"))}


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git would clone, with changes that are not committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    folder = tmp_path_factory.mktemp("checkout")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def demo(checkout: Path, runtime_python: Path) -> Path:
    """The folder that the demo has left, with its output in `output.txt`."""
    done = subprocess.run(
        [runtime_python, "-m", "demo"], cwd=checkout, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (checkout / ".laurel" / "output.txt").write_text(done.stdout, encoding="utf-8")
    return checkout / ".laurel"


def _heed_ctrl_c() -> None:
    """Undo what a shell does to a command that it runs in the background, such as these tests: it ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def running_up(
    checkout: Path, python: Path, module: str = "demo.up", **settings: str
) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Start the command of `make up` or `make start`, and give Prefect's address as it prints it."""
    shown = checkout / ".laurel" / "up.txt"
    with shown.open("w") as output:
        process = subprocess.Popen(
            [python, "-m", module],
            cwd=checkout,
            env=environment() | settings,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=_heed_ctrl_c,
        )
    try:
        until(
            lambda: process.poll() is not None or "Ctrl-C" in shown.read_text(), what=f"{module} is ready", within=180
        )
        found = re.search(r"(http://127\.0\.0\.1:\d+)/v2/runs", shown.read_text())
        assert found, shown.read_text()
        yield found[1], process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=240)


def run_deployment(api: httpx.Client, name: str) -> tuple[str, dict[str, Any]]:
    """Start a run as the UI does, and return its id and the state in which it ends."""
    (deployment,) = [each for each in api.post("/deployments/filter", json={}).json() if each["name"] == name]
    reply = api.post(f"/deployments/{deployment['id']}/create_flow_run", json={})
    while reply.status_code == httpx.codes.SERVICE_UNAVAILABLE:  # Prefect's database was busy
        reply = api.post(f"/deployments/{deployment['id']}/create_flow_run", json={})
    run = reply.json()
    return run["id"], end_of(api, run["id"], tries=1)


def retry(api: httpx.Client, run_id: str) -> dict[str, Any]:
    """Do what the UI's Retry does, and return the state in which the run ends again."""
    wanted = {"state": {"type": "SCHEDULED", "name": "AwaitingRetry"}, "force": True}
    assert api.post(f"/flow_runs/{run_id}/set_state", json=wanted).json()["status"] == "ACCEPT"
    return end_of(api, run_id, tries=2)


def end_of(api: httpx.Client, run_id: str, *, tries: int) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        run = api.get(f"/flow_runs/{run_id}").json()
        over = run["state"]["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        state: dict[str, Any] = run["state"]
        return state if over and (run["run_count"] == tries or state["type"] == "CANCELLED") else None

    return until(ended, what=f"run {run_id} ends", within=180) or {}
