"""Planning alone, in a process of its own: what is due is in the ledger afterwards. Prints one line of JSON."""

import asyncio
import json
import sys
import time

from prefect import flow
from prefect.blocks.system import Secret
from pydantic import SecretStr

from bench.rows import block, token
from tasks.issuing.plan import plan_issuances, sweep_everything
from tasks.runtime.run import run_context


@flow(persist_result=False)
async def plan() -> str:
    async with run_context():
        return str(await plan_issuances(portal="") + await sweep_everything(portal="", full=False))


async def run(organizations: int) -> dict[str, object]:
    for number in range(organizations):
        await Secret(value=SecretStr(token(number))).asave(block(number), overwrite=True)
    began = time.perf_counter()
    planned = await plan()
    return {"planned": planned, "seconds": time.perf_counter() - began}


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(asyncio.run(run(int(sys.argv[1])))) + "\n")
