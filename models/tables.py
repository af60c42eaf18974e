"""From a SQLModel class to its table, with the type that a checker can follow."""

from typing import Any, cast

from sqlalchemy import Table
from sqlmodel import SQLModel


def table(model: type[SQLModel]) -> Table:
    """Return the table behind a model, for statements that work on sets of rows."""
    return cast("Table", cast("Any", model).__table__)
