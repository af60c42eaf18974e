"""Backlog: memory, time and statements for each badge, whether a thousand are due or a hundred thousand."""

from bench.drain import laurel_run
from bench.figures import Findings
from bench.options import number, words
from bench.world import World


def measure(world: World) -> Findings:
    sizes = [int(each) for each in words("BACKLOG", "1000,10000,100000")]
    world.start_prefect()
    standin = world.start_standin(latency_ms=number("BACKLOG_LATENCY_MS", 0))
    runs = {size: laurel_run(world, standin, badges=size, prefix=f"of{size}", slots=10) for size in sizes}
    found = Findings(
        measure=f"backlog ({world.engine})",
        how=f"{', '.join(f'{size:,}' for size in sizes)} due, 10 at a time, the stand-in answers at once",
        details={str(size): run for size, run in runs.items()},
    )
    least, *_, most = sizes
    for size, run in runs.items():
        found.add(f"peak memory at {size:,}", [run["peak_megabytes"]], "MB")
        found.add(f"time for each at {size:,}", [1000 * run["drain_seconds"] / size], "ms")
        found.add(f"CPU for each at {size:,}", [1000 * run["drain_cpu"] / size], "ms")
        found.add(f"statements for each at {size:,}", [sum(run["statements"].values()) / size], "")
    ratio = runs[most]["peak_megabytes"] / runs[least]["peak_megabytes"]
    found.add(f"memory at {most:,}, of that at {least:,}", [100 * ratio], "%", at_most=120)
    found.notes.append(f"the statements, by table, at {most:,}: {runs[most]['statements']}")
    return found
