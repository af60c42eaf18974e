"""Growth: what each recurring piece of work takes beside a history of millions, in time and peak memory."""

import os
import time
from datetime import UTC, datetime, timedelta

from bench import start
from bench.figures import Findings
from bench.options import number
from bench.world import FOLDER, World

_A_WEEK_AGO = f"{datetime.now(UTC) - timedelta(days=6):%Y-%m-%d}"
REPORTS = {
    "export of the issuances of one week": ["reports.export", "issuances", "--from", _A_WEEK_AGO, "--format", "csv"],
    "export of the history of one week": ["reports.export", "history", "--from", _A_WEEK_AGO, "--format", "csv"],
    "report of one week": ["reports.html", "--span", "last 7 days"],
}
EACH_RUN = {
    "plan": "planning with nothing new",
    "sweep": "a run's part of the rounds",
    "failed": "failed ones compared",
    "dispatch": "who has work",
}


def measure(world: World) -> Findings:
    """Fill one ledger with `ROWS` awards, all issued over three years, and do each piece of work beside them."""
    rows, rounds = number("ROWS", 1_000_000), number("ROUNDS", 3)
    began = time.perf_counter()
    deployment = start.prepare(world, awards=rows)
    address = world.environment["LAUREL_DATABASE_URL"]
    found = Findings(
        measure=f"growth, {rows:,} ({world.engine})", how=f"{rows:,} awards of 20 portals, all issued; {rounds} rounds"
    )
    found.notes.append(f"filled in {time.perf_counter() - began:.0f} s")
    planned = world.run("bench.run_planning", rounds + 1, database=address)
    for step, what in EACH_RUN.items():
        found.add(what, [1000 * each for each in planned["steps"][step][1:]], "ms")
    found.add("peak memory of planning", [planned["peak_megabytes"]], "MB")
    whole = [start.idle_run(world, deployment) for _ in range(rounds)]
    found.add("a whole run with nothing due, CPU of its process", [each.cpu_seconds for each in whole], "s")
    found.add("from its start to its end", [each.seconds for each in whole], "s")
    night = world.run("bench.run_night", rounds, database=address)
    found.add("an organization's audit night, in the database", [1000 * each for each in night["seconds"]], "ms")
    found.add("its peak memory", [night["peak_megabytes"]], "MB")
    environment = dict(os.environ) | {"LAUREL_DATABASE_URL": address, "LAUREL_REPORTS_FOLDER": str(FOLDER / "reports")}
    for what, command in REPORTS.items():
        used = start.used_by(["-m", *command], environment)
        found.add(what, [used.seconds], "s")
        found.add("its peak memory", [used.peak_megabytes], "MB")
    return found
