"""Pace: as many calls as an organization allows, no more, whatever becomes of the others and however many processes."""

import asyncio
from collections import Counter
from datetime import datetime
from itertools import pairwise
from typing import Any

from bench.figures import Findings
from bench.options import number
from bench.rows import fill, invented_id
from bench.world import Standin, World
from models.database import Database

CALLS_PER_SECOND = 3
HEALTHY = 3


def measure(world: World) -> Findings:
    """Issue for three organizations at their pace, beside one that throttles; then by two processes at once."""
    seconds = number("PACE_SECONDS", 60)
    world.start_prefect()
    found = Findings(
        measure=f"pace ({world.engine})",
        how=f"{HEALTHY} organizations at {CALLS_PER_SECOND} calls a second, about {seconds} s, and one that throttles",
    )
    for processes in (1, 2):
        standin = _issue(world, seconds=seconds, processes=processes)
        requests = standin.requests()
        calls = [_calls(requests, each) for each in range(HEALTHY)]
        shares = [100 * (len(each) - 1) / (each[-1] - each[0]) / CALLS_PER_SECOND for each in calls]
        found.add(f"of the allowed pace, {processes} processes", shares, "%", at_least=97)
        refused = sum(each["status"] == 429 for number in range(HEALTHY) for each in _to(requests, number))
        found.add(f"answered 429 in all, {processes} processes", [refused], "calls", at_most=0)
        most = [float(_most_in_a_second(each)) for each in calls]
        found.add(f"most calls within a second, {processes} processes", most, "calls", at_most=CALLS_PER_SECOND)
        found.details[f"{processes} processes"] = {
            "calls": [len(each) for each in calls],
            "calls to the one that throttles": len(_to(requests, HEALTHY)),
            "longest gap": [max(b - a for a, b in pairwise(each)) for each in calls],
        }
    found.notes.append("the stand-in counts: calls of any kind, by the moment at which they came in")
    return found


def _issue(world: World, *, seconds: int, processes: int) -> Standin:
    address = world.new_database()
    standin = world.start_standin(latency_ms=100, organizations=HEALTHY + 1, calls_per_second=CALLS_PER_SECOND)
    standin.always(f"/organizations/{invented_id('organization', HEALTHY)}/badges", status=429, headers={})
    due = [seconds * CALLS_PER_SECOND] * (HEALTHY + 1)

    async def prepare() -> None:
        database = Database(address)
        await fill(database, due=due, base_url=standin.base_url, calls_per_second=CALLS_PER_SECOND)
        await database.dispose()

    asyncio.run(prepare())
    settings: dict[str, Any] = {"database": address, "throttle_pause_limit": 5}
    running = [world.begin("bench.run_reconcile", HEALTHY + 1, **settings) for _ in range(processes)]
    for each in running:
        each.result()
    return standin


def _calls(requests: list[dict[str, Any]], organization: int) -> list[float]:
    received = [each["received_at"] for each in _to(requests, organization)]
    return sorted(datetime.fromisoformat(each).timestamp() for each in received)


def _to(requests: list[dict[str, Any]], organization: int) -> list[dict[str, Any]]:
    key = f"/organizations/{invented_id('organization', organization)}"
    return [each for each in requests if key in each["path"]]


def _most_in_a_second(moments: list[float]) -> int:
    ends = Counter[int]()
    for place, moment in enumerate(moments):
        ends[place] = sum(1 for other in moments[place:] if other < moment + 1)
    return max(ends.values())
