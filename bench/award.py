"""From award to badge, unattended: the schedule alone, or with a call to the endpoint after each award."""

import asyncio
import time
from datetime import UTC, datetime

import httpx
from sqlalchemy import Connection

from bench.figures import Findings
from bench.options import number
from bench.rows import fill
from bench.world import FOLDER, Standin, World, cpu_of
from demo import servers
from demo.servers import HOST, Server
from models.database import Database

_TOKEN = "invented-token-of-the-platform"  # noqa: S105
_PATH = "/portals/portal-0/runs"
_LEFT_OVER_SECONDS = 150


def measure(world: World) -> Findings:
    """Set up as documented, make an award every few seconds, and wait for the badges."""
    minutes, every, called = number("MINUTES", 10), number("EVERY", 7), bool(number("TRIGGER", 0))
    awards = minutes * 60 // every
    world.start_prefect()
    standin, address = world.start_standin(latency_ms=100), world.new_database()
    world.environment |= {"LAUREL_DATABASE_URL": address, "LAUREL_TRIGGER_TOKEN": _TOKEN}
    asyncio.run(_prepare(address, standin, awards=awards))
    servers.run("bench-setup", ["scripts.setup_deployment"], world.environment, within_seconds=180)
    world.run("bench.run_plan", 1, database=address)
    command = ["prefect", "worker", "start", "--pool", "badges"]
    processes = [world.prefect, servers.start(world.stack, "bench-worker", command, world.environment)]
    endpoint = ""
    if called:
        port = servers.free_port()
        endpoint = f"http://{HOST}:{port}"
        command = ["tasks.trigger", "--port", str(port)]
        trigger = servers.start(world.stack, "bench-trigger", command, world.environment)
        trigger.wait_until(lambda: servers.ask(port, "/health") == {"status": "ok"})
        processes.append(trigger)
    return asyncio.run(
        _measured(world, standin, address, awards, every, endpoint, [each for each in processes if each])
    )


async def _measured(
    world: World, standin: Standin, address: str, awards: int, every: int, endpoint: str, processes: list[Server]
) -> Findings:
    size, before, began = _size(), _cpu(processes), time.monotonic()
    made = await _award(address, awards, every, endpoint)
    deadline = time.monotonic() + _LEFT_OVER_SECONDS
    while standin.badges_made() < awards and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(1)
    hours = (time.monotonic() - began) / 3600
    made_at = {each["earner"]: each["received_at"] for each in standin.requests() if each["status"] == 201}
    issued = {user: datetime.fromisoformat(moment).timestamp() for user, moment in made_at.items()}
    waits = sorted(issued[user] - moment for user, moment in made.items() if user in issued)
    how = f"{awards} awards, one every {every} s, {'each with a call' if endpoint else 'by the schedule alone'}"
    found = Findings(measure=f"award ({world.engine})", how=how, details={"waits": waits})
    found.add("badges made", [len(waits)], "")
    for share in (50, 95, 99):
        found.add(f"p{share} from award to badge", [waits[min(len(waits) - 1, len(waits) * share // 100)]], "s")
    found.add("CPU of server, worker, runs and endpoint", [(_cpu(processes) - before) / 36 / hours], "% of a core")
    found.add("Prefect's database grew by", [(_size() - size) / 1e6 / hours], "MB/h")
    return found


async def _prepare(address: str, standin: Standin, *, awards: int) -> None:
    # Users and settings only: the awards are made one by one.
    database = Database(address)
    await fill(database, due=[awards], base_url=standin.base_url)
    await database.write(Connection.exec_driver_sql, "DELETE FROM achievement_awards")
    await database.dispose()


async def _award(address: str, awards: int, every: int, endpoint: str) -> dict[str, float]:
    """Make the awards, call the endpoint after each, if there is one, and return when each was made."""
    database, made = Database(address), dict[str, float]()
    async with httpx.AsyncClient(base_url=endpoint, headers={"Authorization": f"Bearer {_TOKEN}"}) as client:
        for place in range(awards):
            moment = datetime.now(UTC)
            await database.write(
                Connection.exec_driver_sql,
                "INSERT INTO achievement_awards (id, achievement_id, user_id, awarded_at) "
                f"VALUES ('new-{place}', 'achievement-0', 'user-0-{place}', '{moment:%Y-%m-%d %H:%M:%S.%f}')",
            )
            made[f"user-0-{place}"] = moment.timestamp()
            if endpoint:
                (await client.post(_PATH)).raise_for_status()
            await asyncio.sleep(every)
    await database.dispose()
    return made


def _cpu(processes: list[Server]) -> float:
    return sum(cpu_of(each.process.pid) for each in processes)


def _size() -> int:
    return sum(file.stat().st_size for file in (FOLDER / "prefect").glob("prefect.db"))
