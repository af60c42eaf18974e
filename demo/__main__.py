"""The demo: an invented platform's badges, issued to a stand-in of Credly by two scheduled runs, as in production."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from typing import TypeVar

from demo import servers
from demo.fill import demo_seed, fill
from demo.leftovers import refuse_own_platform, remove_data
from demo.outcome import LedgerCounts, count_awards_without_row, count_ledger, one_badge_url
from demo.schedule import EVERY_SECONDS, Schedule, sped_up
from demo.servers import FOLDER, HOST, DemoError
from demo.show import console, show_comparison, show_faults, show_ledger, show_progress, show_step, show_where_to_look
from models.database import Database, database_of
from settings import settings

RUN_WITHIN_SECONDS = 180
RECORDED_WITHIN_SECONDS = 40
STEPS = 7

T = TypeVar("T")


def main() -> int:
    started = time.monotonic()
    try:
        with servers.stopped_by_signals(), servers.only_one_here(), ExitStack() as stack:
            refuse_own_platform()
            as_promised = demo(stack)
    except DemoError as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    console.print(f"\nDone in {time.monotonic() - started:.0f} seconds.")
    return 0 if as_promised else 1


def demo(stack: ExitStack) -> bool:
    """Take all steps; return whether ledger and stand-in agree and the second run issued nothing."""
    show_step(1, STEPS, "Removing what an earlier demo left in .laurel")
    remove_data()
    prefect_port = servers.free_port(servers.PREFECT_PORT)
    standin_port = servers.free_port(servers.STANDIN_PORT)

    show_step(2, STEPS, "Starting Prefect's server and a stand-in for Credly on this machine")
    console.print(f"     The stand-in fails on purpose: {servers.FAULT_SHARE:.0%} of its answers get lost or go wrong.")
    prefect = servers.start_prefect(stack, prefect_port)
    standin = servers.start_standin(stack, standin_port, database=FOLDER / "standin.db", seed=demo_seed())

    show_step(3, STEPS, "Inventing a learning platform in .laurel/laurel.db")
    invent_platform(standin_port)
    standin.wait_until(lambda: servers.standin_ready(standin, standin_port))
    prefect.wait_until(lambda: servers.prefect_ready(prefect, prefect_port))
    servers.run("save-tokens", ["demo.save_tokens"], servers.prefect_environment(prefect_port))

    show_step(4, STEPS, "Setting up Laurel as the README does, and starting a worker")
    _, next_runs = servers.start_laurel(stack, prefect_port)

    console.print(f"     The next scheduled run: {' '.join(next_runs[0].split())}")
    console.print(f"     For the demo it is due every {EVERY_SECONDS} seconds.")
    with sped_up(prefect_port) as schedule:
        show_step(5, STEPS, "Waiting for the schedule: its next run issues a badge for every eligible award")
        first = scheduled_run(schedule)
        show_ledger(first, in_database(count_awards_without_row))

        show_step(6, STEPS, "Waiting for the run after that: nothing may be issued twice")
        second = scheduled_run(schedule)
    new = second.issued - first.issued
    console.print(f"     The second run issued {new or 'nothing'}.")
    show_faults(servers.ask(standin_port, "/_standin/faults")["happened"], second)

    show_step(7, STEPS, "Comparing the ledger with the badges at the stand-in")
    agreed = show_comparison(second, badges_at_standin(standin_port))
    console.print("     Waiting until Prefect's server has recorded both runs ...")
    wait_for_history(prefect_port)
    show_where_to_look(
        prefect=f"http://{HOST}:{prefect_port}",
        standin=f"http://{HOST}:{standin_port}",
        badge_url=in_database(one_badge_url),
    )
    return agreed and first.issued > 0 and new == 0


def in_database(work: Callable[[Database], Awaitable[T]]) -> T:
    async def opened() -> T:
        database = database_of(settings())
        try:
            return await work(database)
        finally:
            await database.dispose()

    return asyncio.run(opened())


def invent_platform(standin_port: int) -> None:
    base_url = f"http://{HOST}:{standin_port}/v1"
    rows = in_database(lambda database: fill(database, now=datetime.now(UTC), base_url=base_url))
    console.print(
        "     {portals} portals, {achievements} achievements ({credly_integrations} with Credly), {users} users, "
        "{achievement_awards} awards".format(**rows)
    )


def scheduled_run(schedule: Schedule) -> LedgerCounts:
    """Wait until the schedule's next run has ended, show how it goes, and return the ledger as it left it."""
    shown: LedgerCounts | None = None

    def progress() -> None:
        nonlocal shown
        counts = in_database(count_ledger)
        if counts.by_state and counts != shown:
            show_progress(counts)
        shown = counts

    seconds = schedule.wait_for_run(within_seconds=RUN_WITHIN_SECONDS, meanwhile=progress)
    console.print(f"     The run took {seconds:.0f} seconds.")
    return in_database(count_ledger)


def badges_at_standin(port: int) -> Counter[str]:
    return Counter(badge["organization_id"] for badge in servers.ask(port, "/_standin/badges")["badges"])


def wait_for_history(prefect_port: int) -> None:
    # Prefect's server records task runs in the background, so that the last ones appear after their run has ended.
    unfinished = {"task_runs": {"state": {"type": {"not_any_": ["COMPLETED", "FAILED", "CANCELLED", "CRASHED"]}}}}
    deadline = time.monotonic() + RECORDED_WITHIN_SECONDS
    before = -1
    with suppress(OSError):
        while time.monotonic() < deadline:
            everything = servers.ask(prefect_port, "/api/task_runs/count", body={})
            open_ones = servers.ask(prefect_port, "/api/task_runs/count", body=unfinished)
            if open_ones == 0 and everything == before:
                return
            before = everything
            # Longer than the server's flush interval in servers.py.
            time.sleep(2)


if __name__ == "__main__":
    raise SystemExit(main())
