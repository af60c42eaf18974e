"""Which errors of a driver concern a value in a row, and the search for the rows that have it."""

import sqlite3
from itertools import chain

import psycopg
import pymysql
import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError

from models.platform.isolation import Budget, is_about_a_value, read_in_halves, reading_around


@pytest.mark.parametrize(
    ("error", "about_a_value"),
    [
        (psycopg.errors.InvalidTextRepresentation(), True),
        (psycopg.errors.DivisionByZero(), True),
        (psycopg.errors.DatetimeFieldOverflow(), True),
        (psycopg.errors.CardinalityViolation(), True),
        (psycopg.errors.RaiseException(), True),
        (psycopg.DataError("date too large (after year 10K)"), True),
        (psycopg.errors.UndefinedTable(), False),
        (psycopg.errors.QueryCanceled(), False),
        (psycopg.OperationalError("connection failed"), False),
        (pymysql.err.OperationalError(1690, "BIGINT value is out of range"), True),
        (pymysql.err.OperationalError(1242, "Subquery returns more than 1 row"), True),
        (pymysql.err.DataError(1292, "Incorrect datetime value"), True),
        (pymysql.err.ProgrammingError(1146, "Table does not exist"), False),
        (pymysql.err.OperationalError(2013, "Lost connection"), False),
        (pymysql.err.OperationalError(1969, "max_statement_time exceeded"), False),
        (sqlite3.OperationalError("malformed JSON"), True),
        (sqlite3.OperationalError("integer overflow"), True),
        (sqlite3.DataError("string or blob too big"), True),
        (sqlite3.OperationalError("no such table: users"), False),
        (sqlite3.OperationalError("database is locked"), False),
        (TypeError("another error"), False),
    ],
)
def test_an_error_about_a_value_is_told_from_one_about_all_rows(error: Exception, about_a_value: bool) -> None:
    assert is_about_a_value(error) is about_a_value
    if not isinstance(error, TypeError):
        assert is_about_a_value(DBAPIError("SELECT", None, error)) is about_a_value


@pytest.mark.parametrize("bad", [set(), {0}, {7}, {3, 4}, set(range(8))], ids=str)
@pytest.mark.parametrize("most", [float("inf"), 3, 0])
def test_rows_are_searched_in_halves_within_a_budget(bad: set[int], most: float) -> None:
    statements: list[int] = []

    def read(connection: Connection, some: list[int]) -> list[int]:
        statements.append(len(some))
        fails = "json('no JSON')" if bad.intersection(some) else "1"
        connection.execute(text(f"SELECT {fails}"))
        return some

    def search(connection: Connection) -> tuple[list[int], list[int], list[int]]:
        budget = Budget(left=most)
        return read_in_halves(connection, list(range(8)), lambda some: read(connection, list(some)), budget=budget)

    with create_engine("sqlite://").connect() as connection:
        rows, unreadable, undecided = reading_around(search)(connection)

    assert sorted(chain(rows, unreadable, undecided)) == list(range(8))
    assert not bad.intersection(rows)
    assert bad.issuperset(unreadable)
    assert len(statements) <= 2 + min(most, 14)
    assert undecided == [] if most > 14 or not bad else undecided
