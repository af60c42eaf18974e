"""An organization's pace is one for all processes: they book its time in the database, by the database's clock."""

import asyncio
from typing import Any

from models.database import Database
from models.setup import organizations
from models.setup import rate_limit as pace

BASE_URL = "https://api.credly.com/v1"
ORGANIZATION = f"{BASE_URL} northwind"
MINUTE = 60.0


async def book(
    database: Database, organization: str = ORGANIZATION, *, seconds: float = MINUTE, later: float = 0.0
) -> float:
    return await database.write(lambda connection: pace.book(connection, organization, seconds=seconds, later=later))


async def pause(database: Database, seconds: float) -> None:
    await database.write(lambda connection: pace.pause(connection, ORGANIZATION, seconds=seconds))


async def test_who_comes_later_waits_for_who_was_first(database: Database) -> None:
    waits = [await book(database) for _ in range(3)]

    assert [round(wait / MINUTE) for wait in waits] == [0, 1, 2]
    assert waits[0] == 0


async def test_at_the_same_time_everybody_gets_a_time_of_their_own(database: Database) -> None:
    processes = [Database(database.url) for _ in range(4)]

    waits = await asyncio.gather(*(book(each) for each in processes for _ in range(5)))

    assert sorted(round(wait / MINUTE) for wait in waits) == list(range(20))
    for each in processes:
        await each.dispose()


async def test_who_was_late_moves_his_next_turn_and_everybodys_behind_it(database: Database) -> None:
    await book(database)

    waits = [await book(database, later=MINUTE), await book(database)]

    assert [round(wait / MINUTE) for wait in waits] == [2, 3]


async def test_one_organizations_time_is_no_other_ones(database: Database) -> None:
    await book(database)

    assert await book(database, "https://api.credly.com/v1 harbour") == 0


async def test_time_that_nobody_took_is_not_saved_up(database: Database) -> None:
    await book(database, seconds=-MINUTE)

    assert await book(database) == 0
    assert round(await book(database) / MINUTE) == 1


async def test_a_pause_holds_everybody_and_a_shorter_one_does_not_end_it(database: Database) -> None:
    await pause(database, 10 * MINUTE)
    await pause(database, MINUTE)

    assert round(await book(database) / MINUTE) == 10


async def test_the_first_word_about_an_organization_may_be_a_pause(database: Database) -> None:
    await book(database)
    await pause(database, 5 * MINUTE)

    assert [round(await book(database) / MINUTE) for _ in range(2)] == [5, 6]


async def test_what_was_reserved_at_another_pace_is_dropped_and_at_the_same_it_is_kept(database: Database) -> None:
    at_3: dict[str, Any] = {"base_url": BASE_URL, "organization_id": "northwind", "calls_per_second": 3.0}
    await database.write(organizations.put, **at_3, token_block="northwind")
    for name in ("northwind", "harbour"):
        await book(database, f"{BASE_URL} {name}", seconds=60 * MINUTE)

    await database.write(organizations.forget_other_pace, **at_3)
    assert round(await book(database) / MINUTE) == 60
    await database.write(organizations.forget_other_pace, **at_3 | {"calls_per_second": 2.0})

    assert await book(database) == 0
    assert round(await book(database, f"{BASE_URL} harbour") / MINUTE) == 60
