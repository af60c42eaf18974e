"""One Prefect task run for each badge by `.map`: `threads`, a plain task; or `async`, for an async client.

Prints one line of JSON.
"""

import json
import sys
import time
from typing import Any

import httpx
from prefect import flow, task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner

from bench.peers import body
from bench.rows import invented_id, token
from bench.spent import cpu_seconds


@task(cache_policy=NO_CACHE, persist_result=False)
def issue(number: int, prefix: str) -> int:
    with httpx.Client(auth=(token(0), ""), timeout=30, trust_env=False, verify=False) as client:  # noqa: S501 - plain http
        reply = client.post(_address, content=body(prefix, number), headers={"Content-Type": "application/json"})
    return reply.status_code


@task(cache_policy=NO_CACHE, persist_result=False)
async def issue_async(number: int, prefix: str) -> int:
    async with httpx.AsyncClient(auth=(token(0), ""), timeout=30, trust_env=False, verify=False) as client:  # noqa: S501 - plain http
        reply = await client.post(_address, content=body(prefix, number), headers={"Content-Type": "application/json"})
    return reply.status_code


@flow(persist_result=False)
def mapped(prefix: str, calls: int) -> dict[str, float]:
    chosen: Any = {"threads": issue, "async": issue_async}[_kind]
    began, before = time.perf_counter(), cpu_seconds()
    statuses = chosen.map(list(range(calls)), unmapped(prefix)).result()
    if set(statuses) != {201}:
        raise RuntimeError(f"statuses {sorted(set(statuses))}")
    return {"seconds": time.perf_counter() - began, "cpu": cpu_seconds() - before}


_kind, _base_url, _prefix, _calls, _slots = sys.argv[1:] if len(sys.argv) == 6 else ("threads", "", "", "0", "1")
_address = f"{_base_url}/organizations/{invented_id('organization', 0)}/badges"

if __name__ == "__main__":
    runner: Any = ThreadPoolTaskRunner(max_workers=int(_slots))
    took = mapped.with_options(task_runner=runner)(_prefix, int(_calls))
    sys.stdout.write("\n" + json.dumps(took) + "\n")
