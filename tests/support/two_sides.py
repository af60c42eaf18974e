"""Holds that no statement names tables of the platform and of Laurel: both are put together in Python."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

from models.metadata import laurel_metadata, views_metadata
from models.platform.tables import platform_metadata

_ON_ROWS = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)
_NAMES = re.compile(r"\b\w+\b")
_PLATFORM = frozenset(platform_metadata.tables)
_LAUREL = frozenset([*laurel_metadata.tables, *views_metadata.tables])


class NamesBothSides(AssertionError):
    """A statement that the platform's database could not run by itself."""


@contextmanager
def held_apart() -> Iterator[None]:
    """Look at every statement of every engine of this process."""
    event.listen(Engine, "before_cursor_execute", _look_at)
    yield
    event.remove(Engine, "before_cursor_execute", _look_at)


def _look_at(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    names = set(_NAMES.findall(statement)) if _ON_ROWS.match(statement) else set()
    if names & _PLATFORM and names & _LAUREL:
        raise NamesBothSides(statement)
