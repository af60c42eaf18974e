"""What a measure found: figures with their spread, beside their goals; as a table and as JSON."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from settings import ROOT

console = Console(highlight=False)
FILE = ROOT / ".laurel" / "bench.json"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure: the median of several rounds with the lowest and the highest, and whether its goal is met."""

    what: str
    value: float
    unit: str
    low: float
    high: float
    goal: str = ""
    met: bool | None = None


@dataclass(kw_only=True)
class Findings:
    measure: str
    how: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def add(
        self,
        what: str,
        values: Sequence[float],
        unit: str,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> None:
        middle = statistics.median(values)
        goal, met = "", None
        if at_least is not None:
            goal, met = f"at least {at_least:g}", middle >= at_least
        elif at_most is not None:
            goal, met = f"at most {at_most:g}", middle <= at_most
        self.figures.append(
            Figure(what=what, value=middle, unit=unit, low=min(values), high=max(values), goal=goal, met=met)
        )


def show(findings: Findings) -> None:
    table = Table(title=f"{findings.measure}: {findings.how}", title_justify="left")
    for name in ("what", "median", "unit", "spread", "goal", "met"):
        table.add_column(name, justify="right" if name in ("median", "spread") else "left")
    for each in findings.figures:
        met = "" if each.met is None else ("yes" if each.met else "no")
        spread = "" if each.low == each.high else f"{each.low:.4g} to {each.high:.4g}"
        table.add_row(each.what, f"{each.value:.4g}", each.unit, spread, each.goal, met)
    console.print(table)
    for note in findings.notes:
        console.print(f"  {note}", style="dim")


def keep(findings: Findings) -> None:
    """Write a measure's figures into the file, in place of an earlier run's of the same measure."""
    kept = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    kept[findings.measure] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **_circumstances()} | asdict(
        findings
    )
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(kept, indent=1, default=str) + "\n", encoding="utf-8")


def revision() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _circumstances() -> dict[str, Any]:
    return {
        "revision": revision(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_at_the_end": round(os.getloadavg()[0], 1),
    }
