"""Drain: badges a second and CPU a badge, beside the same calls with nothing else, in the same minutes."""

import asyncio
import time
from typing import Any

from bench.figures import Findings
from bench.options import number
from bench.rows import fill
from bench.world import Standin, World
from demo import servers
from models.database import Database

SLOTS = 50
LATENCY_MS = 100
AT_MOST = 3000  # calls of a bare loop, whose rate does not change with their number
RECORDED_WITHIN = 120.0


def measure(world: World) -> Findings:
    """Let Laurel and its peers issue in turn, several rounds long."""
    badges, rounds = number("BADGES", 10_000), number("ROUNDS", 3)
    world.start_prefect()
    standin = world.start_standin(latency_ms=number("LATENCY_MS", LATENCY_MS))
    laurel: list[dict[str, Any]] = []
    peers: dict[str, list[dict[str, Any]]] = {kind: [] for kind in ("own", "shared", "fresh", "threads", "async")}
    for turn in range(rounds):
        laurel.append(laurel_run(world, standin, badges=badges, prefix=f"laurel{turn}", slots=SLOTS))
        for kind, calls in (("own", AT_MOST), ("shared", AT_MOST), ("fresh", 100)):
            peers[kind].append(peer(world, standin, kind, f"{kind}{turn}", min(badges, calls)))
        for kind, share in (("threads", 1), ("async", 3)):
            calls = min(badges, number("MAPPED", 900)) // share
            peers[kind].append(_mapped(world, standin, kind, f"{kind}{turn}", calls))
    return _findings(world, badges, laurel, peers)


def laurel_run(
    world: World, standin: Standin, *, badges: int, prefix: str, slots: int, **settings: object
) -> dict[str, Any]:
    """Fill a new database, issue everything in it, and return what that took and what the ledger says."""
    address = world.new_database()
    before = standin.cpu_seconds
    asyncio.run(_fill(address, badges=badges, base_url=standin.base_url, prefix=prefix))
    took = world.run("bench.run_reconcile", 1, database=address, calls_at_once=slots, **settings)
    took |= {"badges": badges, "standin_cpu": standin.cpu_seconds - before}
    took["recorded_after"] = recorded_after(world, ended_at=took["ended_at"])
    if not took["state"].startswith(f"{badges} issued"):
        raise servers.DemoError(f"The run ended with: {took['state']}")
    return took


async def _fill(address: str, *, badges: int, base_url: str, prefix: str) -> None:
    database = Database(address)
    await fill(database, due=[badges], base_url=base_url, prefix=prefix)
    await database.dispose()


def recorded_after(world: World, *, ended_at: float) -> float:
    """Return after how many seconds Prefect's server had recorded the end of every task run."""
    unfinished = {"task_runs": {"state": {"type": {"any_": ["PENDING", "RUNNING"]}}}}
    everything, since = -1, ended_at
    while time.time() - ended_at < RECORDED_WITHIN:
        total = servers.ask(world.prefect_port, "/api/task_runs/count", body={})
        open_ones = servers.ask(world.prefect_port, "/api/task_runs/count", body=unfinished)
        if total != everything or open_ones:
            everything, since = total, time.time()
        elif time.time() - since > 5:  # the server records in the background, about once a second
            break
        time.sleep(0.5)
    return since - ended_at


def peer(world: World, standin: Standin, kind: str, prefix: str, calls: int) -> dict[str, Any]:
    return world.run("bench.peers", kind, standin.base_url, prefix, calls, SLOTS) | {"calls": calls}


def _mapped(world: World, standin: Standin, kind: str, prefix: str, calls: int) -> dict[str, Any]:
    return world.run("bench.mapped", kind, standin.base_url, prefix, calls, SLOTS) | {"calls": calls}


def _findings(
    world: World, badges: int, laurel: list[dict[str, Any]], peers: dict[str, list[dict[str, Any]]]
) -> Findings:
    found = Findings(
        measure=f"drain ({world.engine})",
        how=f"{badges} due, {number('LATENCY_MS', LATENCY_MS)} ms, {SLOTS} at a time, {len(laurel)} rounds",
        details={"laurel": laurel, "peers": peers},
    )
    rates = [badges / each["drain_seconds"] for each in laurel]
    of = {kind: [each["calls"] / each["seconds"] for each in runs] for kind, runs in peers.items()}
    best = [max(pair) for pair in zip(of["own"], of["shared"], strict=True)]
    found.add("Laurel", rates, "badges/s")
    found.add("bare loop, a client for each slot", of["own"], "calls/s")
    found.add("bare loop, one client", of["shared"], "calls/s")
    for what, other, goal in (
        ("of the faster bare loop", best, 95.0),
        ("of one call after another", of["fresh"], 3000.0),
        ("of a task run for each badge by .map, async tasks", of["async"], 1000.0),
        ("of a task run for each badge by .map, on threads", of["threads"], 1000.0),
    ):
        found.add(f"Laurel, {what}", [100 * a / b for a, b in zip(rates, other, strict=True)], "%", at_least=goal)
    found.add("Laurel's CPU", [1000 * each["drain_cpu"] / badges for each in laurel], "ms/badge")
    for kind in ("own", "shared"):
        cpu = [1000 * each["cpu"] / each["calls"] for each in peers[kind]]
        found.add(f"bare loop's CPU, {kind}", cpu, "ms/call")
    found.add("recorded in Prefect after the run", [each["recorded_after"] for each in laurel], "s", at_most=30)
    found.notes += [
        "all as calls a second; 50 at a time and 100 ms allow no more than 500",
        f"statements of the last drain: {laurel[-1]['statements']}",
    ]
    return found
