"""One badge issued by hand, in a process of its own. Prints one line of JSON with the seconds it took."""

import asyncio
import json
import sys
import time
from typing import Any

from flows.issue_badge import issue_badge


async def run(user: str, achievement: str) -> dict[str, Any]:
    began = time.perf_counter()
    state = await issue_badge(user, achievement, return_state=True)
    return {"seconds": time.perf_counter() - began, "state": state.message, "completed": state.is_completed()}


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(asyncio.run(run(*sys.argv[1:3]))) + "\n")
