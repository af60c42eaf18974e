"""The short form: under five minutes, each figure a ratio to something that was measured in the same minutes."""

import asyncio
import os
import time
from collections.abc import Iterator

from bench import drain, kept, start
from bench.figures import console
from bench.kept import Ratio, ratio
from bench.large import fill_large
from bench.options import number
from bench.world import World
from models.database import Database
from scripts.run_tests import calibration

ROUNDS = 3
PLANNED = 11
CALLS = {100: 1500, 20: 2000}  # by the milliseconds that the stand-in takes
BACKLOG = (1_000, 20_000)
HISTORY = 100_000


def measure(world: World) -> int:
    """Take every figure, show it beside the kept one, and return 1 if something got worse."""
    began, calibrated = time.monotonic(), calibration()
    deployment = start.prepare(world)
    found = dict(_start(world, deployment)) | dict(_planning(world)) | dict(_drain(world)) | dict(_memory(world))
    before = kept.read()
    kept.show(found, before, calibration=calibrated)
    console.print(f"  took {time.monotonic() - began:.0f} s in all", style="dim")
    if os.environ.get("KEEP") == "1":
        kept.write(found, calibration=calibrated)
        return 0
    if not before:
        console.print("  There is no kept result: KEEP=1 make bench writes one.", style="yellow")
    names = {name: figure["value"] for name, figure in before.get("figures", {}).items()}
    for sentence in (sentences := kept.worse(found, names)):
        console.print(f"worse: {sentence}", style="red")
    return 1 if sentences else 0


def _start(world: World, deployment: start.Deployment) -> Iterator[tuple[str, Ratio]]:
    spent = start.spent_by(world, deployment, rounds=ROUNDS)
    yield "import flows.reconcile / import prefect, CPU", ratio(start.ratios(spent, "flows.reconcile"))
    yield "import flows.pause_credly / import prefect, CPU", ratio(start.ratios(spent, "flows.pause_credly"))
    yield "a run with nothing due / import prefect, CPU", ratio(start.ratios(spent, "run"))


def _planning(world: World) -> Iterator[tuple[str, Ratio]]:
    address = world.new_database()
    asyncio.run(_filled(address))
    calibrated = calibration()
    took = world.run("bench.run_planning", PLANNED, database=address)
    plan = [1000 * seconds / calibrated for seconds in took["cpu_of_plan"][1:]]  # the first one fills the caches
    yield "planning with nothing new, CPU / calibration, per mille", ratio(plan, tolerance=0.25)
    # The largest part: what is left at the end of a round through everything may be little.
    part = max(both - first for both, first in zip(took["cpu"][1:], took["cpu_of_plan"][1:], strict=True))
    yield "a run's part of the rounds, CPU / calibration, per mille", ratio([1000 * part / calibrated], tolerance=0.25)


async def _filled(address: str) -> None:
    database = Database(address)
    await fill_large(database, awards=HISTORY)
    await database.dispose()


def _drain(world: World) -> Iterator[tuple[str, Ratio]]:
    rounds = number("ROUNDS", 2)
    for latency, calls in CALLS.items():
        standin = world.start_standin(latency_ms=latency)
        shares = []
        for turn in range(rounds):
            bare = [drain.peer(world, standin, kind, f"{kind}{latency}-{turn}", calls) for kind in ("own", "shared")]
            took = drain.laurel_run(world, standin, badges=calls, prefix=f"laurel{latency}-{turn}", slots=drain.SLOTS)
            shares.append(min(each["seconds"] for each in bare) / took["drain_seconds"])
        yield f"drain / the faster bare loop, {latency} ms", ratio(shares, more_is_better=True)


def _memory(world: World) -> Iterator[tuple[str, Ratio]]:
    standin = world.start_standin(latency_ms=0)
    least, most = (
        drain.laurel_run(world, standin, badges=size, prefix=f"of{size}", slots=10)["peak_megabytes"]
        for size in BACKLOG
    )
    yield f"memory at {BACKLOG[1]:,} due / at {BACKLOG[0]:,}", ratio([most / least], tolerance=0.1)
