"""`make up`: Prefect with its UI, the stand-in for Credly and a worker on this machine, until Ctrl-C."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from urllib.parse import urlsplit

from demo import servers
from demo.__main__ import in_database
from demo.fill import demo_base_url, demo_seed, point_demo_at
from demo.servers import FOLDER, HOST, DemoError, Server
from demo.show import console
from models.database import Database
from models.migrate import create_platform_tables, migrate
from settings import DEFAULT_DATABASE


def main() -> int:
    return run_until_stopped(start_all)


def run_until_stopped(start: Callable[[ExitStack], list[Server]]) -> int:
    """Start processes, wait until a signal comes or one of them ends, and stop them all. Returns the exit code."""
    try:
        with servers.stopped_by_signals(), servers.only_one_here(), ExitStack() as stack:
            watch(start(stack))
    except DemoError as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    except SystemExit:
        console.print("Stopped.")
    return 0


def start_all(stack: ExitStack) -> list[Server]:
    """Start server, stand-in and worker with the deployments applied, and print where they are."""
    stored = in_database(prepare_database)
    standin_port = servers.free_port(urlsplit(stored or "").port or servers.STANDIN_PORT)
    prefect_port = servers.free_port(servers.PREFECT_PORT)
    environment = servers.prefect_environment(prefect_port)
    console.print("Starting Prefect's server and the stand-in for Credly ...")
    prefect = servers.start_prefect(stack, prefect_port)
    standin = servers.start_standin(stack, standin_port, database=FOLDER / "standin.db", seed=demo_seed())
    standin.wait_until(lambda: servers.standin_ready(standin, standin_port))
    if stored:
        base_url = f"http://{HOST}:{standin_port}/v1"
        in_database(lambda database: point_demo_at(database, base_url=base_url))
    prefect.wait_until(lambda: servers.prefect_ready(prefect, prefect_port))
    if stored:
        servers.run("save-tokens", ["demo.save_tokens"], environment)
    console.print("Applying the deployments of prefect.yaml and starting a worker ...")
    worker, next_runs = servers.start_laurel(stack, prefect_port)
    show_addresses(prefect_port, standin_port, filled=bool(stored))
    show_schedule(next_runs)
    return [prefect, standin, worker]


async def prepare_database(database: Database) -> str | None:
    """Create or update the tables, and return the address in the demo's connections, if there are any."""
    # Only in the demo's own file: in any other database the platform creates its tables itself.
    if database.url == f"sqlite:///{DEFAULT_DATABASE}":
        await create_platform_tables(database)
    await migrate(database)
    return await demo_base_url(database)


def show_addresses(prefect_port: int, standin_port: int, *, filled: bool) -> None:
    standin = f"http://{HOST}:{standin_port}"
    console.print(f"\n  Prefect: runs and schedules   http://{HOST}:{prefect_port}/v2/runs")
    console.print(f"  Start a run by hand           http://{HOST}:{prefect_port}/v2/deployments")
    console.print(f"  The stand-in's badges         {standin}/")
    console.print("  Logs                          .laurel/logs/")
    if not filled:
        console.print("\n  The database holds no invented platform; `make demo` makes one in .laurel/laurel.db.")


def show_schedule(next_runs: list[str]) -> None:
    console.print("\nThe next scheduled runs:")
    for line in next_runs:
        console.print(line, markup=False)
    console.print("\nCtrl-C stops all of it.")


def watch(processes: list[Server]) -> None:
    """Wait until a signal ends this, or one of the processes does."""
    while True:
        for server in processes:
            if server.process.poll() is not None:
                raise server.failure(f"ended with code {server.process.returncode}")
        time.sleep(0.5)


if __name__ == "__main__":
    raise SystemExit(main())
