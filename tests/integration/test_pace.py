"""An organization's pace is one for all processes: they book its time in the database, by the database's clock."""

import asyncio

from models.database import Database
from models.setup import rate_limit as pace

ORGANIZATION = "https://api.credly.com/v1 northwind"
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
