"""Manual: how long an operator waits for one badge while thousands are issued for the same organization."""

import asyncio
import time
from typing import Any

from sqlalchemy import Connection

from bench.drain import SLOTS
from bench.figures import Findings
from bench.options import number
from bench.rows import fill
from bench.world import Standin, World
from demo import servers
from models.database import Database


def measure(world: World) -> Findings:
    """Issue by hand on an idle system and during a drain, in turns."""
    due, rounds = number("MANUAL_DUE", 10_000), number("ROUNDS", 3)
    world.start_prefect()
    standin, address = world.start_standin(latency_ms=100, organizations=1), world.new_database()
    asyncio.run(_fill(address, standin, due=due, rounds=2 * rounds))
    world.run("bench.run_plan", 1, database=address)
    idle = [_by_hand(world, address, each) for each in range(rounds)]
    drain = world.begin("bench.run_reconcile", 1, database=address, calls_at_once=SLOTS)
    while standin.badges_made() < rounds + 100:
        if drain.process.poll() is not None:
            raise servers.DemoError("The drain ended before anything was issued by hand.")
        time.sleep(0.2)
    busy = [_by_hand(world, address, rounds + each) for each in range(rounds)]
    was_busy = drain.process.poll() is None
    drained = drain.result()
    return _findings(world, due, idle, busy, drained, was_busy=was_busy)


def _findings(
    world: World,
    due: int,
    idle: list[dict[str, Any]],
    busy: list[dict[str, Any]],
    drained: dict[str, Any],
    *,
    was_busy: bool,
) -> Findings:
    found = Findings(
        measure=f"manual ({world.engine})",
        how=f"one badge by hand, idle and during a drain of {due}, {len(idle)} rounds",
        details={"idle": idle, "busy": busy, "drain": drained},
    )
    alone, beside = [each["seconds"] for each in idle], [each["seconds"] for each in busy]
    found.add("the flow, idle", alone, "s")
    found.add("the flow, during the drain", beside, "s")
    found.add("longer by", [b - a for a, b in zip(alone, beside, strict=True)], "s", at_most=3)
    found.add("with its process, idle", [each["whole"] for each in idle], "s")
    found.add("with its process, during the drain", [each["whole"] for each in busy], "s")
    if not was_busy:
        found.notes.append("the drain ended before the last badge by hand: take more with MANUAL_DUE")
    return found


def _by_hand(world: World, address: str, place: int) -> dict[str, Any]:
    began = time.perf_counter()
    took = world.run("bench.run_by_hand", f"user-1-{place}", "achievement-0", database=address)
    if not took["completed"]:
        raise servers.DemoError(f"By hand: {took['state']}")
    return took | {"whole": time.perf_counter() - began}


async def _fill(address: str, standin: Standin, *, due: int, rounds: int) -> None:
    # Awards for the drain, and users of another portal for badges by hand.
    database = Database(address)
    await fill(database, due=[due, rounds], base_url=standin.base_url)
    delete = "DELETE FROM achievement_awards WHERE achievement_id = 'achievement-1'"
    await database.write(Connection.exec_driver_sql, delete)
    await database.dispose()
