"""The table of a class, typed."""

from typing import Any, cast

from sqlalchemy import Table

from models.base import Model


def table(model: type[Model]) -> Table:
    # SQLModel does not declare `__table__`.
    return cast("Table", cast("Any", model).__table__)
