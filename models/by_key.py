"""Rows looked up by keys that another statement gave, perhaps of another database."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Select

_AT_ONCE = 1000  # keys in a statement: a database takes only so many


def rows_by_key(connection: Connection, query: Select[Any], keys: Iterable[Any], **given: Any) -> dict[Any, Any]:
    """Return the first row of each key, which is its first column; the query has the keys as `keys`.

    To be looked up by key and not gone through: what is found equal here is equal in Python, while a database may
    also return what differs in case.
    """
    wanted = sorted({key for key in keys if key is not None})
    found: dict[Any, Any] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        for row in connection.execute(query, {"keys": wanted[start : start + _AT_ONCE], **given}):
            found.setdefault(row[0], row)
    return found
