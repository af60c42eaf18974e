"""Trying to break the promise of one badge, for as long as one likes: `make soak MINUTES=10 SEED=1`.

In turns: random sequences of the model, and real runs in real processes that are stopped and killed at random
moments, PostgreSQL with them. With AWARDS=2000 only the latter, with so many awards a round. Ends with what was tried;
at the first badge too many or too few it ends with how it came to that.
"""

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from prefect.settings import PREFECT_API_URL, temporary_settings
from rich.console import Console
from rich.table import Table

from models.database import Database
from models.ledger.tables import IssuanceAttempt
from tests.support.databases import (
    migrated_postgresql,
    migrated_postgresql_database,
    migrated_sqlite,
    restart_postgresql,
    running_postgresql,
    sqlite_database,
)
from tests.support.machine import LaurelMachine, Surroundings
from tests.support.prefect_server import running_prefect_server
from tests.support.processes import FlowProcess, reconcile_process
from tests.support.resent import sent_blindly
from tests.support.standin import Standin, running_standin
from tests.support.world import SEED, TEMPLATE, World

AWARDS = 30
_KILLED_EACH = 150  # awards: two runs are killed as often as a round has so many
console = Console()


def main() -> int:
    """Soak for as long as it is told, and return the exit code."""
    parser = argparse.ArgumentParser(description="Tries to make Laurel issue a badge twice, or lose one.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--awards", type=int, default=0, help="only real processes, with so many awards a round")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    end = time.monotonic() + asked.minutes * 60
    chance = random.Random(asked.seed)  # noqa: S311 - repeatable, nothing secret
    console.print(f"Soaking for {asked.minutes:g} minutes from seed {asked.seed}.")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="laurel-soak-")))
        soak = Soak(stack, folder, chance, awards=asked.awards or AWARDS)
        while time.monotonic() < end:
            if not asked.awards:
                soak.sequences()
            soak.processes()
            console.print(f"{max(0, end - time.monotonic()) / 60:.1f} minutes left; {_line(soak.tried)}")
    _show(soak.tried)
    return 0


class Soak:
    """What a soak works with, and the counts of what it tried."""

    def __init__(self, stack: ExitStack, folder: Path, chance: random.Random, *, awards: int) -> None:
        self.folder, self.chance, self.tried, self.awards = folder, chance, Counter[str](), awards
        self.api = stack.enter_context(running_prefect_server(folder / "prefect"))
        stack.enter_context(temporary_settings({PREFECT_API_URL: self.api}))
        self.standin: Standin = stack.enter_context(running_standin())
        self.postgresql = migrated_postgresql(stack.enter_context(running_postgresql()))
        self.sqlite = migrated_sqlite(folder)

    def sequences(self) -> None:
        """Try a few random sequences of the model on one of the databases."""
        if self.chance.random() < 0.5:
            surroundings = Surroundings(self.standin, lambda: sqlite_database(self.folder, copy_of=self.sqlite))
        else:
            surroundings = Surroundings(self.standin, lambda: migrated_postgresql_database(self.postgresql))
        seed = self.chance.getrandbits(32)
        machine = type(
            "Machine", (LaurelMachine,), {"surroundings": surroundings, "_hypothesis_internal_use_seed": seed}
        )
        bounded = settings(
            max_examples=10,
            stateful_step_count=40,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(machine, settings=bounded, _min_steps=25)
        self.tried += surroundings.tried

    def processes(self) -> None:
        """Run real runs in real processes, two at once, stop and kill them at random; then count at Credly's side."""
        asyncio.run(self._processes())

    async def _processes(self) -> None:
        on_postgresql = self.chance.random() < 0.5
        opened = (
            migrated_postgresql_database(self.postgresql)
            if on_postgresql
            else sqlite_database(self.folder, copy_of=self.sqlite)
        )
        self.standin.control("POST", "reset")
        self.standin.seed(**SEED)
        self.standin.allow_duplicates(TEMPLATE)
        with pytest.MonkeyPatch.context() as environment:
            async with opened as database:
                world = World(database=database, base_url=self.standin.base_url)
                url = database.engine.url.render_as_string(hide_password=False)
                world.configure(environment, DATABASE_URL=url, RETRY_DELAY="0.05", LOOKUP_GRACE="0")
                await world.build()
                await self._kill_and_recover(world, database)

    async def _kill_and_recover(self, world: World, database: Database) -> None:
        await world.enable()
        for number in range(self.awards):
            user = f"user-{number}"
            await world.add_user(user)
            await world.award(user)
        self.standin.settings(latency_ms=30, fault_share=0.1, fault_seed=self.chance.getrandbits(30))
        on_postgresql = database.engine.dialect.name == "postgresql"
        for _ in range(max(3, self.awards // _KILLED_EACH)):
            await asyncio.to_thread(self._some_running, kill_database=on_postgresql and self.chance.random() < 0.5)
            await world.end_leases()
        self.standin.settings(latency_ms=0, fault_share=0)
        await world.let_time_pass(timedelta(days=1))
        with reconcile_process(self.api, self.folder) as process:
            assert await asyncio.to_thread(process.finish) == 0, process.log.read_text()
        await self._count(world)

    def _some_running(self, *, kill_database: bool) -> None:
        """Let two runs go on for a while, stop one of them for a moment, and kill both; the database, too, if asked."""
        with (
            reconcile_process(self.api, self.folder, "first") as first,
            reconcile_process(self.api, self.folder, "second") as second,
        ):
            time.sleep(self.chance.uniform(2, 9))  # nothing is waited for: any moment is a good one
            self._pause(first)
            if kill_database:
                restart_postgresql(self.postgresql, mode="immediate")
                self.tried["databases killed"] += 1
            second.kill()
            time.sleep(self.chance.uniform(0, 1))
        self.tried["processes killed"] += 2

    def _pause(self, process: FlowProcess) -> None:
        if process.process.poll() is None:
            process.process.send_signal(signal.SIGSTOP)
            time.sleep(self.chance.uniform(0, 2))
            process.process.send_signal(signal.SIGCONT)
            self.tried["processes stopped"] += 1

    async def _count(self, world: World) -> None:
        rows, badges, mails = await world.ledger(), self.standin.badges(), self.standin.mails()
        assert {row.state for row in rows} == {"issued"}, Counter((row.state, row.reason) for row in rows)
        assert len(rows) == len(badges) == len(mails) == self.awards, (len(rows), len(badges), len(mails))
        assert {row.credly_badge_id for row in rows} == {badge["id"] for badge in badges}
        assert sent_blindly(self.standin.requests()) == []
        assert await world.rows(IssuanceAttempt)
        self.tried["rounds of processes"] += 1
        self.tried["badges"] += len(badges)
        self.tried += Counter({f"fault {name}": n for name, n in self.standin.faults()["happened"].items()})


def _line(tried: Counter[str]) -> str:
    return ", ".join(f"{tried[what]} {what}" for what in ("sequences", "badges", "crashes", "processes killed"))


def _show(tried: Counter[str]) -> None:
    table = Table("tried", "times", title="No badge twice, none lost")
    for what, times in sorted({**tried, "badges twice": 0, "badges lost": 0}.items()):
        table.add_row(what, str(times))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
