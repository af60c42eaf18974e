"""The MetaData of Laurel's own tables, which Alembic migrates, and their base class."""

from typing import Any, ClassVar

from sqlalchemy import MetaData
from sqlmodel import SQLModel

laurel_metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class LaurelTable(SQLModel):
    """Base of Laurel's own tables: a row shows its key and nothing else."""

    metadata: ClassVar[MetaData] = laurel_metadata

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("id", getattr(self, "id", None))]
