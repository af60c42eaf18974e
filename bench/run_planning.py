"""What a run of reconcile does before anything is sent, without Prefect. Prints one line of JSON."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable
from typing import Any

from bench.spent import cpu_seconds, peak_megabytes
from models.ledger import claiming
from tasks.issuing import plan
from tasks.runtime.run import Run, run_context


async def _timed(work: Awaitable[Any]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def _dispatch(run: Run) -> None:
    await run.database.read(claiming.due_organizations, now=run.now(), portal_ids=None)


async def run(rounds: int, *, full: bool) -> dict[str, Any]:
    steps: dict[str, list[float]] = {"plan": [], "sweep": [], "failed": [], "dispatch": []}
    cpu: list[float] = []
    cpu_of_plan: list[float] = []
    async with run_context() as begun:
        for _ in range(rounds):
            before = cpu_seconds()
            steps["plan"].append(await _timed(plan.plan_issuances.fn(portal="")))
            cpu_of_plan.append(cpu_seconds() - before)
            steps["sweep"].append(await _timed(plan.sweep_everything.fn(portal="", full=full)))
            cpu.append(cpu_seconds() - before)
            steps["failed"].append(await _timed(plan.requeue_corrected.fn()))
            steps["dispatch"].append(await _timed(_dispatch(begun)))
    return {"steps": steps, "cpu": cpu, "cpu_of_plan": cpu_of_plan, "peak_megabytes": peak_megabytes()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("rounds", type=int)
    parser.add_argument("--full", action="store_true")
    given = parser.parse_args()
    sys.stdout.write("\n" + json.dumps(asyncio.run(run(given.rounds, full=given.full))) + "\n")
