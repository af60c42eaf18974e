"""The base classes of tables, and the MetaData of Laurel's own, which Alembic migrates."""

from typing import Any, ClassVar

from sqlalchemy import MetaData
from sqlmodel import Field, SQLModel

__all__ = ["Field", "LaurelTable", "Model", "laurel_metadata"]

laurel_metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Model(SQLModel):
    """Base of all tables. A row shows its key and nothing else."""

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("id", getattr(self, "id", None))]


class LaurelTable(Model):
    """Base of Laurel's own tables."""

    metadata: ClassVar[MetaData] = laurel_metadata
