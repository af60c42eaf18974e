"""Workers: 1, 2 and 4 processes on one database, eight organizations, and no badge twice."""

import asyncio
import time

from bench.figures import Findings
from bench.options import number
from bench.rows import fill
from bench.world import World
from demo import servers
from models.database import Database

ORGANIZATIONS = 8


def measure(world: World) -> Findings:
    """Issue the same amount by more and more processes, each for its share of the organizations."""
    due, rounds = number("WORKERS_DUE", 150), number("ROUNDS", 3)
    world.start_prefect()
    seconds: dict[int, list[float]] = {1: [], 2: [], 4: []}
    for _ in range(rounds):
        for processes, taken in seconds.items():
            taken.append(_seconds(world, processes=processes, due=due))
    found = Findings(
        measure=f"workers ({world.engine})",
        how=f"{ORGANIZATIONS} organizations with {due} due each, 100 ms, 10 calls at once for each, {rounds} rounds",
        details={"seconds": {str(key): value for key, value in seconds.items()}},
    )
    total = ORGANIZATIONS * due
    for processes, taken in seconds.items():
        found.add(f"{processes} processes", [total / each for each in taken], "badges/s")
        found.add(f"{processes} processes beside one", [a / b for a, b in zip(seconds[1], taken, strict=True)], "times")
    found.notes.append("no badge twice, none missing: counted at the stand-in after each round")
    return found


def _seconds(world: World, *, processes: int, due: int) -> float:
    standin, address = world.start_standin(latency_ms=100, organizations=ORGANIZATIONS), world.new_database()

    async def prepare() -> None:
        database = Database(address)
        await fill(database, due=[due] * ORGANIZATIONS, base_url=standin.base_url)
        await database.dispose()

    asyncio.run(prepare())
    world.run("bench.run_plan", ORGANIZATIONS, database=address)
    began = time.perf_counter()
    shares = [list(range(first, ORGANIZATIONS, processes)) for first in range(processes)]
    running = [
        world.begin("bench.run_reconcile", ORGANIZATIONS, "--only", *share, database=address) for share in shares
    ]
    drained = [each.result() for each in running]
    whole = time.perf_counter() - began
    made, wanted = standin.badges_made(), ORGANIZATIONS * due
    standin.server.stop()
    if made != wanted:
        raise servers.DemoError(f"{made} badges were made in place of {wanted}, in {whole:.0f} s.")
    return float(max(each["ended_at"] for each in drained) - min(each["began_at"] for each in drained))
