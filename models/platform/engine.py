"""The engine of a platform that has an address or a mapping of its own: read only, each statement with a time limit."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from threading import Timer
from typing import Any

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import QueuePool

from models.columns import any_text
from models.errors import PlatformNotUsable
from models.platform.compiler import write_mapped
from models.platform.files import cause_in_file
from models.platform.mapping import RELATIONS, Mapping

_SECONDS_TO_CONNECT = 10
_TLS_PARAMETERS = ("ssl_mode", "ssl-mode", "sslmode", "ssl")  # names in use, of which PyMySQL has none


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the platform is read, and how. `time_limit` is that of each statement."""

    url: str
    mapping: Mapping
    time_limit: timedelta = timedelta(seconds=60)


def platform_engine(source: Source, postgresql_engine: Callable[[str], Engine], **pool: Any) -> Engine:
    """Return an engine that reads by the mapping.

    Raises:
        PlatformNotUsable: the address is malformed, or its driver is not installed.
    """
    try:
        url = make_url(source.url)
        if url.get_backend_name() == "postgresql":
            engine = postgresql_engine(source.url)
        else:
            address, arguments = _address_and_arguments(url, source)
            engine = create_engine(address, pool_pre_ping=True, **arguments, **pool)
    except NoSuchModuleError:
        kind = source.url.partition(":")[0].partition("+")[0]
        package = "duckdb-engine" if kind == "duckdb" else f"{kind}-sqlalchemy or sqlalchemy-{kind}"
        raise PlatformNotUsable(
            f"No SQLAlchemy dialect `{kind}` is installed for LAUREL_PLATFORM_URL: install the package that has it, "
            f"usually {package}, into .venv."
        ) from None
    except (ArgumentError, ValueError):
        raise PlatformNotUsable(
            "LAUREL_PLATFORM_URL is not an address that can be used, such as mysql://USER:PASSWORD@HOST:PORT/DATABASE. "
            "In a user's name or a password, @ : / ? # and % are written as %40 %3A %2F %3F %23 and %25."
        ) from None
    except ModuleNotFoundError as missing:
        raise PlatformNotUsable(
            f"The driver `{missing.name}` is not installed, which LAUREL_PLATFORM_URL needs: "
            f".venv/bin/python -m pip install {missing.name}."
        ) from None
    any_dialect: Any = engine.dialect
    any_dialect.laurel_mapping = _mapping_on(engine, source.mapping)
    write_mapped(engine)
    prepare = _PREPARE.get(engine.dialect.name)
    if prepare is not None:
        prepare(engine, source.time_limit.total_seconds())
    # All statements of a read see one snapshot; on MySQL and SQLite a transaction is that anyway.
    snapshot = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return engine.execution_options(**snapshot) if engine.dialect.name == "postgresql" else engine


def _mapping_on(engine: Engine, mapping: Mapping) -> Mapping | None:
    if not mapping.is_native:
        return mapping
    if engine.dialect.name in ("postgresql", "sqlite"):
        return None
    # Elsewhere a table's collation may find two keys equal, which a derived table prevents.
    return replace(mapping, queries={name: f"SELECT * FROM {name}" for name in RELATIONS})  # noqa: S608 - constants


def _address_and_arguments(url: URL, source: Source) -> tuple[URL, dict[str, Any]]:
    """Return the address without the parameters that its driver does not have, and what replaces them."""
    kind = url.get_backend_name()
    if kind == "sqlite":
        if not url.database or not Path(url.database).is_file():
            raise PlatformNotUsable(f"LAUREL_PLATFORM_URL names the file {url.database}, which does not exist.")
        return url, {}
    if kind == "duckdb":
        # Nothing is fetched from the network; a file of DuckDB's own is not written.
        config = {"autoinstall_known_extensions": "false", "TimeZone": "UTC"}
        in_memory = url.database in (None, "", ":memory:")
        return url, {"poolclass": QueuePool, "connect_args": {"config": config, "read_only": not in_memory}}
    if kind not in ("mysql", "mariadb") or url.get_driver_name() != "pymysql":
        return url, {}
    # A thread cannot be cancelled: a dead connection must raise by itself.
    seconds = int(source.time_limit.total_seconds()) + _SECONDS_TO_CONNECT
    arguments: dict[str, Any] = {} if "read_timeout" in url.query else {"read_timeout": seconds}
    modes = [str(url.query[name]).upper() for name in _TLS_PARAMETERS if name in url.query]
    if modes:
        files = {
            name: url.query[f"ssl_{name}"] for name in ("ca", "capath", "cert", "key") if f"ssl_{name}" in url.query
        }
        arguments |= _tls(modes[0], files)
        url = url.difference_update_query([*_TLS_PARAMETERS, *(f"ssl_{name}" for name in files)])
    return url, {"connect_args": arguments}


def _tls(mode: str, files: dict[str, Any]) -> dict[str, Any]:
    match mode.replace("-", "_"):
        case "DISABLED" | "DISABLE" | "FALSE" | "0":
            return {"ssl_disabled": True}
        case "PREFERRED" | "PREFER":
            return {}
        case "REQUIRED" | "REQUIRE" | "TRUE" | "1":
            return {"ssl": {"check_hostname": False, "verify_mode": "none", **files}}
        case "VERIFY_CA":
            return {"ssl": {"check_hostname": False, "verify_mode": "required", **files}}
        case "VERIFY_IDENTITY" | "VERIFY_FULL":
            return {"ssl": {"check_hostname": True, "verify_mode": "required", **files}}
    raise ValueError(mode)


def _prepare_postgresql(engine: Engine, seconds: float) -> None:
    def prepare(connection: Any, _record: Any) -> None:
        connection.execute(f"SET statement_timeout = {int(seconds * 1000)}")
        connection.commit()

    event.listen(engine, "connect", prepare)


def _prepare_mysql(engine: Engine, seconds: float) -> None:
    def prepare(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT VERSION()")
            on_mariadb = "mariadb" in str(cursor.fetchone()[0]).lower()
            limit = f"max_statement_time = {seconds}" if on_mariadb else f"max_execution_time = {int(seconds * 1000)}"
            cursor.execute(f"SET SESSION {limit}, time_zone = '+00:00'")
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SET SESSION TRANSACTION READ ONLY")

    event.listen(engine, "connect", prepare)


def _prepare_sqlite(engine: Engine, seconds: float) -> None:
    def prepare(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        connection.text_factory = any_text
        connection.execute("PRAGMA query_only = ON")
        connection.set_progress_handler(lambda: time.monotonic() > record.info.get("ends_at", 0), 10_000)

    def begin_statement(connection: Connection, *_: Any) -> None:
        connection.info["ends_at"] = time.monotonic() + seconds

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    event.listen(engine, "before_cursor_execute", begin_statement)


def _prepare_duckdb(engine: Engine, seconds: float) -> None:
    def begin_statement(connection: Connection, *_: Any) -> None:
        driver: Any = connection.connection.driver_connection
        connection.info["limit"] = limit = Timer(seconds, driver.interrupt)
        limit.daemon = True
        limit.start()

    event.listen(engine, "before_cursor_execute", begin_statement)
    event.listen(engine, "after_cursor_execute", lambda connection, *_: connection.info["limit"].cancel())
    event.listen(engine, "handle_error", _end_limit)


def _end_limit(context: ExceptionContext) -> None:
    if context.connection is not None and "limit" in context.connection.info:
        context.connection.info["limit"].cancel()


_PREPARE: dict[str, Callable[[Engine, float], None]] = {
    "postgresql": _prepare_postgresql,
    "mysql": _prepare_mysql,
    "mariadb": _prepare_mysql,
    "sqlite": _prepare_sqlite,
    "duckdb": _prepare_duckdb,
}


_CAUSES = {
    # Numbers of MySQL, SQLSTATEs of PostgreSQL, and the texts of SQLite and of failed connections, which have neither.
    r"1146|1356|1449|42P01|no such table|Table with name": "a table or view that a query names does not exist",
    r"1054|1305|1630|42703|42883|no such (column|function)": "a query names a column or function that does not exist",
    r"1064|1149|42601|(near .*: |Parser Error: )syntax error|incomplete input": "a query is not valid SQL here",
    r"1044|1045|1142|1143|1370|1698|42501|28P01|28000|permission denied|password authentication": (
        "the account may not log in, or has no SELECT on a table of a query"
    ),
    r"1969|3024|57014|[Ii]nterrupted": "a statement took longer than LAUREL_PLATFORM_TIMEOUT",
    r"1049|3D000": "there is no database of this name",
    r"unexpected keyword argument|invalid connection option": "its driver has no such parameter of the address",
}


_FIRST_OF_CLIENT = 2000  # MySQL's numbers below are answers of the server


def platform_error(error: Exception, url: URL) -> PlatformNotUsable | None:
    """Return the sentence for a database error that concerns all rows; None: it may concern a value."""
    original = getattr(error, "orig", error)
    first = original.args[0] if original.args else ""
    if url.get_backend_name() == "duckdb" and (cause := cause_in_file(str(first), getattr(error, "statement", None))):
        return PlatformNotUsable(f"{cause}. Nothing is lost: once it is corrected, the next run continues.")
    # PyMySQL gives both a SQLSTATE and MySQL's number, which says more; PostgreSQL's message may contain values.
    code = str(first if isinstance(first, int) else getattr(original, "sqlstate", None) or first)
    found = next((cause for pattern, cause in _CAUSES.items() if re.search(rf"\b({pattern})\b", code)), None)
    away = isinstance(error, OperationalError) or getattr(error, "connection_invalidated", False)
    if found is None and not away:
        return None
    answered = isinstance(first, int) and first < _FIRST_OF_CLIENT
    cause = found or (f"error {first}" if answered else "it could not be reached, or ended the connection")
    return PlatformNotUsable(
        f"The platform's database at {url.host or url.database or 'this machine'} could not be read: {cause}. "
        "Nothing is lost: the next run continues. `python -m flows.check` looks at address, account and mapping."
    )
