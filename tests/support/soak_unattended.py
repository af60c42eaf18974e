"""A set-up left alone with real times: `make soak UNATTENDED=1 MINUTES=60 SEED=1`.

Server, schedule, worker and automations as the README sets them up; awards come in, Credly fails now and then, the
worker's processes are killed, the server is restarted and everything is stopped for a while, at random moments. Ends
with the same count as the other soak: a badge for each award, none twice, none lost, and no mistaken alarm.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx
import psutil
from prefect.settings import PREFECT_API_URL, temporary_settings
from rich.console import Console
from rich.table import Table

from tests.support.databases import migrated_sqlite, sqlite_database
from tests.support.installation import Installation
from tests.support.resent import sent_blindly
from tests.support.standin import Standin, running_standin
from tests.support.workers import kill
from tests.support.world import SEED, TEMPLATE, World

SETTLED_WITHIN_SECONDS = 45 * 60  # a lease, a back-off and a few slots
MAY_LOG = (r".",)  # processes are killed in the middle of everything; what counts is counted below
console = Console()


class UnattendedSoak:
    """One set-up, and what is done to it."""

    def __init__(
        self, stack: ExitStack, world: World, standin: Standin, installation: Installation, chance: random.Random
    ) -> None:
        self.world, self.standin, self.installation, self.chance = world, standin, installation, chance
        self.tried: Counter[str] = Counter()
        self._server, self._workers = stack.enter_context(ExitStack()), stack.enter_context(ExitStack())
        self._server.enter_context(installation.server())
        self._worker: Popen[bytes] | None = None

    async def prepare(self) -> None:
        """Set up as the README says, with the platform's rows."""
        await self.world.build()
        await self.world.enable()
        console.print(self.installation.set_up())
        self.start_worker()

    def start_worker(self) -> None:
        """Start a worker, in the place of one that is gone."""
        self._worker = self._workers.enter_context(self.installation.worker())

    async def award(self) -> None:
        """Somebody earns an achievement."""
        self.tried["awards"] += 1
        user = f"user-{self.tried['awards']}"
        await self.world.add_user(user)
        await self.world.award(user)

    async def until_one_runs(self) -> None:
        """Wait until the schedule has begun a run."""
        while not self.installation.runs("reconcile"):  # noqa: ASYNC110
            await asyncio.sleep(1)

    async def disturb(self) -> None:
        """Do one of the things that happen to a set-up."""
        moves = [self._kill_worker, self._kill_run, self._restart_server, self._stop_everything, self._form]
        await asyncio.to_thread(self.chance.choices(moves, weights=[4, 3, 1, 1, 4])[0])

    def _kill_worker(self) -> None:
        """The worker with its runs, as in a power cut; it is started again after a while."""
        if self._worker is not None:
            kill(self._worker)
            self.tried["workers killed"] += 1
            time.sleep(self.chance.uniform(0, 60))  # nothing is waited for: any moment is a good one
            self.start_worker()

    def _kill_run(self) -> None:
        """A run alone; waits a little for one to begin."""
        until = time.monotonic() + 30
        while time.monotonic() < until and self._worker is not None:
            for child in psutil.Process(self._worker.pid).children(recursive=True):
                with suppress(psutil.Error):
                    child.kill()
                    self.tried["runs killed"] += 1
                    return
            time.sleep(0.5)

    def _restart_server(self) -> None:
        self._server.close()
        time.sleep(self.chance.uniform(0, 20))
        self._server.enter_context(self.installation.server())
        self.tried["server restarts"] += 1

    def _stop_everything(self) -> None:
        self.sleep(self.chance.uniform(10, 240))

    def sleep(self, seconds: float) -> None:
        """As when a machine sleeps: every process stops, and goes on later."""
        processes = psutil.Process(os.getpid()).children(recursive=True)
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for process in processes:
                with suppress(psutil.Error):
                    process.send_signal(number)
            if number == signal.SIGSTOP:
                time.sleep(seconds)
        self.tried["stops of everything"] += 1

    def _form(self) -> None:
        with suppress(httpx.HTTPError):
            self.installation.run("list-integrations")
            self.tried["forms"] += 1

    async def settle(self) -> None:
        """Leave it alone until everything is issued."""
        self.standin.settings(fault_share=0)
        deadline = time.monotonic() + SETTLED_WITHIN_SECONDS
        while {row.state for row in await self.world.ledger()} != {"issued"} or (
            len(await self.world.ledger()) < self.tried["awards"]
        ):
            if time.monotonic() > deadline:
                raise AssertionError(Counter((row.state, row.reason) for row in await self.world.ledger()))
            await asyncio.sleep(5)

    async def count(self) -> None:
        """Count on both sides, and look at what runs and alarms there were."""
        rows, badges, mails = await self.world.ledger(), self.standin.badges(), self.standin.mails()
        assert len(rows) == len(badges) == len(mails) == self.tried["awards"], (len(rows), len(badges), len(mails))
        assert {row.credly_badge_id for row in rows} == {badge["id"] for badge in badges}
        assert sent_blindly(self.standin.requests()) == []
        runs = self.installation.runs("reconcile")
        self.tried += Counter(f"reconcile {run['state_name']}" for run in runs)
        self.tried += Counter(f"reconcile begun by {_starter(run)}" for run in runs)
        alarms = self.installation.alarms()
        self.tried += Counter(f"alarm {name}" for name, _ in alarms)
        mistaken = [run for _, run in alarms if run and self.installation.state_of(run)["name"] != "Crashed"]
        self.tried["mistaken alarms"] = len(mistaken)
        assert {_starter(run) for run in runs} <= {"SCHEDULE", "AUTOMATION"}
        console.print(self.installation.command(["flows.check"]).stdout)


def _starter(run: dict[str, Any]) -> str:
    return str((run["created_by"] or {}).get("type", "nobody"))


async def soak(minutes: float, seed: int, *, sleep_minutes: float = 0) -> Counter[str]:
    """Leave a set-up alone for so long, and return what was tried; asleep once in between, if that is wanted."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, nothing secret
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="laurel-unattended-")))
        standin = stack.enter_context(running_standin(seed=SEED))
        standin.allow_duplicates(TEMPLATE)
        standin.settings(fault_share=0.05, fault_seed=seed)
        file = await asyncio.to_thread(migrated_sqlite, folder)
        async with sqlite_database(folder, copy_of=file) as database:
            url = database.engine.url.render_as_string(hide_password=False)
            installation = Installation(
                folder, database_url=url, settings={"LAUREL_LOOKUP_GRACE": "1"}, may_log=MAY_LOG
            )
            stack.enter_context(temporary_settings({PREFECT_API_URL: installation.api}))
            unattended = UnattendedSoak(
                stack, World(database=database, base_url=standin.base_url), standin, installation, chance
            )
            await unattended.prepare()
            if sleep_minutes:
                await unattended.award()
                await unattended.until_one_runs()
                await asyncio.to_thread(unattended.sleep, sleep_minutes * 60)
            end = time.monotonic() + minutes * 60
            while time.monotonic() < end:
                await unattended.award()
                await asyncio.sleep(chance.uniform(5, 60))
                if chance.random() < 0.4:
                    await unattended.disturb()
                    console.print(f"{max(0, end - time.monotonic()) / 60:.1f} minutes left; {dict(unattended.tried)}")
            await unattended.settle()
            await unattended.count()
            return unattended.tried


def main() -> int:
    """Soak for as long as it is told, and return the exit code."""
    parser = argparse.ArgumentParser(description="Leaves a set-up alone, and looks whether it does its work.")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--sleep-minutes", type=float, default=0, help="everything stops once for so long, in mid-run")
    asked = parser.parse_args()
    console.print(f"Unattended for {asked.minutes:g} minutes from seed {asked.seed}.")
    tried = asyncio.run(soak(asked.minutes, asked.seed, sleep_minutes=asked.sleep_minutes))
    table = Table("what", "times", title="No badge twice, none lost")
    for what, times in sorted(tried.items()):
        table.add_row(what, str(times))
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
