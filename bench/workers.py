"""Workers: 1, 2 and 4 processes on one database, eight organizations, and no badge twice.

Once as quick as they can be, and once each held to a fifth of a core, as so many slower machines would be: on two
cores, which the database and the stand-in need too, the quick ones say what the machine has left.
"""

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from bench.figures import Findings
from bench.options import number
from bench.rows import fill
from bench.world import Running, World
from demo import servers
from models.database import Database

ORGANIZATIONS = 8
_FIFTHS, _SLICE_SECONDS = 5, 0.02


def measure(world: World) -> Findings:
    """Issue the same amount by more and more processes, each for its share of the organizations."""
    due, rounds = number("WORKERS_DUE", 250), number("ROUNDS", 3)
    world.start_prefect()
    found = Findings(
        measure=f"workers ({world.engine})",
        how=f"{ORGANIZATIONS} organizations with {due} due each, 100 ms, 10 calls at once for each, {rounds} rounds",
    )
    for held, what in ((False, "processes"), (True, "processes with a fifth of a core each")):
        seconds: dict[int, list[float]] = {1: [], 2: [], 4: []}
        for _ in range(rounds):
            for processes, taken in seconds.items():
                taken.append(_seconds(world, processes=processes, due=due, held=held))
        for processes, taken in seconds.items():
            found.add(f"{processes} {what}", [ORGANIZATIONS * due / each for each in taken], "badges/s")
            times = [a / b for a, b in zip(seconds[1], taken, strict=True)]
            found.add(f"{processes} {what}, beside one", times, "times")
        found.details[what] = {str(key): value for key, value in seconds.items()}
    found.notes.append("no badge twice, none missing: counted at the stand-in after each round")
    return found


@contextmanager
def _with_a_fifth_of_a_core(running: list[Running]) -> Iterator[None]:
    """Stop each process for four fifths of the time, in turns."""
    over = threading.Event()

    def hold() -> None:
        while not over.is_set():
            for place in range(_FIFTHS):
                mine = running[place : place + 1]
                _signal(mine, signal.SIGCONT)
                over.wait(_SLICE_SECONDS)
                _signal(mine, signal.SIGSTOP)
        _signal(running, signal.SIGCONT)

    holding = threading.Thread(target=hold)
    holding.start()
    try:
        yield
    finally:
        over.set()
        holding.join()


def _signal(running: list[Running], which: signal.Signals) -> None:
    for each in running:
        each.process.send_signal(which)


def _seconds(world: World, *, processes: int, due: int, held: bool) -> float:
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
        world.begin(
            "bench.run_reconcile", ORGANIZATIONS, "--together", ORGANIZATIONS * due, "--only", *share, database=address
        )
        for share in shares
    ]
    with _with_a_fifth_of_a_core(running) if held else nullcontext():
        drained = [each.result() for each in running]
    whole = time.perf_counter() - began
    made, wanted = standin.badges_made(), ORGANIZATIONS * due
    standin.server.stop()
    if made != wanted:
        raise servers.DemoError(f"{made} badges were made in place of {wanted}, in {whole:.0f} s.")
    return float(max(each["ended_at"] for each in drained) - min(each["began_at"] for each in drained))
