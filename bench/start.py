"""Start: CPU of the imports and of a whole run with nothing due, beside `import prefect` in the same minutes."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.figures import Findings
from bench.options import number
from bench.world import World
from demo import servers
from settings import ROOT

IMPORTS = {
    "prefect": "import prefect; from prefect import flow, task",
    "flows.reconcile": "import flows.reconcile",
    "flows.pause_credly": "import flows.pause_credly",
}
AWARDS = 10_000
Deployment = dict[str, Any]  # as Prefect's API describes it


@dataclass(frozen=True, kw_only=True)
class Used:
    """What a process has used. `cpu_seconds`: user and system."""

    seconds: float
    cpu_seconds: float
    peak_megabytes: float


def measure(world: World) -> Findings:
    """Start each process in turn, several rounds long; what it used is the CPU of the process and its threads."""
    rounds = number("START_ROUNDS", 7)
    spent = spent_by(world, prepare(world), rounds=rounds)
    found = Findings(
        measure=f"start ({world.engine})", how=f"{rounds} rounds; {AWARDS:,} awards, all issued", details=spent
    )
    for name, seconds in spent.items():
        found.add("a run with nothing due" if name == "run" else f"import {name}", seconds, "s CPU")
    for name, what, goal in (
        ("flows.reconcile", "import flows.reconcile", 1.3),
        ("flows.pause_credly", "import flows.pause_credly", 1.3),
        ("run", "a run with nothing due", None),
    ):
        found.add(f"{what}, of import prefect", ratios(spent, name), "times", at_most=goal)
    return found


def spent_by(world: World, deployment: Deployment, *, rounds: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each import, and of a run with nothing due, by round."""
    spent: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, statement in IMPORTS.items():
            spent.setdefault(name, []).append(used_by(["-c", statement], os.environ).cpu_seconds)
        spent.setdefault("run", []).append(idle_run(world, deployment).cpu_seconds)
    return spent


def ratios(spent: Mapping[str, list[float]], name: str) -> list[float]:
    return [seconds / least for seconds, least in zip(spent[name], spent["prefect"], strict=True)]


def prepare(world: World, *, awards: int = AWARDS) -> Deployment:
    """Start Prefect's server, make a ledger in which nothing is due, and return the deployment of reconcile."""
    world.start_prefect()
    address = world.new_database()
    world.environment |= {"LAUREL_ROOT": str(ROOT), "LAUREL_DATABASE_URL": address}
    servers.run("work-pool", ["prefect", "work-pool", "create", "badges", "--type", "process"], world.environment)
    servers.run("deploy", ["prefect", "--no-prompt", "deploy", "--name", "reconcile"], world.environment)
    # In a process of its own: what its parent holds counts for the peak of a process that is started later.
    world.run("bench.large", awards)
    deployment: Deployment = servers.ask(world.prefect_port, "/api/deployments/name/reconcile/reconcile")
    for _ in range(2):  # the first ones plan the integrations, which are new
        idle_run(world, deployment)
    return deployment


def idle_run(world: World, deployment: Deployment) -> Used:
    """Start a run as a worker does, in a process of its own, and return what it has used."""
    pending = {"state": {"type": "PENDING", "name": "Pending"}}
    path = f"/api/deployments/{deployment['id']}/create_flow_run"
    run = servers.ask(world.prefect_port, path, body=pending)["id"]
    used = used_by(["-m", "prefect.engine"], world.environment | {"PREFECT__FLOW_RUN_ID": run})
    state = servers.ask(world.prefect_port, f"/api/flow_runs/{run}")["state"]
    if state["type"] != "COMPLETED":
        raise servers.DemoError(f"The run ended as {state['name']}: {state['message']}")
    return used


def used_by(arguments: list[str], environment: Mapping[str, str]) -> Used:
    """Run Python with these arguments and return what the process has used."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    said = process.stderr.read() if process.stderr else b""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise servers.DemoError(f"{' '.join(arguments)} ended with {process.returncode}:\n{said.decode()[-2000:]}")
    return Used(
        seconds=time.perf_counter() - began,
        cpu_seconds=used.ru_utime + used.ru_stime,
        peak_megabytes=used.ru_maxrss / 1024,
    )
