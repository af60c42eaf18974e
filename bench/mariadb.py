"""Nothing new on MariaDB: Moodle's schema, read by the ready-made mapping, with a ledger that has every award."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert

from bench.figures import Findings
from bench.options import number
from bench.world import World
from models.database import Database
from models.ledger.tables import BadgeIssuance
from models.migrate import migrate
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table
from rules.ledger.states import IssuanceState, Origin
from rules.ledger.transitions import Transition
from tests.support.mariadb import administer, as_reader, running_mariadb
from tests.support.platforms import MOODLE

BADGES, OF_A_USER = 400, 6
_PORTION = 10_000


def measure(world: World) -> Findings:
    """Plan with 300 000 issued badges of Moodle that are all in the ledger, by an account that may only read."""
    rows, rounds = number("ISSUED", 300_000), number("ROUNDS", 3)
    server = world.stack.enter_context(running_mariadb())
    now, span = int(time.time()), number("DAYS", 30) * 86400
    _fill_moodle(server, rows, now, span)
    ledger = world.new_database()
    asyncio.run(_fill_ledger(ledger, rows, now, span))
    platform = {
        "platform_url": as_reader(server, "moodle"),
        "mapping": "moodle",
        "mapping_parameters": "wwwroot=https://moodle.example.org",
    }
    sizes = f"{rows // OF_A_USER:,} users, {BADGES} badges, {rows:,} issued"
    found = Findings(
        measure=f"mariadb, {rows:,} ({world.engine})", how=f"{sizes}, by the mapping `moodle`; {rounds} rounds"
    )
    took: dict[str, Any] = world.run("bench.run_planning", rounds + 1, database=ledger, **platform)
    warm = {name: [1000 * each for each in seconds[1:]] for name, seconds in took["steps"].items()}
    both = [plan + sweep for plan, sweep in zip(warm["plan"], warm["sweep"], strict=True)]
    found.add("planning, and this run's part of the rounds", both, "ms", at_most=1000)
    found.add("planning", warm["plan"], "ms")
    found.add("this run's part of the rounds", warm["sweep"], "ms")
    found.add("processor time of Laurel for both", [1000 * each for each in took["cpu"][1:]], "ms")
    found.add("peak memory", [took["peak_megabytes"]], "MB")
    whole = world.run("bench.run_planning", 1, "--full", database=ledger, **platform)
    found.add("everything looked through at once", whole["steps"]["sweep"], "s")
    found.add("its peak memory", [whole["peak_megabytes"]], "MB")
    found.details |= {"parts": took, "full": whole}
    found.notes.append("the first round is left out: it fills the caches")
    return found


def _fill_moodle(server: str, rows: int, now: int, span: int) -> None:
    administer(
        server,
        "CREATE DATABASE moodle CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
        "USE moodle",
        *MOODLE,
        "INSERT INTO mdl_course (id, category, fullname) VALUES (1, 0, 'Academy')",
        "INSERT INTO mdl_user (id, firstname, lastname, email)"
        f" SELECT seq, 'Ada', seq, CONCAT(seq, '@example.org') FROM seq_1_to_{rows // OF_A_USER}",
        f"INSERT INTO mdl_badge (id, name) SELECT seq, CONCAT('Badge ', seq) FROM seq_1_to_{BADGES}",
        "INSERT INTO mdl_badge_issued (id, badgeid, userid, uniquehash, dateissued)"
        f" SELECT seq + 1, (seq DIV {OF_A_USER} + seq % {OF_A_USER} * 67) % {BADGES} + 1, seq DIV {OF_A_USER} + 1,"
        f" SHA1(seq), {now} - 60 - (seq * 7919) % {rows} * {span} DIV {rows} FROM seq_0_to_{rows - 1}",
        "ANALYZE TABLE mdl_user, mdl_badge, mdl_badge_issued",
    )


async def _fill_ledger(address: str, rows: int, now: int, span: int) -> None:
    database = Database(address)
    await migrate(database)
    await database.write(_put_settings)
    for start in range(0, rows, _PORTION):
        await database.write(_put_issued, list(_issued(range(start, min(rows, start + _PORTION)), rows, now, span)))
    await database.dispose()


def _put_settings(connection: Connection) -> None:
    link = CredlyConnection(
        portal_id="moodle",
        organization_id="moodle",
        token_block="bench",  # noqa: S106 - a block's name
        base_url="http://127.0.0.1:1/v1",
        connected_at=datetime.now(UTC),
    )
    connection.execute(insert(table(CredlyConnection)), link.model_dump(exclude={"id"}))
    long_ago = datetime.now(UTC) - timedelta(days=3650)
    for key in range(1, BADGES + 1):
        plain = CredlyIntegration(achievement_id=str(key), badge_template_id="template", enabled_at=long_ago)
        connection.execute(insert(table(CredlyIntegration)), plain.model_dump(exclude={"id"}))


def _issued(numbers: range, rows: int, now: int, span: int) -> Iterator[dict[str, Any]]:
    for each in numbers:
        moment = datetime.fromtimestamp(now - 60 - each * 7919 % rows * span // rows, UTC)
        row = BadgeIssuance(
            achievement_id=str((each // OF_A_USER + each % OF_A_USER * 67) % BADGES + 1),
            user_id=str(each // OF_A_USER + 1),
            badge_template_id="template",
            portal_id="moodle",
            award_id=str(each + 1),
            awarded_at=moment,
            origin=Origin.AWARD,
            state=IssuanceState.ISSUED,
            transition=Transition.ISSUE,
            not_before=moment,
            planned_at=moment,
            updated_at=moment,
            looked_again_at=moment,
            recorded_at=moment,
            credly_badge_id=f"badge-{each}",
        )
        yield row.model_dump(exclude={"id"})


def _put_issued(connection: Connection, rows: list[dict[str, Any]]) -> None:
    connection.execute(insert(table(BadgeIssuance)), rows)
