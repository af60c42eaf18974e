"""Measures Laurel: `make bench` the short form, `make bench BENCH=drain,pace` or BENCH=all the long ones."""

import sys
import time
from collections.abc import Callable

from bench import (
    award,
    backlog,
    drain,
    first,
    growth,
    manual,
    mariadb,
    nothing,
    organizations,
    pace,
    questions,
    short,
    start,
    workers,
)
from bench.figures import Findings, console, keep, show
from bench.options import words
from bench.world import World, world
from demo import servers

MEASURES: dict[str, Callable[[World], Findings]] = {
    "drain": drain.measure,
    "pace": pace.measure,
    "nothing": nothing.measure,
    "growth": growth.measure,
    "mariadb": mariadb.measure,
    "backlog": backlog.measure,
    "organizations": organizations.measure,
    "start": start.measure,
    "first": first.measure,
    "award": award.measure,
    "workers": workers.measure,
    "manual": manual.measure,
    "questions": questions.measure,
}


def main() -> int:
    chosen = words("BENCH", "short")
    if chosen == ["all"]:
        chosen = list(MEASURES)
    if chosen == ["short"]:
        return _guarded(_short)
    if unknown := [name for name in chosen if name not in MEASURES]:
        console.print(
            f"There is no measure {', '.join(unknown)}; there are short, all, {', '.join(MEASURES)}.", style="red"
        )
        return 2
    return _guarded(lambda: _take_all(chosen))


def _guarded(measure: Callable[[], int]) -> int:
    try:
        with servers.stopped_by_signals():
            return measure()
    except servers.DemoError as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 2


def _short() -> int:
    with world("sqlite") as prepared:
        return short.measure(prepared)


def _take_all(chosen: list[str]) -> int:
    for name in chosen:
        for engine in words("ENGINES", "sqlite"):
            _take(name, engine)
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
