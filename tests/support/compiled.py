"""Compiled statements that the engines of all tests share: compiling for each anew is a third of a test's work."""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Dialect, Engine

from models import database


@contextmanager
def shared_compilation() -> Iterator[None]:
    """Let engines that are made inside the block look for a compiled statement in what the others have compiled."""
    compiled = _Compiled()

    def create_engine(*args: Any, **options: Any) -> Engine:
        engine = sqlalchemy.create_engine(*args, **options)
        engine.update_execution_options(compiled_cache=compiled)
        return engine

    with pytest.MonkeyPatch.context() as replaced:
        replaced.setattr(database, "create_engine", create_engine)
        yield


class _Compiled(MutableMapping[Any, Any]):
    """By what SQLAlchemy's key names, but for the dialect: of that, what a statement's text depends on."""

    def __init__(self) -> None:
        self._kept: dict[Any, Any] = {}

    @staticmethod
    def _key(key: tuple[Any, ...]) -> tuple[Any, ...]:
        dialect: Dialect = key[0]
        depends_on = dialect.statement_compiler, dialect.paramstyle, dialect.server_version_info
        return type(dialect), *depends_on, *key[1:]

    def __getitem__(self, key: Any) -> Any:
        return self._kept[self._key(key)]

    def __setitem__(self, key: Any, compiled: Any) -> None:
        self._kept[self._key(key)] = compiled

    def __delitem__(self, key: Any) -> None:
        del self._kept[self._key(key)]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)
