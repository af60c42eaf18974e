"""Organizations: one run for a thousand of them with a few badges each, beside one that has as many badges alone."""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing, suppress
from typing import Any

import psutil

from bench.drain import recorded_after
from bench.figures import Findings
from bench.options import number
from bench.rows import fill
from bench.world import FOLDER, Running, Standin, World
from demo import servers
from models.database import Database

_SAMPLED_EVERY = 0.1
_LEFT = {"flow runs": "flow_run", "task runs": "task_run", "artifacts": "artifact", "log lines": "log"}


def measure(world: World) -> Findings:
    """Let one process issue for all organizations, and for one with as many badges, in turns."""
    organizations, badges, rounds = number("ORGANIZATIONS", 1000), number("BADGES", 5), number("ROUNDS", 1)
    world.start_prefect()
    standin = world.start_standin(latency_ms=0, organizations=organizations)
    world.run("bench.run_reconcile", organizations, "--save-tokens")
    shapes = {"one": [organizations * badges], "many": [badges] * organizations}
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in shapes}
    for turn in range(rounds):
        for name, due in shapes.items():
            runs[name].append(_run(world, standin, due=due, prefix=f"{name}{turn}"))
    return _findings(world, runs, organizations=organizations, badges=badges)


def _run(world: World, standin: Standin, *, due: list[int], prefix: str) -> dict[str, Any]:
    address, before = world.new_database(), _in_prefect()
    asyncio.run(_fill(address, due=due, base_url=standin.base_url, prefix=prefix))
    running = world.begin("bench.run_reconcile", 0, database=address)
    peaks = _peaks(running)
    took = running.result() | peaks
    recorded_after(world, ended_at=took["ended_at"])
    took["left"] = {name: count - before[name] for name, count in _in_prefect().items()}
    took["longest_artifact_kilobytes"] = _longest_artifact() / 1000
    if not took["state"].startswith(f"{sum(due)} issued"):
        raise servers.DemoError(f"The run ended with: {took['state']}")
    return took


async def _fill(address: str, *, due: list[int], base_url: str, prefix: str) -> None:
    database = Database(address)
    await fill(database, due=due, base_url=base_url, prefix=prefix)
    await database.dispose()


def _peaks(running: Running) -> dict[str, int]:
    """Return the most processes, threads and open files that it had at once; sockets count as files."""
    main, peaks = psutil.Process(running.process.pid), Counter[str]()
    while running.process.poll() is None:
        with suppress(psutil.Error):
            everyone = [main, *main.children(recursive=True)]
            peaks |= Counter(
                processes=len(everyone),
                threads=sum(each.num_threads() for each in everyone),
                files=sum(each.num_fds() for each in everyone),
            )
        time.sleep(_SAMPLED_EVERY)
    return dict(peaks)


def _in_prefect() -> Mapping[str, float]:
    with closing(sqlite3.connect(FOLDER / "prefect" / "prefect.db")) as connection:
        found: dict[str, float] = {
            name: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for name, table in _LEFT.items()
        }
        pages = "SELECT page_count * page_size / 1e6 FROM pragma_page_count(), pragma_page_size()"
        return found | {"megabytes": connection.execute(pages).fetchone()[0]}


def _longest_artifact() -> int:
    """Return the length of the longest one of the latest run."""
    latest = "SELECT flow_run_id FROM artifact WHERE key = 'reconcile' ORDER BY created DESC LIMIT 1"
    with closing(sqlite3.connect(FOLDER / "prefect" / "prefect.db")) as connection:
        longest = f"SELECT max(length(data)) FROM artifact WHERE flow_run_id = ({latest})"
        return int(connection.execute(longest).fetchone()[0])


def _findings(world: World, runs: dict[str, list[dict[str, Any]]], *, organizations: int, badges: int) -> Findings:
    due = organizations * badges
    found = Findings(
        measure=f"organizations ({world.engine})",
        how=f"{organizations:,} with {badges} badges each, and one with {due:,}; answers at once",
        details=runs,
    )
    for name, each in (("one", runs["one"]), (f"{organizations:,}", runs["many"])):
        found.add(f"{name}: time", [run["run_seconds"] for run in each], "s")
        found.add(f"{name}: badges", [due / run["run_seconds"] for run in each], "badges/s")
        found.add(f"{name}: CPU", [1000 * run["run_cpu"] / due for run in each], "ms/badge")
        found.add(f"{name}: peak memory", [run["peak_megabytes"] for run in each], "MB")
        for what in ("processes", "threads", "files"):
            found.add(f"{name}: {what} at once", [run[what] for run in each], "")
        for what in each[0]["left"]:
            found.add(f"{name}: {what} left in Prefect", [run["left"][what] for run in each], "")
        found.add(f"{name}: longest artifact", [run["longest_artifact_kilobytes"] for run in each], "kB")
    for what, key in (("time", "run_seconds"), ("memory", "peak_megabytes"), ("CPU", "run_cpu")):
        ratios = [many[key] / one[key] for one, many in zip(runs["one"], runs["many"], strict=True)]
        found.add(f"{what}, of that of one", ratios, "times", at_most=2)
    return found
