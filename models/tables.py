"""The table of a class."""

from sqlalchemy import Table

from models.base import Model


def table(model: type[Model]) -> Table:
    return model.__table__
