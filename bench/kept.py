"""The kept result of the short form, with its machine, and what got worse since."""

import json
import os
import platform
import re
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.figures import console, revision
from settings import ROOT

FILE = ROOT / "bench" / "results" / "short.json"


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A figure as a ratio to something measured in the same minutes: the median of its rounds, lowest and highest.

    `tolerance`: by which part of the kept value it may be worse, and is not named.
    """

    value: float
    low: float
    high: float
    more_is_better: bool = False
    tolerance: float = 0.15

    def is_worse_than(self, kept: float) -> bool:
        """Whether even the best of its rounds is worse than the kept value by more than the tolerance."""
        if self.more_is_better:
            return self.high < kept * (1 - self.tolerance)
        return self.low > kept * (1 + self.tolerance)


def ratio(values: Sequence[float], *, more_is_better: bool = False, tolerance: float = 0.15) -> Ratio:
    return Ratio(
        value=statistics.median(values),
        low=min(values),
        high=max(values),
        more_is_better=more_is_better,
        tolerance=tolerance,
    )


def worse(found: Mapping[str, Ratio], kept: Mapping[str, float]) -> list[str]:
    """Return a sentence for each figure that is worse than the kept one."""
    return [
        f"{name}: {figure.value:.3g}, kept {kept[name]:.3g}"
        for name, figure in found.items()
        if name in kept and figure.is_worse_than(kept[name])
    ]


def read() -> dict[str, Any]:
    """Return the kept result; empty where there is none."""
    return dict(json.loads(FILE.read_text(encoding="utf-8"))) if FILE.exists() else {}


def write(found: Mapping[str, Ratio], *, calibration: float) -> None:
    FILE.parent.mkdir(exist_ok=True)
    result = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision(),
        "machine": machine(),
        "calibration_seconds": round(calibration, 3),
        "load_at_the_end": round(os.getloadavg()[0], 1),
        "figures": {name: _rounded(figure) for name, figure in found.items()},
    }
    FILE.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _rounded(figure: Ratio) -> dict[str, Any]:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(figure).items()}


def machine() -> dict[str, Any]:
    model = platform.processor()
    with suppress(OSError):  # Linux
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        model = found[1] if found else model
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version()}


def show(found: Mapping[str, Ratio], kept: Mapping[str, Any], *, calibration: float) -> None:
    before = {name: figure["value"] for name, figure in kept.get("figures", {}).items()}
    table = Table(title="Short form: each a ratio to something measured in the same minutes", title_justify="left")
    for name in ("what", "now", "spread", "kept", "better is", ""):
        table.add_column(name, justify="left" if name in ("what", "") else "right")
    for name, figure in found.items():
        there = f"{before[name]:.3g}" if name in before else ""
        mark = "WORSE" if name in before and figure.is_worse_than(before[name]) else ""
        spread = "" if figure.low == figure.high else f"{figure.low:.3g} to {figure.high:.3g}"
        better = "more" if figure.more_is_better else "less"
        table.add_row(name, f"{figure.value:.3g}", spread, there, better, mark)
    console.print(table)
    here = machine()
    console.print(
        f"  {here['cpu']}, {here['cores']} cores, calibration {calibration:.2f} s, load {os.getloadavg()[0]:.1f}"
    )
    if kept:
        console.print(
            f"  kept: {kept['at']}, revision {kept['revision']}, {kept['machine']['cpu']}, {kept['machine']['cores']} "
            f"cores, calibration {kept['calibration_seconds']:.2f} s, load {kept['load_at_the_end']}"
        )
    if kept and kept["machine"] != here:
        console.print("  The kept result is another machine's or another Python's: compare with care.", style="yellow")
