"""Measures Laurel beside its peers: `make bench`, or `make bench BENCH=drain,pace`."""

import sys
import time
from collections.abc import Callable

from bench import backlog, drain, first, manual, mariadb, nothing, pace, start, workers
from bench.figures import Findings, console, keep, show
from bench.options import words
from bench.world import World, world
from demo import servers

MEASURES: dict[str, Callable[[World], Findings]] = {
    "drain": drain.measure,
    "pace": pace.measure,
    "nothing": nothing.measure,
    "mariadb": mariadb.measure,
    "backlog": backlog.measure,
    "start": start.measure,
    "first": first.measure,
    "workers": workers.measure,
    "manual": manual.measure,
}


def main() -> int:
    chosen = words("BENCH", ",".join(MEASURES))
    if unknown := [name for name in chosen if name not in MEASURES]:
        console.print(f"There is no measure {', '.join(unknown)}; there are {', '.join(MEASURES)}.", style="red")
        return 2
    try:
        with servers.stopped_by_signals():
            for name in chosen:
                for engine in words("ENGINES", "sqlite"):
                    _take(name, engine)
    except servers.DemoError as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    return 0


def _take(name: str, engine: str) -> None:
    began = time.monotonic()
    with world(engine) as prepared:
        findings = MEASURES[name](prepared)
    findings.notes.append(f"took {time.monotonic() - began:.0f} s in all")
    show(findings)
    keep(findings)


if __name__ == "__main__":
    sys.exit(main())
