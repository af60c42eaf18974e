"""Database errors: as one sentence with the remedy, or without the values of rows that a driver quotes."""

import re
import sqlite3

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, StatementError

from rules.forms.inputs import InvalidInput


class NotUsable(InvalidInput):
    """A database cannot be reached, refuses the connection, or has no such table; the message contains the remedy."""


class TableMissing(NotUsable):
    """A table that Laurel reads or writes does not exist."""


class PlatformNotUsable(NotUsable):
    """The platform's database cannot be read now, or its mapping is wrong. The ledger can be used."""


def shown(url: URL) -> str:
    """Return an address without password and parameters, of which one may be a password too."""
    return url.set(query={}).render_as_string(hide_password=True)


def usage_error(error: DBAPIError, url: URL) -> NotUsable | None:
    message = str(error.orig)
    if found := re.search(r'no such table: (\S+)|relation "([^"]+)" does not exist', message):
        return TableMissing(
            f"The database has no table or view {found[1] or found[2]}. Laurel's own tables are created by `alembic "
            "upgrade head`; docs/how-to/adopting.md describes the platform's. `python -m flows.check` lists what "
            "else is missing."
        )
    if denied := re.search(r"permission denied for [\w ]*\w", message):
        return NotUsable(
            f"Laurel's role has no sufficient rights: {denied[0]}. `python -m flows.check` lists what to grant."
        )
    if refused := next((advice for pattern, advice in _LOGIN_ERRORS.items() if re.search(pattern, message)), None):
        return NotUsable(f"{shown(url)} refused the connection: {refused}")
    if re.search("read-only transaction|during recovery|readonly database", message):
        return read_only(url)
    if re.search("unable to open database file|file is not a database", message):
        return NotUsable(f"The file in LAUREL_DATABASE_URL cannot be used as a SQLite database: {message}.")
    if re.match("connection (failed|is bad|timeout)|failed to resolve|invalid connection option", message):
        return NotUsable(
            f"The database at {url.host or 'this machine'} (port {url.port or 'as usual'}) could not be reached "
            f"({message.rpartition('failed: ')[2]}). Is it running, and are host and port in "
            "LAUREL_DATABASE_URL right?"
        )
    return None


def read_only(url: URL) -> NotUsable:
    return NotUsable(f"{shown(url)} is read-only, and Laurel's own tables are written: look at LAUREL_DATABASE_URL.")


class DriverError(Exception):
    """What a driver reported, without the values of rows and parameters that it may have quoted."""


def without_values(error: StatementError) -> StatementError:
    """Return an error of the same class whose text, attributes and pickle have no value of a row or a parameter."""
    if isinstance(error, DBAPIError):
        return without_values_of_driver(error)
    return StatementError(f"{type(error.orig).__name__} before the statement was sent", error.statement, None, None)


def without_values_of_driver(error: DBAPIError) -> DBAPIError:
    clean = DriverError(driver_message(error.orig))
    return type(error)(
        error.statement, None, clean, hide_parameters=True, connection_invalidated=error.connection_invalidated
    )


def driver_message(original: BaseException | None) -> str:
    """Return what a driver reported, or its class and the names in it if the text may quote a value."""
    message = str(original).partition("\n")[0]
    if isinstance(original, sqlite3.Error):
        kept = re.match(_SQLITE_MESSAGES, message)
        return kept[0] if kept else getattr(original, "sqlite_errorname", type(original).__name__)
    sqlstate = getattr(original, "sqlstate", None)
    if sqlstate is None:
        from psycopg import InterfaceError, OperationalError  # loaded where the database is on PostgreSQL only

        # Without an answer of the server; a DataError is about a value that the driver cannot convert.
        return message if isinstance(original, OperationalError | InterfaceError) else type(original).__name__
    if sqlstate.startswith(_SQLSTATES_WITHOUT_VALUES):
        return message
    diagnosis = getattr(original, "diag", None)
    names = (getattr(diagnosis, f"{part}_name", None) for part in ("table", "column", "constraint", "datatype"))
    return " ".join([type(original).__name__, f"(SQLSTATE {sqlstate})", *filter(None, names)])


# Everything else may quote a value: an error about data, or one that a function or a trigger raised.
_SQLITE_MESSAGES = (
    r"(UNIQUE|NOT NULL|CHECK|FOREIGN KEY) constraint failed.*|no such (table|column|function|index): \S+|"
    r"Could not decode to UTF-8 column '\w+'|unable to open database file|file is not a database|"
    r"attempt to write a readonly database|database is locked|database or disk is full|disk I/O error|"
    r"near .* syntax error"
)
_SQLSTATES_WITHOUT_VALUES = ("08", "23", "25", "26", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58")


# Matched in the text: the driver gives no SQLSTATE for errors while it connects.
_LOGIN_ERRORS = {
    "password authentication failed|no password supplied": (
        "the password is wrong, or there is no such role. Look at LAUREL_DATABASE_URL."
    ),
    "FATAL: +role |no pg_hba.conf entry|(Peer|Ident) authentication failed": (
        "there is no such role, it may not log in, or pg_hba.conf rejects it. Look at LAUREL_DATABASE_URL."
    ),
    "FATAL: +database .* does not exist": "there is no database of this name. Look at LAUREL_DATABASE_URL.",
    "FATAL: .*(too many c|connection slots)": (
        "it has no connection left. Raise max_connections, or let fewer processes use it."
    ),
    "FATAL: +the database system is": "it is starting up or shutting down. Try again.",
}
