"""What is too large to be read at once: a log in parts, and the platform's rows by many keys."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

from sqlalchemy import Connection, insert, select

from models.database import Database
from models.platform.names import names_of
from models.platform.people import Person, persons
from models.platform.tables import Portal, User, UserEmail
from models.tables import table
from tests.support.databases import sqlite_database
from tests.support.factories import a_portal, rows_of

portals = table(Portal)


def one_by_one(connection: Connection) -> Iterator[str]:
    query = select(portals.c.id).order_by(portals.c.id)
    with connection.execute(query, execution_options={"yield_per": 1}) as result:
        yield from result.scalars()


async def test_parts_are_of_one_moment(database: Database) -> None:
    for portal in "abc":
        await a_portal(database, portal)
    seen = []

    async with aclosing(database.read_in_parts(one_by_one)) as parts:
        async for part in parts:
            seen.append(part)
            await a_portal(database, f"z{part}")

    assert seen == ["a", "b", "c"]
    assert len(await rows_of(database, Portal)) == 6


async def test_parts_may_be_left_where_nobody_wants_more(database: Database) -> None:
    for portal in "abc":
        await a_portal(database, portal)

    for _ in range(30):  # more often than there are connections
        async with aclosing(database.read_in_parts(one_by_one)) as parts:
            assert await anext(parts) == "a"

    assert await database.read(lambda connection: list(one_by_one(connection))) == ["a", "b", "c"]


async def test_who_is_cancelled_during_a_step_closes_what_it_read(tmp_path: Path) -> None:
    under_way, go_on, closed = threading.Event(), threading.Event(), list[str]()

    def slow(_connection: Connection) -> Iterator[int]:
        try:
            under_way.set()
            go_on.wait(timeout=20)
            yield 1
        finally:
            closed.append("closed")

    async def read(database: Database) -> int:
        return await anext(database.read_in_parts(slow))

    async with sqlite_database(tmp_path) as database:
        reading = asyncio.create_task(read(database))
        await asyncio.to_thread(under_way.wait, 20)
        asyncio.get_running_loop().call_later(0.2, go_on.set)
        reading.cancel()
        await asyncio.wait([reading])

    assert reading.cancelled()
    assert closed == ["closed"]


async def test_more_keys_than_a_statement_takes_are_looked_up(database: Database) -> None:
    keys = [f"key-{number}" for number in range(2100)]
    await database.write(_people, keys)

    names = await database.platform.read(names_of, Portal, [*keys, *keys, "nowhere"])
    found = await database.platform.read(persons, [*keys, "nobody"])

    assert names == {key: f"name of {key}" for key in keys}
    assert len(found) == len(keys)
    assert vars(found["key-2099"]) == {"first_name": "key-2099", "last_name": None, "email": "key-2099@example.org"}
    assert "key" not in repr(found["key-2099"])
    assert vars(Person()) == {"first_name": None, "last_name": None, "email": None}


def _people(connection: Connection, keys: list[str]) -> None:
    connection.execute(insert(portals), [{"id": key, "name": f"name of {key}"} for key in keys])
    connection.execute(insert(table(User)), [{"id": key, "first_name": key} for key in keys])
    addresses = [
        {"id": f"{key} {place}", "user_id": key, "address": address, "is_primary": place == 1}
        for key in keys
        for place, address in enumerate(["another@example.org", f"{key}@example.org"])
    ]
    connection.execute(insert(table(UserEmail)), addresses)
