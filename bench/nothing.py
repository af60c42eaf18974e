"""Nothing new: what a run costs beside a history of millions, and beside what is stuck for long."""

import asyncio
import time
from typing import Any

from bench.figures import Findings
from bench.large import add_stuck, fill_large
from bench.options import number
from bench.world import World
from models.database import Database


def measure(world: World) -> Findings:
    """Plan with a million awards that all have their badge, then with blocked and failed ones beside them."""
    rows, stuck, rounds = number("ROWS", 1_000_000), number("STUCK", 100_000), number("ROUNDS", 3)
    address = world.new_database()
    filled = asyncio.run(_filled(address, rows))
    found = Findings(
        measure=f"nothing new, {rows:,} ({world.engine})",
        how=f"{rows:,} awards, all issued, then {stuck:,} blocked and {stuck:,} failed ones; {rounds} rounds",
    )
    _take(world, found, "nothing new", address, rounds)
    asyncio.run(_stick(address, stuck))
    _take(world, found, "and much that is stuck", address, rounds)
    whole = world.run("bench.run_planning", 1, "--full", database=address)
    found.add("everything looked through at once", whole["steps"]["sweep"], "s")
    found.add("its peak memory", [whole["peak_megabytes"]], "MB")
    found.details["full"] = whole
    found.notes.append(f"the history was made in {filled:.0f} s; the first round is left out: it fills the caches")
    return found


def _take(world: World, found: Findings, what: str, address: str, rounds: int) -> None:
    took: dict[str, Any] = world.run("bench.run_planning", rounds + 1, database=address)
    warm = {name: [1000 * each for each in seconds[1:]] for name, seconds in took["steps"].items()}
    found.add(f"{what}: planning", warm["plan"], "ms", at_most=50)
    found.add(f"{what}: this run's part of the rounds", warm["sweep"], "ms")
    found.add(f"{what}: failed ones compared", warm["failed"], "ms")
    found.add(f"{what}: who has work", warm["dispatch"], "ms")
    found.add(f"{what}: peak memory", [took["peak_megabytes"]], "MB")
    found.details[what] = took


async def _filled(address: str, rows: int) -> float:
    database, began = Database(address), time.perf_counter()
    await fill_large(database, awards=rows)
    await database.dispose()
    return time.perf_counter() - began


async def _stick(address: str, rows: int) -> None:
    database = Database(address)
    await add_stuck(database, portal="nowhere", state="blocked", reason="portal_not_connected", rows=rows)
    await add_stuck(database, portal="nameless", state="failed", reason="name_missing", rows=rows)
    await database.dispose()
