"""SQL functions that both databases have under other names."""

from typing import Any

from sqlalchemy import BigInteger, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from models.analytics.history_views import SECONDS


class utc_day(FunctionElement[str]):
    """The day of a moment in UTC, as text such as 2026-11-02, whatever the time zone of the connection."""

    type = String()
    inherit_cache = True


class utc_week(FunctionElement[str]):
    """The Monday of a moment's week in UTC, as text such as 2026-11-02."""

    type = String()
    inherit_cache = True


class utc_weekday(FunctionElement[str]):
    """The weekday of a moment in UTC, as text that sorts, such as `1 Mon`."""

    type = String()
    inherit_cache = True


class utc_hour(FunctionElement[str]):
    """The hour of a moment in UTC, as text such as 09."""

    type = String()
    inherit_cache = True


class whole_seconds(FunctionElement[int]):
    """The seconds from 1970 to a moment, rounded down."""

    type = BigInteger()
    inherit_cache = True


@compiles(utc_day, "sqlite")
def _day_on_sqlite(element: utc_day, compiler: Any, **options: Any) -> str:
    return f"substr({compiler.process(element.clauses, **options)}, 1, 10)"


@compiles(utc_day, "postgresql")
def _day_on_postgresql(element: utc_day, compiler: Any, **options: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **options)} AT TIME ZONE 'UTC', 'YYYY-MM-DD')"


@compiles(utc_week, "sqlite")
def _week_on_sqlite(element: utc_week, compiler: Any, **options: Any) -> str:
    return f"date(substr({compiler.process(element.clauses, **options)}, 1, 10), '-6 days', 'weekday 1')"


@compiles(utc_week, "postgresql")
def _week_on_postgresql(element: utc_week, compiler: Any, **options: Any) -> str:
    moment = f"{compiler.process(element.clauses, **options)} AT TIME ZONE 'UTC'"
    return f"to_char(date_trunc('week', {moment}), 'YYYY-MM-DD')"


@compiles(utc_weekday, "sqlite")
def _weekday_on_sqlite(element: utc_weekday, compiler: Any, **options: Any) -> str:
    number = f"strftime('%w', substr({compiler.process(element.clauses, **options)}, 1, 10))"
    return f"substr('7 Sun1 Mon2 Tue3 Wed4 Thu5 Fri6 Sat', 1 + 5 * {number}, 5)"


@compiles(utc_weekday, "postgresql")
def _weekday_on_postgresql(element: utc_weekday, compiler: Any, **options: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **options)} AT TIME ZONE 'UTC', 'ID Dy')"


@compiles(utc_hour, "sqlite")
def _hour_on_sqlite(element: utc_hour, compiler: Any, **options: Any) -> str:
    return f"substr({compiler.process(element.clauses, **options)}, 12, 2)"


@compiles(utc_hour, "postgresql")
def _hour_on_postgresql(element: utc_hour, compiler: Any, **options: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **options)} AT TIME ZONE 'UTC', 'HH24')"


@compiles(whole_seconds, "sqlite")
@compiles(whole_seconds, "postgresql")
def _seconds(element: whole_seconds, compiler: Any, **options: Any) -> str:
    return SECONDS[compiler.dialect.name].format(compiler.process(element.clauses, **options))
