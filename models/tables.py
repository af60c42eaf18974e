"""The table of a SQLModel class, typed."""

from typing import Any, cast

from sqlalchemy import Table
from sqlmodel import SQLModel


def table(model: type[SQLModel]) -> Table:
    # SQLModel does not declare `__table__`.
    return cast("Table", cast("Any", model).__table__)
