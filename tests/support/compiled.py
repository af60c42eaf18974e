"""Compiled statements that the engines of all tests share: compiling for each anew is a third of a test's work."""

from collections.abc import Iterator
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


class _Compiled(dict[Any, Any]):
    """By what SQLAlchemy's key names, but for the dialect: of that, what a statement's text depends on."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_shared(key), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        super().__setitem__(_shared(key), compiled)


def _shared(key: tuple[Any, ...]) -> tuple[Any, ...]:
    dialect: Dialect = key[0]
    depends_on = dialect.statement_compiler, dialect.paramstyle, dialect.server_version_info
    return type(dialect), *depends_on, *key[1:]
