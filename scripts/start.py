"""`make start`: Prefect's server with its schedule and a worker, for your own platform, on this machine until Ctrl-C.

Settings come from the environment or `.env`. Stopping and starting again loses nothing.
"""

import sys
from contextlib import ExitStack

from demo import servers
from demo.servers import HOST, Server
from demo.show import console
from demo.up import run_until_stopped, show_schedule
from models.database import valid_settings

TRIGGER_PORT = 8070


def start_all(stack: ExitStack) -> list[Server]:
    port = servers.free_port(servers.PREFECT_PORT)
    console.print("Starting Prefect's server ...")
    prefect = servers.start_prefect(stack, port)
    prefect.wait_until(lambda: servers.prefect_ready(prefect, port))
    console.print("Applying the deployments of prefect.yaml and starting a worker ...")
    worker, next_runs = servers.start_laurel(stack, port)
    processes = [prefect, worker]
    if valid_settings().trigger_token.get_secret_value():
        trigger = ["tasks.trigger", "--port", str(TRIGGER_PORT)]
        processes.append(servers.start(stack, "trigger", trigger, servers.prefect_environment(port)))
        console.print(
            f"\n  To start a run at once        POST http://{HOST}:{TRIGGER_PORT}/portals/PORTAL/runs", end=""
        )
    console.print(f"\n  Prefect: runs and schedules   http://{HOST}:{port}/v2/runs")
    console.print(f"  Forms                         http://{HOST}:{port}/v2/deployments")
    console.print(f"  For commands, in .env         PREFECT_API_URL=http://{HOST}:{port}/api")
    console.print("  Logs                          .laurel/logs/")
    console.print("\nWhat is still missing: .venv/bin/python -m flows.check")
    show_schedule(next_runs)
    return processes


if __name__ == "__main__":
    sys.exit(run_until_stopped(start_all))
