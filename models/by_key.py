"""Look-ups by keys that come from another statement, perhaps on another database."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from sqlalchemy import Connection, Select

Value = TypeVar("Value")
_KEYS_PER_STATEMENT = 1000  # databases limit the number of parameters


def portions(keys: Iterable[Value], size: int = _KEYS_PER_STATEMENT) -> Iterator[list[Value]]:
    """Yield the distinct keys in lists that fit into a statement."""
    each = list(dict.fromkeys(keys))
    for start in range(0, len(each), size):
        yield each[start : start + size]


def rows_by_key(connection: Connection, query: Select[Any], keys: Iterable[Any], **given: Any) -> dict[Any, Any]:
    """Return the first row of each key. The query's first column is the key, its parameter `keys` takes a list."""
    # A dict by the exact key: a database whose collation ignores case may also return other keys.
    found: dict[Any, Any] = {}
    for part in portions(sorted({key for key in keys if key is not None})):
        for row in connection.execute(query, {"keys": part, **given}):
            found.setdefault(row[0], row)
    return found
