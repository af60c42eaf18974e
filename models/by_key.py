"""Rows looked up by keys that another statement gave, perhaps of another database."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from sqlalchemy import Connection, Select

Value = TypeVar("Value")
_AT_ONCE = 1000  # keys in a statement: a database takes only so many


def portions(keys: Iterable[Value], size: int = _AT_ONCE) -> Iterator[list[Value]]:
    """Yield the keys, each once, no more together than a statement can take."""
    each = list(dict.fromkeys(keys))
    for start in range(0, len(each), size):
        yield each[start : start + size]


def rows_by_key(connection: Connection, query: Select[Any], keys: Iterable[Any], **given: Any) -> dict[Any, Any]:
    """Return the first row of each key, which is its first column; the query has the keys as `keys`.

    To be looked up by key and not gone through: what is found equal here is equal in Python, while a database may
    also return what differs in case.
    """
    found: dict[Any, Any] = {}
    for part in portions(sorted({key for key in keys if key is not None})):
        for row in connection.execute(query, {"keys": part, **given}):
            found.setdefault(row[0], row)
    return found
