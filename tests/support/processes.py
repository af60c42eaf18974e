"""The scheduled flow in a process of its own, which a test can kill at any moment."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from settings import ROOT
from tests.support.prefect_server import unmeasured

_RECONCILE = "import asyncio; from flows.reconcile import reconcile; asyncio.run(reconcile())"


class FlowProcess:
    """A running `reconcile`. Laurel's settings are those of the test, from the environment."""

    def __init__(self, prefect_api: str, log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _RECONCILE],
                cwd=ROOT,
                env=unmeasured(os.environ) | {"PREFECT_API_URL": prefect_api},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End it as a power cut does."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=30)

    def finish(self) -> int:
        """Wait for its end and return its exit code."""
        return self.process.wait(timeout=180)


@contextmanager
def reconcile_process(prefect_api: str, folder: Path, name: str = "reconcile") -> Iterator[FlowProcess]:
    """Start it; it is gone when the block ends."""
    running = FlowProcess(prefect_api, folder / f"{name}.log")
    try:
        yield running
    finally:
        running.kill()
