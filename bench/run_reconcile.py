"""Laurel's run in a process of its own: what it costs in time, CPU, memory and statements.

Prints one line of JSON. `drain` is what the badges take, without the flow runs around them.
"""

import argparse
import asyncio
import json
import re
import sys
import time
from collections import Counter
from typing import Any

from prefect import State
from prefect.blocks.system import Secret
from pydantic import SecretStr
from sqlalchemy import Engine, event

import flows.issue_organization
from bench.rows import block, token
from bench.spent import cpu_seconds, peak_megabytes
from flows.reconcile import reconcile
from tasks.issuing import drain as drain_module

statements: Counter[str] = Counter()
spent: dict[str, float] = {"seconds": 0.0, "cpu": 0.0}


def count_statement(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
    verb, *_ = statement.split(maxsplit=1)
    place = re.search(r"(?:INSERT INTO|UPDATE|FROM) (\w+)", statement)
    statements[f"{verb} {place[1]}" if place else verb] += 1


async def timed_drain(*arguments: Any, **options: Any) -> None:
    """Drain as the flow does, and note what it took."""
    before, began, counted = cpu_seconds(), time.perf_counter(), statements.copy()
    await drain_module.drain(*arguments, **options)
    spent["seconds"] = max(spent["seconds"], time.perf_counter() - began)
    spent["cpu"] += cpu_seconds() - before
    statements.subtract(counted)


async def save_tokens(organizations: int) -> None:
    for number in range(organizations):
        await Secret(value=SecretStr(token(number))).asave(block(number), overwrite=True)


async def run(organizations: int, only: list[int], together: int) -> dict[str, Any]:
    """Save the tokens, run the flow, or only the part of some organizations, and return what it took."""
    await save_tokens(organizations)
    vars(flows.issue_organization)["drain"] = timed_drain
    event.listen(Engine, "before_cursor_execute", count_statement)
    began_at, began, before = time.time(), time.perf_counter(), cpu_seconds()
    states: list[State[Any]]
    if only:
        issue = flows.issue_organization.issue_organization
        states = await asyncio.gather(
            *(issue([f"portal-{number}"], together=together, return_state=True) for number in only)
        )
    else:
        states = [await reconcile(return_state=True)]
    return {
        "state": states[0].message,
        "began_at": began_at,
        "ended_at": time.time(),
        "run_seconds": time.perf_counter() - began,
        "run_cpu": cpu_seconds() - before,
        "drain_seconds": spent["seconds"],
        "drain_cpu": spent["cpu"],
        "peak_megabytes": peak_megabytes(),
        "statements": dict(statements.most_common()),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("organizations", type=int)
    parser.add_argument("--only", type=int, nargs="*", default=[], help="these organizations' parts, without planning")
    parser.add_argument("--together", type=int, default=0, help="how many are due in all, where only a part is run")
    parser.add_argument("--save-tokens", action="store_true", help="nothing else; later 0 organizations are given")
    given = parser.parse_args()
    if given.save_tokens:
        asyncio.run(save_tokens(given.organizations))
        sys.stdout.write("{}\n")
        return
    sys.stdout.write("\n" + json.dumps(asyncio.run(run(given.organizations, given.only, given.together))) + "\n")


if __name__ == "__main__":
    main()
