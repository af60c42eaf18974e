"""First badge: from `prefect deployment run` to the badge at Credly, and where that time goes."""

import asyncio
import sys
import time
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from bench.figures import Findings
from bench.options import number
from bench.rows import fill
from bench.world import Standin, World
from demo import servers
from demo.servers import HOST
from models.database import Database
from settings import ROOT

_WITHIN_SECONDS = 120


def measure(world: World) -> Findings:
    """Start reconcile like an operator, several times, each with one new award."""
    rounds = number("ROUNDS", 3)
    world.start_prefect()
    standin, address = world.start_standin(latency_ms=100), world.new_database()
    world.environment |= {"LAUREL_ROOT": str(ROOT), "LAUREL_PYTHON": sys.executable, "LAUREL_DATABASE_URL": address}
    _prefect(world, "work-pool", ["work-pool", "create", "badges", "--type", "process"])
    _prefect(world, "deploy", ["--no-prompt", "deploy", "--name", "reconcile"])
    servers.start(world.stack, "bench-worker", ["prefect", "worker", "start", "--pool", "badges"], world.environment)
    asyncio.run(_prepare(address, standin, rounds=rounds))
    world.run("bench.run_plan", 1, database=address)
    legs = [_one(world, standin, address, each) for each in range(rounds)]
    found = Findings(
        measure=f"first ({world.engine})", how=f"{rounds} times one new award, 100 ms", details={"legs": legs}
    )
    for name in legs[0]:
        found.add(name, [each[name] for each in legs], "s")
    found.notes.append("the worker asks for work every 2 seconds here; PREFECT_WORKER_QUERY_SECONDS is 10 otherwise")
    return found


def _prefect(world: World, name: str, command: list[str]) -> None:
    servers.run(name, ["prefect", *command], world.environment)


async def _prepare(address: str, standin: Standin, *, rounds: int) -> None:
    # Users and settings only: the awards are added one by one.
    database = Database(address)
    await fill(database, due=[rounds], base_url=standin.base_url)
    await database.write(Connection.exec_driver_sql, "DELETE FROM achievement_awards")
    await database.dispose()


async def _award(address: str, place: int) -> None:
    database = Database(address)
    await database.write(
        Connection.exec_driver_sql,
        "INSERT INTO achievement_awards (id, achievement_id, user_id, awarded_at) "
        f"VALUES ('new-{place}', 'achievement-0', 'user-0-{place}', '{datetime.now().astimezone():%Y-%m-%d}')",
    )
    await database.dispose()


def _one(world: World, standin: Standin, address: str, place: int) -> dict[str, float]:
    asyncio.run(_award(address, place))
    port = world.prefect_port
    deployment = servers.ask(port, "/api/deployments/name/reconcile/reconcile")["id"]
    asked = time.time()
    run = _started(port, deployment)
    while standin.badges_made() <= place:
        if time.time() - asked > _WITHIN_SECONDS:
            raise servers.DemoError(f"There was no badge within {_WITHIN_SECONDS} seconds, see http://{HOST}:{port}.")
        time.sleep(0.05)
    while not servers.ask(port, f"/api/flow_runs/{run}")["end_time"]:
        time.sleep(0.2)
    states = {each["type"]: _moment(each["timestamp"]) for each in _states(port, run)}
    sent = next(_moment(each["received_at"]) for each in _calls(standin) if each["place"] == place)
    return {
        "until the worker has taken it": states["PENDING"] - asked,
        "until the flow runs: process, imports": states["RUNNING"] - states["PENDING"],
        "until Credly is asked to issue: planning, checks": sent - states["RUNNING"],
        "in all, to the badge": sent - asked,
        "and until the run is over": states["COMPLETED"] - sent,
    }


def _started(port: int, deployment: str) -> str:
    # Retried while Prefect's database is busy, like Prefect's own command.
    while True:
        with suppress(OSError):
            return str(servers.ask(port, f"/api/deployments/{deployment}/create_flow_run", body={})["id"])


def _states(port: int, run: str) -> list[dict[str, Any]]:
    return list(servers.ask(port, f"/api/flow_run_states/?flow_run_id={run}"))


def _calls(standin: Standin) -> list[dict[str, Any]]:
    made = [each for each in standin.requests() if each["method"] == "POST" and each["status"] == 201]
    return [each | {"place": place} for place, each in enumerate(made)]


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
